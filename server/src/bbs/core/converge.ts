import { ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import { actualLrpDue, isCellPresent, loseActualLrp, mayBeWanted, retireActualLrp } from './actual-lrp.js';
import { cellDue } from './cell.js';
import { createMissing } from './desired-lrp.js';
import { domainDue } from './domain.js';
import type { Draft } from './draft.js';
import { updateWhereItDiffers } from './instance-facts.js';
import { loseTask, taskDue } from './task.js';

/** Looks at one thing whose time has come (keys of `dueKey`). */
export function lookAtDue(draft: Draft, key: string, lastSeenMs: (cellId: string) => number): void {
  const rest = key.slice(2);
  switch (key.charAt(0)) {
    case 't':
      return taskDue(draft, rest);
    case 'd':
      return domainDue(draft, rest);
    case 'c':
      return cellDue(draft, rest, lastSeenMs(rest));
    case 'l': {
      const [processGuid, index] = rest.split('/') as [string, string];
      return actualLrpDue(draft, processGuid, Number(index));
    }
  }
}

/**
 * The full comparison of one LRP's slots with what is desired (spec bbs §5.2, rules 4 to 7). Everything here is also done at
 * the moment it becomes true, so a pass that finds something has found a defect. Missing instances are always started;
 * superfluous ones are stopped only in a fresh domain. Returns how much it had to mend.
 */
export function auditProcess(draft: Draft, processGuid: string): number {
  const changes = draft.changes.length;
  const desired = draft.state.desiredLrps.get(processGuid);
  if (desired !== undefined) createMissing(draft, desired);
  for (const [, { ordinary }] of draft.state.slotsOf(processGuid)) {
    if (ordinary === undefined) continue;
    const onCell = ordinary.state === ActualLrpState.CLAIMED || ordinary.state === ActualLrpState.RUNNING;
    if (onCell && !isCellPresent(draft, ordinary.cellId)) {
      loseActualLrp(draft, ordinary);
    } else if (!ordinary.retired && !mayBeWanted(draft, ordinary)) {
      retireActualLrp(draft, ordinary, 'not desired');
    } else updateWhereItDiffers(draft, ordinary);
  }
  return draft.changes.length - changes;
}

/** A Task that runs on a cell that is not there fails. */
export function auditTask(draft: Draft, guid: string): number {
  const task = draft.state.tasks.get(guid);
  if (task?.state !== TaskState.RUNNING || isCellPresent(draft, task.cellId)) return 0;
  loseTask(draft, guid, 'cell disappeared before completion');
  return 1;
}
