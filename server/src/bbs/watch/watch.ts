import type { SnapshotRecord, WatchRequest, WatchResponse } from '@rivera/gen/rivera/bbs/v1/event_service';
import { RiveraError } from '@rivera/kit/errors';
import { actualLrpToProto, desiredLrpToProto, taskToProto } from '../api/to-proto.js';
import type { RowChange } from '../core/draft.js';
import type { State } from '../core/state.js';
import type { Engine } from '../engine/engine.js';
import type { ChangeLog } from './change-log.js';
import { WatchFilter } from './filter.js';

const RECORDS_PER_RESPONSE = 200;
const CHANGES_PER_READ = 500;
const HEARTBEAT_MS = 10_000;
const TOKEN = /^r1\.(\d{1,16})$/;

/** What a watch needs of its surroundings. */
export interface WatchSource {
  readonly engine: Engine;
  readonly log: ChangeLog;
  /** A cell's record as the API shows it. */
  cellRecord(cellId: string): SnapshotRecord['record'];
}

/** Serves one watcher: the snapshot if it wants one, then every matching change, heartbeats between. */
export async function* watch(
  source: WatchSource,
  request: WatchRequest,
  signal: AbortSignal,
): AsyncGenerator<WatchResponse> {
  const filter = new WatchFilter(request);
  let position: number;
  if (request.snapshot) {
    const { result: changes, revision } = await source.engine.read((state) => matchingRecords(state, filter));
    position = source.log.positionAfter(revision);
    yield* snapshot(source, changes, signal);
    yield response({ snapshotComplete: true, revision });
  } else {
    position =
      request.resumeToken === '' ? source.log.endPosition : source.log.positionAfter(parse(request.resumeToken));
    yield response({ revision: request.resumeToken === '' ? source.log.lastRevision : parse(request.resumeToken) });
  }
  while (!signal.aborted) {
    const entries = source.log.read(position, CHANGES_PER_READ);
    if (entries.length === 0) {
      await source.log.wait(HEARTBEAT_MS, signal);
      if (source.log.endPosition === position) yield response({ revision: source.log.lastRevision });
      continue;
    }
    position += entries.length;
    // A revision's changes may go on in the next part; the token must not claim it before all of them are sent.
    const last = entries[entries.length - 1];
    const whole = position === source.log.endPosition ? source.log.lastRevision : (last?.revision ?? 1) - 1;
    const events = entries.filter((entry) => filter.passes(entry.change)).flatMap((entry) => entry.events);
    if (events.length > 0) yield response({ events, revision: whole });
  }
}

function* snapshotParts<T>(items: readonly T[]): Generator<readonly T[]> {
  for (let i = 0; i < items.length; i += RECORDS_PER_RESPONSE) yield items.slice(i, i + RECORDS_PER_RESPONSE);
}

async function* snapshot(source: WatchSource, rows: readonly RowChange[], signal: AbortSignal) {
  for (const part of snapshotParts(rows)) {
    if (signal.aborted) return;
    const snapshotRecords = part.map((row) => ({ record: recordOf(source, row) }));
    yield { ...response({ revision: 0 }), snapshotRecords, resumeToken: '' };
  }
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
      for (const after of slot.others) offer({ kind: 'actual-lrp', before: undefined, after });
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
      return source.cellRecord(row.after.cellId);
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
