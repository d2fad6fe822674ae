import { ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import { actualLrpDue, retireActualLrp } from './actual-lrp.js';
import { cellDue } from './cell.js';
import { createMissing } from './desired-lrp.js';
import { domainDue } from './domain.js';
import type { Draft } from './draft.js';
import { updateWhereItDiffers } from './instance-facts.js';
import { isCellPresent, mayBeWanted, type View } from './instance-row.js';
import type { LastSeen } from './mass-loss.js';
import type { ActualLrpRow } from './model.js';
import { drain, loseCell, supersede } from './succession.js';
import { loseTask, taskDue } from './task.js';

/** Whether what nobody desires may be stopped in a domain. */
type MayStop = (domain: string) => boolean;

/** Looks at one thing whose time has come (keys of `dueKey`). */
export function lookAtDue(draft: Draft, key: string, lastSeenMs: LastSeen): void {
  const rest = key.slice(2);
  switch (key.charAt(0)) {
    case 't':
      return taskDue(draft, rest);
    case 'd':
      return domainDue(draft, rest);
    case 'c':
      return cellDue(draft, rest, lastSeenMs);
    case 'l': {
      const [processGuid, index, generation] = rest.split('/') as [string, string, string];
      return actualLrpDue(draft, { processGuid, index: Number(index), generation });
    }
  }
}

/**
 * The full comparison of one LRP's slots with what is desired (spec bbs §5.2, rules 4 to 9, 13 and 14). Everything here is also
 * done at the moment it becomes true, so a pass that finds something has found a defect. Missing instances are always started;
 * superfluous ones are stopped only in a fresh domain, and only if `mayStop` says so of it. Returns how much it had to mend.
 */
export function auditProcess(draft: Draft, processGuid: string, mayStop: MayStop = () => true): number {
  const changes = draft.changes.length;
  const desired = draft.state.desiredLrps.get(processGuid);
  if (desired !== undefined) createMissing(draft, desired);
  for (const [index] of draft.state.slotsOf(processGuid)) {
    for (const row of draft.state.slot(processGuid, index).others) auditOther(draft, row, mayStop);
    const { ordinary } = draft.state.slot(processGuid, index);
    if (ordinary !== undefined) auditOrdinary(draft, ordinary, mayStop);
  }
  return draft.changes.length - changes;
}

function auditOrdinary(draft: Draft, row: ActualLrpRow, mayStop: MayStop): void {
  const onCell = row.state === ActualLrpState.CLAIMED || row.state === ActualLrpState.RUNNING;
  if (onCell && !isCellPresent(draft, row.cellId)) loseCell(draft, row);
  else if (isUnwanted(draft, row)) {
    if (mayStop(row.domain)) retireActualLrp(draft, row, 'not desired');
  } else {
    updateWhereItDiffers(draft, row);
    drain(draft, row);
  }
}

function auditOther(draft: Draft, row: ActualLrpRow, mayStop: MayStop): void {
  const { ordinary } = draft.state.slot(row.processGuid, row.index);
  if (!draft.state.cells.has(row.cellId)) draft.deleteActualLrp(row);
  else if (row.retired) return;
  else if (ordinary?.state === ActualLrpState.RUNNING) supersede(draft, row, 'its replacement runs');
  else if (isUnwanted(draft, row)) {
    if (mayStop(row.domain)) supersede(draft, row, 'not desired');
  } else if (!isCellPresent(draft, row.cellId)) loseCell(draft, row);
}

/** Whether it runs, was not told to stop, and nobody desires it in a domain that is vouched for. */
export function isUnwanted(view: View, row: ActualLrpRow): boolean {
  return !row.retired && !mayBeWanted(view, row);
}

/** A Task that runs on a cell that is not there fails. */
export function auditTask(draft: Draft, guid: string): number {
  const task = draft.state.tasks.get(guid);
  if (task?.state !== TaskState.RUNNING || isCellPresent(draft, task.cellId)) return 0;
  loseTask(draft, guid, 'cell disappeared before completion');
  return 1;
}
