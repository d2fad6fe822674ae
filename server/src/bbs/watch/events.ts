import { ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { type Event, EventKind } from '@rivera/gen/rivera/bbs/v1/event';
import { actualLrpToProto, cellToProto, desiredLrpToProto, taskToProto } from '../api/to-proto.js';
import type { RowChange } from '../core/draft.js';
import { type ActualLrpRow, type CellRow, isShown } from '../core/model.js';
import type { Commit } from '../engine/batch.js';

/** The events of a change: derived from the images of the row and from nothing else, so they can't disagree with the table. */
export function eventsOf(changed: RowChange, commit: Pick<Commit, 'revision' | 'timeMs'>): Event[] {
  const change = shownOf(changed);
  const event = eventOf(change);
  if (event === undefined) return [];
  const crashed = change.kind === 'actual-lrp' ? crashOf(change) : undefined;
  const at = { revision: commit.revision, time: new Date(commit.timeMs) };
  return crashed === undefined
    ? [{ ...at, event }]
    : [
        { ...at, event: crashed },
        { ...at, event },
      ];
}

/** The change as people see it: a record that is kept for its cell alone is not there. */
function shownOf(change: RowChange): RowChange {
  if (change.kind !== 'actual-lrp') return change;
  const { before, after } = change;
  return {
    kind: 'actual-lrp',
    before: before && isShown(before) ? before : undefined,
    after: after && isShown(after) ? after : undefined,
  };
}

/** What a change is about; undefined: nobody can watch it. */
export function kindOf(change: RowChange): EventKind | undefined {
  switch (change.kind) {
    case 'task':
      return EventKind.TASK;
    case 'desired-lrp':
      return EventKind.DESIRED_LRP;
    case 'actual-lrp':
      return EventKind.ACTUAL_LRP;
    case 'cell':
      return EventKind.CELL;
    case 'domain':
      return undefined;
  }
}

function eventOf(change: RowChange): Event['event'] {
  switch (change.kind) {
    case 'task': {
      const { before, after } = change;
      if (before && after) {
        return { $case: 'taskChanged', value: { before: taskToProto(before), after: taskToProto(after) } };
      }
      if (after) return { $case: 'taskCreated', value: { task: taskToProto(after) } };
      return before && { $case: 'taskRemoved', value: { task: taskToProto(before) } };
    }
    case 'desired-lrp': {
      const { before, after } = change;
      if (before && after) {
        const value = { before: desiredLrpToProto(before), after: desiredLrpToProto(after) };
        return { $case: 'desiredLrpChanged', value };
      }
      if (after) return { $case: 'desiredLrpCreated', value: { desiredLrp: desiredLrpToProto(after) } };
      return before && { $case: 'desiredLrpRemoved', value: { desiredLrp: desiredLrpToProto(before) } };
    }
    case 'actual-lrp': {
      const { before, after } = change;
      if (before && after) {
        return {
          $case: 'actualLrpChanged',
          value: { before: actualLrpToProto(before), after: actualLrpToProto(after) },
        };
      }
      if (after) return { $case: 'actualLrpCreated', value: { actualLrp: actualLrpToProto(after) } };
      return before && { $case: 'actualLrpRemoved', value: { actualLrp: actualLrpToProto(before) } };
    }
    case 'cell': {
      const { before, after } = change;
      if (after) return { $case: 'cellChanged', value: { before: before && cell(before), after: cell(after) } };
      return before && { $case: 'cellRemoved', value: { cell: cell(before) } };
    }
    case 'domain':
      return undefined;
  }
}

function crashOf(change: { before: ActualLrpRow | undefined; after: ActualLrpRow | undefined }): Event['event'] {
  const { before, after } = change;
  if (before === undefined || after === undefined || before.instanceGuid === '') return undefined;
  const crashed = after.state === ActualLrpState.CRASHED || after.state === ActualLrpState.UNCLAIMED;
  if (!crashed || (after.crashCount === before.crashCount && after.crashReason === before.crashReason))
    return undefined;
  return {
    $case: 'actualLrpCrashed',
    value: {
      key: { processGuid: after.processGuid, index: after.index, domain: after.domain },
      instanceGuid: before.instanceGuid,
      cellId: before.cellId,
      crashCount: after.crashCount,
      crashReason: after.crashReason,
      since: new Date(after.sinceMs),
    },
  };
}

function cell(row: CellRow) {
  return cellToProto(row, { lastSeenMs: 0, lrpInstances: 0, tasks: 0 });
}
