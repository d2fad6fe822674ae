import type { ReadLogsResponse } from '@rivera/gen/rivera/access/v1/access_service';
import type { LogEntry, LogFilter } from '@rivera/gen/rivera/rep/v1/container';
import { fromStatus } from '@rivera/kit/errors';
import { serverStream } from '@rivera/kit/grpc/dial';
import { Outgoing } from '../stream/outgoing.js';
import type { CellClients } from './cell-clients.js';
import type { Directory } from './directory.js';

const LOOK_FOR_CELLS_MS = 2_000;
const GATHER_MS = 500;
const MAX_WAITING = 1_024;

/** Reads from every cell at once: instances come and go, and what they wrote stays where they ran. */
export class LogReader {
  constructor(
    private readonly directory: Directory,
    private readonly clients: CellClients,
  ) {}

  async *read(filter: LogFilter, signal: AbortSignal): AsyncGenerator<ReadLogsResponse> {
    if (filter.follow) yield* this.follow(filter, signal);
    else yield await this.history(filter, signal);
  }

  /** What the cells keep, as one list in order of time. */
  private async history(filter: LogFilter, signal: AbortSignal): Promise<ReadLogsResponse> {
    const cells = await this.directory.presentCells();
    const unreachableCells: Record<string, string> = {};
    let dropped = 0;
    const parts = await Promise.all(
      cells.map(async ({ cellId, address }) => {
        const entries: LogEntry[] = [];
        try {
          const client = this.clients.get(cellId, address);
          for await (const part of serverStream(() => client.readLogs({ filter }), signal)) {
            entries.push(...part.entries);
            dropped += part.dropped;
          }
        } catch (error) {
          unreachableCells[cellId] = fromStatus(error).message;
        }
        return entries;
      }),
    );
    const all = inOrder(parts.flat());
    return { entries: filter.tail > 0 ? all.slice(-filter.tail) : all, dropped, unreachableCells };
  }

  /** What is kept, sorted as far as it comes soon, and then what is written, as it comes. */
  private async *follow(filter: LogFilter, signal: AbortSignal): AsyncGenerator<ReadLogsResponse> {
    const stop = new AbortController();
    const both = AbortSignal.any([signal, stop.signal]);
    const arrived = new Outgoing<ReadLogsResponse>(MAX_WAITING);
    const gathered: LogEntry[] = [];
    let gathering = true;
    const deliver = (response: ReadLogsResponse) => {
      if (gathering) gathered.push(...response.entries);
      // A reader that does not keep up is told how much it missed, by the cell; here it only must not grow.
      else if (!arrived.push(response)) stop.abort();
    };
    const following = new Set<string>();
    const lookForCells = async () => {
      for (const cell of await this.directory.presentCells()) {
        if (following.has(cell.cellId)) continue;
        following.add(cell.cellId);
        void this.followCell(cell, filter, both, deliver).finally(() => following.delete(cell.cellId));
      }
    };
    await lookForCells();
    await new Promise((resolve) => setTimeout(resolve, GATHER_MS));
    gathering = false;
    const kept = inOrder(gathered);
    arrived.push(response(filter.tail > 0 ? kept.slice(-filter.tail) : kept));
    // A passing failure of the BBS must not end a follower: the next look finds the cells.
    const looking = setInterval(() => void lookForCells().catch(() => undefined), LOOK_FOR_CELLS_MS);
    const end = () => arrived.end();
    both.addEventListener('abort', end, { once: true });
    if (both.aborted) end();
    try {
      yield* arrived;
    } finally {
      clearInterval(looking);
      stop.abort();
    }
  }

  /** Follows one cell until it is gone; a cell that comes back is followed again from where it was left. */
  private async followCell(
    { cellId, address }: { cellId: string; address: string },
    filter: LogFilter,
    signal: AbortSignal,
    deliver: (response: ReadLogsResponse) => void,
  ): Promise<void> {
    let since = filter.since;
    while (!signal.aborted) {
      const client = this.clients.get(cellId, address);
      try {
        for await (const part of serverStream(() => client.readLogs({ filter: { ...filter, since } }), signal)) {
          const last = part.entries[part.entries.length - 1]?.time;
          if (last) since = new Date(last.getTime() + 1);
          deliver({ entries: part.entries, dropped: part.dropped, unreachableCells: {} });
        }
        return;
      } catch (error) {
        if (signal.aborted) return;
        deliver({ entries: [], dropped: 0, unreachableCells: { [cellId]: fromStatus(error).message } });
        await new Promise((resolve) => setTimeout(resolve, LOOK_FOR_CELLS_MS));
        const present = await this.directory.presentCells().catch(() => []);
        if (!present.some((cell) => cell.cellId === cellId && cell.address === address)) return;
      }
    }
  }
}

function response(entries: LogEntry[]): ReadLogsResponse {
  return { entries, dropped: 0, unreachableCells: {} };
}

function inOrder(entries: LogEntry[]): LogEntry[] {
  return entries.sort((a, b) => (a.time?.getTime() ?? 0) - (b.time?.getTime() ?? 0) || a.sequence - b.sequence);
}
