import type { Event } from '@rivera/gen/rivera/bbs/v1/event';
import type { SnapshotRecord, WatchRequest, WatchResponse } from '@rivera/gen/rivera/bbs/v1/event_service';
import { systemClock } from '@rivera/kit/clock';
import { RiveraError } from '@rivera/kit/errors';
import { actualLrpToProto, desiredLrpToProto, taskToProto } from '../api/to-proto.js';
import { PART_BYTES, weightOfChange } from '../api/weight.js';
import type { RowChange } from '../core/draft.js';
import { type CellRow, isShown } from '../core/model.js';
import type { State } from '../core/state.js';
import type { Engine } from '../engine/engine.js';
import type { ChangeLog } from './change-log.js';
import { WatchFilter } from './filter.js';

const RECORDS_PER_RESPONSE = 200;
const CHANGES_PER_READ = 500;
const HEARTBEAT_MS = 10_000;
const TOKEN = /^r1\.(\d{1,16})$/;

/** Where a watch takes its time from. It measures spans alone, which a clock that is set back must not stretch. */
export interface WatchTime {
  elapsedMs(): number;
  setTimer(ms: number, fn: () => void): () => void;
}

/** The process's own. */
export const PROCESS_TIME: WatchTime = {
  elapsedMs: () => performance.now(),
  setTimer: (ms, fn) => systemClock.setTimer(ms, fn),
};

/** What a watch needs of its surroundings. */
export interface WatchSource {
  readonly engine: Engine;
  readonly log: ChangeLog;
  /** Default the process's. */
  readonly time?: WatchTime;
  /** A cell's record as the API shows it: the row as the snapshot has it, which is not always the latest. */
  cellRecord(row: CellRow): SnapshotRecord['record'];
}

/** Serves one watcher: the snapshot if it wants one, then every matching change, heartbeats between. */
export async function* watch(
  source: WatchSource,
  request: WatchRequest,
  signal: AbortSignal,
): AsyncGenerator<WatchResponse> {
  const { engine, log, time = PROCESS_TIME } = source;
  const filter = new WatchFilter(request);
  let position: number;
  if (request.snapshot) {
    const { result: records, revision } = await engine.read((state) => matchingRecords(state, filter));
    position = log.positionAfter(revision);
    for (const part of inParts(records)) {
      if (signal.aborted) return;
      const snapshotRecords = part.map((row) => ({ record: recordOf(source, row) }));
      yield { ...response({ revision: 0 }), snapshotRecords, resumeToken: '' };
    }
    if (signal.aborted) return;
    yield response({ snapshotComplete: true, revision });
  } else if (request.resumeToken === '') {
    position = log.endPosition;
    yield response({ revision: log.lastRevision });
  } else {
    const revision = parse(request.resumeToken);
    position = log.positionAfter(revision);
    yield response({ revision });
  }
  yield* changes(log, { position, filter, signal, time });
}

/** Everything that passes the filter from a position on. Who sees little still hears, in time for its token to be of use. */
async function* changes(
  log: ChangeLog,
  from: { position: number; filter: WatchFilter; signal: AbortSignal; time: WatchTime },
): AsyncGenerator<WatchResponse> {
  const { filter, signal, time } = from;
  let { position } = from;
  let saidAtMs = time.elapsedMs();
  while (!signal.aborted) {
    const entries = log.read(position, CHANGES_PER_READ);
    const events: Event[] = [];
    let bytes = 0;
    for (const entry of entries) {
      if (bytes >= PART_BYTES) break;
      position++;
      if (!filter.passes(entry.change)) continue;
      events.push(...entry.events);
      bytes += weightOfChange(entry.change);
    }
    const silentMs = time.elapsedMs() - saidAtMs;
    if (events.length > 0 || silentMs >= HEARTBEAT_MS) {
      yield response({ events, revision: log.revisionBefore(position) });
      saidAtMs = time.elapsedMs();
    } else if (entries.length === 0) {
      await log.wait(position, { timeoutMs: HEARTBEAT_MS - silentMs, time }, signal);
    } else {
      // A busy log must not keep the watchers of other things from their turn.
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

function* inParts(rows: readonly RowChange[]): Generator<RowChange[]> {
  let part: RowChange[] = [];
  let bytes = 0;
  for (const row of rows) {
    part.push(row);
    bytes += weightOfChange(row);
    if (part.length < RECORDS_PER_RESPONSE && bytes < PART_BYTES) continue;
    yield part;
    part = [];
    bytes = 0;
  }
  if (part.length > 0) yield part;
}

/** Rows of the snapshot in the shape of changes, so that one filter serves both. */
function matchingRecords(state: State, filter: WatchFilter): RowChange[] {
  const matching: RowChange[] = [];
  const offer = (change: RowChange) => {
    if (filter.passes(change)) matching.push(change);
  };
  for (const after of state.cells.values()) offer({ kind: 'cell', before: undefined, after });
  for (const after of state.desiredLrps.values()) offer({ kind: 'desired-lrp', before: undefined, after });
  for (const processGuid of state.slotOrder.after('')) {
    for (const [, slot] of state.slotsOf(processGuid)) {
      if (slot.ordinary) offer({ kind: 'actual-lrp', before: undefined, after: slot.ordinary });
      for (const after of slot.others) if (isShown(after)) offer({ kind: 'actual-lrp', before: undefined, after });
    }
  }
  for (const after of state.tasks.values()) offer({ kind: 'task', before: undefined, after });
  return matching;
}

function recordOf(source: WatchSource, row: RowChange): SnapshotRecord['record'] {
  if (row.after === undefined) return undefined;
  switch (row.kind) {
    case 'task':
      return { $case: 'task', value: taskToProto(row.after) };
    case 'desired-lrp':
      return { $case: 'desiredLrp', value: desiredLrpToProto(row.after) };
    case 'actual-lrp':
      return { $case: 'actualLrp', value: actualLrpToProto(row.after) };
    case 'cell':
      return source.cellRecord(row.after);
    case 'domain':
      return undefined;
  }
}

function response(part: Partial<WatchResponse> & { revision: number }): WatchResponse {
  return { snapshotRecords: [], snapshotComplete: false, events: [], resumeToken: `r1.${part.revision}`, ...part };
}

function parse(token: string): number {
  const revision = TOKEN.exec(token)?.[1];
  if (revision !== undefined) return Number(revision);
  throw new RiveraError('INVALID_REQUEST', 'resume_token was not made by this service', {
    violations: [{ field: 'resume_token', description: 'was not made by this service' }],
  });
}
