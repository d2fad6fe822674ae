import type { Event, EventKind } from '@rivera/gen/rivera/bbs/v1/event';
import {
  EventServiceService as methods,
  type SnapshotRecord,
  WatchRequest,
  type WatchResponse,
} from '@rivera/gen/rivera/bbs/v1/event_service';
import { OutOfRangeError, UnavailableError } from '../errors.js';
import { toRiveraError } from '../transport/status.js';
import { messagesOf, type Patience, Reconnects } from '../transport/streams.js';
import type { Transport } from '../transport/transport.js';

/** What to watch. Filters are combined with AND; empty or absent: all. */
export interface WatchOptions {
  /** Send all matching records first. */
  snapshot?: boolean | undefined;
  kinds?: readonly EventKind[] | undefined;
  domains?: readonly string[] | undefined;
  processGuids?: readonly string[] | undefined;
  cellIds?: readonly string[] | undefined;
  taskGuids?: readonly string[] | undefined;
  /** Go on behind this token of an earlier watch instead of starting now or with a snapshot. */
  resumeToken?: string | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * One step of a watch.
 * - `snapshot`: a record as it is.
 * - `snapshot-complete`: every matching record has been sent; what is not among them does not exist.
 * - `event`: a change. `resumeToken` continues behind it; it is empty while the server has given no position yet.
 * - `reset`: changes may have been missed. Forget everything: a new snapshot follows.
 */
export type WatchItem =
  | { kind: 'snapshot'; record: SnapshotRecord }
  | { kind: 'snapshot-complete'; revision: number }
  | { kind: 'event'; event: Event; resumeToken: string }
  | { kind: 'reset' };

/** Watches without gaps over any number of connections. Who waits with a limit of their own is patient from the start. */
export async function* watch(
  transport: Transport,
  options: WatchOptions = {},
  patience: Patience = 'for ever once connected',
): AsyncGenerator<WatchItem, void, undefined> {
  const { signal, snapshot = false, resumeToken = '', kinds = [], domains = [] } = options;
  const { processGuids = [], cellIds = [], taskGuids = [] } = options;
  const filter = { kinds, domains, processGuids, cellIds, taskGuids };
  const position = new Position(snapshot, resumeToken);
  const scope = transport.lifetime.enter(signal);
  const reconnects = new Reconnects(transport, scope, { safety: 'repeatable', patience });
  try {
    for (;;) {
      if (scope.signal.aborted) throw scope.cancelled();
      const start = position.request();
      const request = WatchRequest.fromPartial({ ...mutable(filter), ...start });
      const opened = transport.serverStream(methods.watch, request);
      try {
        for await (const response of messagesOf(opened.call, scope.signal)) {
          reconnects.progressed();
          yield* position.take(response);
        }
        throw new UnavailableError({ message: 'the server ended the watch' });
      } catch (cause) {
        const tooOld = toRiveraError(cause) instanceof OutOfRangeError && 'resumeToken' in start;
        if (!tooOld) await reconnects.after(cause, opened);
        if (tooOld ? position.expired() : position.interrupted()) yield { kind: 'reset' };
      }
    }
  } finally {
    scope.leave();
  }
}

function mutable(
  filter: { kinds: readonly EventKind[] } & Record<
    'domains' | 'processGuids' | 'cellIds' | 'taskGuids',
    readonly string[]
  >,
) {
  return {
    kinds: [...filter.kinds],
    domains: [...filter.domains],
    processGuids: [...filter.processGuids],
    cellIds: [...filter.cellIds],
    taskGuids: [...filter.taskGuids],
  };
}

/** Where a watch stands, and so how it goes on after its connection broke. */
export class Position {
  #snapshot: boolean;
  #token: string;
  /** Whether something was received that no token covers. */
  #uncovered = false;

  constructor(snapshot: boolean, token: string) {
    this.#snapshot = snapshot;
    this.#token = token;
  }

  /** How the next connection starts. */
  request(): { snapshot: boolean } | { resumeToken: string } {
    return this.#token === '' ? { snapshot: this.#snapshot } : { resumeToken: this.#token };
  }

  /** Turns a response into items. Of several events only the last is covered by the response's token. */
  *take(response: WatchResponse): Generator<WatchItem, void, undefined> {
    this.#uncovered ||= response.resumeToken === '' && this.#token === '';
    for (const record of response.snapshotRecords) yield { kind: 'snapshot', record };
    if (response.snapshotComplete) yield { kind: 'snapshot-complete', revision: response.revision };
    const before = this.#token;
    for (const [i, event] of response.events.entries()) {
      const last = i === response.events.length - 1;
      yield { kind: 'event', event, resumeToken: last && response.resumeToken !== '' ? response.resumeToken : before };
    }
    if (response.resumeToken !== '') this.#token = response.resumeToken;
  }

  /** The connection broke. Returns whether the position is lost with it. */
  interrupted(): boolean {
    if (this.#token !== '' || !this.#uncovered) return false;
    return this.expired();
  }

  /** The server no longer knows the position: the next connection starts with a snapshot. */
  expired(): true {
    this.#token = '';
    this.#snapshot = true;
    this.#uncovered = false;
    return true;
  }
}
