import { AccessServiceService as methods, ReadLogsRequest } from '@rivera/gen/rivera/access/v1/access_service';
import { type LogEntry, LogFilter } from '@rivera/gen/rivera/rep/v1/container';
import type { Input } from '../input.js';
import { messagesOf, Reconnects } from '../transport/streams.js';
import type { Transport } from '../transport/transport.js';

/** What is known to be missing from a log. */
export interface LogGap {
  /** Lines that were lost on the way. */
  readonly dropped: number;
  /** Cell → why it could not be asked. */
  readonly unreachableCells: Readonly<Record<string, string>>;
}

/** How a log is read. */
export interface LogOptions {
  signal?: AbortSignal | undefined;
  /** Called when lines are known to be missing. */
  onGap?: ((gap: LogGap) => void) | undefined;
}

/** Reads a log over any number of connections, each line once. */
export async function* logs(
  transport: Transport,
  filter: Input<LogFilter>,
  { signal, onGap }: LogOptions = {},
): AsyncGenerator<LogEntry, void, undefined> {
  const scope = transport.lifetime.enter(signal);
  const patience = filter.follow ? 'for ever once connected' : 'bounded';
  const reconnects = new Reconnects(transport, scope, { safety: 'repeatable', patience });
  const delivered = new Delivered();
  try {
    for (;;) {
      if (scope.signal.aborted) throw scope.cancelled();
      const request = ReadLogsRequest.fromPartial({ filter: delivered.continuing(LogFilter.fromPartial(filter)) });
      const opened = transport.serverStream(methods.readLogs, request);
      try {
        for await (const response of messagesOf(opened.call, scope.signal)) {
          reconnects.progressed();
          const { dropped, unreachableCells } = response;
          if (dropped > 0 || Object.keys(unreachableCells).length > 0) onGap?.({ dropped, unreachableCells });
          for (const entry of response.entries) if (delivered.isNew(entry)) yield entry;
        }
        return;
      } catch (cause) {
        await reconnects.after(cause, opened);
      }
    }
  } finally {
    scope.leave();
  }
}

/**
 * A new connection asks again for lines this much older than the newest one: lines of different cells arrive out of
 * order, and their clocks differ.
 */
const OVERLAP_MS = 30_000;
/** Containers that are remembered; the one that has been silent longest is forgotten first. */
const MAX_CONTAINERS = 10_000;

/**
 * Remembers how far each container's log was delivered. Sequences grow within a cell's agent but may start anew with it,
 * so a line is a repeat only if neither its sequence nor its time is beyond the last one's.
 */
export class Delivered {
  readonly #last = new Map<string, { sequence: number; timeMs: number }>();
  #newestMs = Number.NEGATIVE_INFINITY;

  isNew({ containerGuid, sequence, time }: Pick<LogEntry, 'containerGuid' | 'sequence' | 'time'>): boolean {
    const timeMs = time?.getTime() ?? 0;
    const last = this.#last.get(containerGuid);
    if (last && sequence <= last.sequence && timeMs <= last.timeMs) return false;
    this.#last.delete(containerGuid);
    // A lower sequence at a later time: the agent has started anew.
    this.#last.set(containerGuid, { sequence, timeMs: Math.max(timeMs, last?.timeMs ?? timeMs) });
    if (this.#last.size > MAX_CONTAINERS) this.#forgetOne();
    this.#newestMs = Math.max(this.#newestMs, timeMs);
    return true;
  }

  #forgetOne(): void {
    for (const oldest of this.#last.keys()) {
      this.#last.delete(oldest);
      return;
    }
  }

  /** The filter for the next connection. */
  continuing(filter: LogFilter): LogFilter {
    if (this.#last.size === 0) return filter;
    const since = Math.max(this.#newestMs - OVERLAP_MS, filter.since?.getTime() ?? Number.NEGATIVE_INFINITY);
    return { ...filter, since: new Date(since), tail: 0 };
  }
}
