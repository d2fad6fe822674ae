import { ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import type { CellCapacity, CellPresence } from '@rivera/gen/rivera/bbs/v1/cell';
import { TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import { RiveraError } from '@rivera/kit/errors';
import { isCellPresent, loseActualLrp, mayBeWanted } from './actual-lrp.js';
import type { Draft, InstanceRef } from './draft.js';
import type { CellRow } from './model.js';
import { dueKey } from './state.js';
import { loseTask } from './task.js';

/** What a cell says it holds. */
export interface Inventory {
  readonly lrps: readonly Omit<InstanceRef, 'cellId'>[];
  readonly tasks: readonly { taskGuid: string; executionGuid: string }[];
  /** Instances and executions that were taken while the inventory came in. */
  readonly takenMeanwhile?: ReadonlySet<string>;
}

/** A session opens. */
export function cellArrived(draft: Draft, presence: CellPresence, incarnation: string): CellRow {
  const { cellId } = presence;
  const before = draft.state.cells.get(cellId);
  draft.lookAgainAt(dueKey.cell(cellId), draft.now + draft.policy.presenceTtlMs);
  const stayed = before !== undefined && !before.missing;
  return draft.putCell({
    cellId,
    presence,
    incarnation,
    evacuating: stayed && before.incarnation === incarnation && before.evacuating,
    missing: false,
    sinceMs: stayed ? before.sinceMs : draft.now,
  });
}

/** The cell tells of itself. */
export function cellUpdated(
  draft: Draft,
  cellId: string,
  update: { evacuating: boolean; capacity?: CellCapacity },
): void {
  const row = draft.state.cells.get(cellId);
  if (row === undefined) return;
  const presence = update.capacity === undefined ? row.presence : { ...row.presence, capacity: update.capacity };
  draft.putCell({ ...row, presence, evacuating: row.evacuating || update.evacuating });
}

/** Its work goes elsewhere: instances are placed anew, Tasks fail, as they must not run twice. */
export function cellLost(draft: Draft, cellId: string): void {
  for (const row of [...draft.state.lrpsOnCell(cellId)]) loseActualLrp(draft, row);
  for (const guid of [...draft.state.tasksOnCell(cellId)]) {
    if (draft.state.tasks.get(guid)?.state === TaskState.RUNNING) {
      loseTask(draft, guid, 'cell disappeared before completion');
    }
  }
  const row = draft.state.cells.get(cellId);
  if (row === undefined || row.missing) return;
  draft.lookAgainAt(dueKey.cell(cellId), draft.now + draft.policy.forgetCellMs);
  // A session that stands in spite of its silence begins anew, with all that the cell has.
  draft.effect({ kind: 'end-session', cellId, reason: `cell "${cellId}" was not heard of for its time to live` });
  draft.putCell({ ...row, missing: true, sinceMs: draft.now });
}

/** No heartbeat for a TTL, or missing for long; called when it is due. */
export function cellDue(draft: Draft, cellId: string, lastSeenMs: number): void {
  const row = draft.state.cells.get(cellId);
  if (row === undefined) return;
  if (row.missing) {
    draft.deleteCell(cellId);
    return;
  }
  const expiresAtMs = lastSeenMs + draft.policy.presenceTtlMs;
  if (expiresAtMs > draft.now) draft.lookAgainAt(dueKey.cell(cellId), expiresAtMs);
  else cellLost(draft, cellId);
}

/**
 * Compares what the cell holds with what the BBS believes. What the BBS believes and the cell lacks is lost. What the cell holds
 * and the BBS gave to somebody else, or nobody wants, is stopped; a slot that still waits is left to the claim that follows.
 */
export function reconcileInventory(
  draft: Draft,
  cellId: string,
  inventory: Inventory,
): { lost: number; stopped: number } {
  let lost = 0;
  let stopped = 0;
  const held = new Set(inventory.lrps.map((lrp) => lrp.instanceGuid));
  for (const row of [...draft.state.lrpsOnCell(cellId)]) {
    if (inventory.takenMeanwhile?.has(row.instanceGuid)) continue;
    if (!held.has(row.instanceGuid)) {
      loseActualLrp(draft, row);
      lost++;
    } else if (row.retired) {
      draft.effect({ kind: 'stop-lrp', instance: row, reason: 'told before' });
      stopped++;
    }
  }
  for (const lrp of inventory.lrps) {
    const { ordinary, others } = draft.state.slot(lrp.processGuid, lrp.index);
    const known = [ordinary, ...others].some((row) => row?.instanceGuid === lrp.instanceGuid && row.cellId === cellId);
    if (known || ordinary?.state === ActualLrpState.UNCLAIMED) continue;
    if (ordinary === undefined && mayBeWanted(draft, lrp)) continue;
    draft.effect({ kind: 'stop-lrp', instance: { ...lrp, cellId }, reason: 'not the instance of its slot' });
    stopped++;
  }
  const executions = new Set(inventory.tasks.map((task) => task.executionGuid));
  for (const guid of [...draft.state.tasksOnCell(cellId)]) {
    const task = draft.state.tasks.get(guid);
    if (task?.state !== TaskState.RUNNING || executions.has(task.executionGuid)) continue;
    if (inventory.takenMeanwhile?.has(task.executionGuid)) continue;
    loseTask(draft, guid, 'task container does not exist');
    lost++;
  }
  for (const { taskGuid, executionGuid } of inventory.tasks) {
    const task = draft.state.tasks.get(taskGuid);
    const runs = task?.state === TaskState.RUNNING && task.executionGuid === executionGuid;
    if (runs || task?.state === TaskState.PENDING) continue;
    draft.effect({ kind: 'cancel-task', cellId, taskGuid, executionGuid });
    stopped++;
  }
  return { lost, stopped };
}

/** An operator drains a cell. */
export function evacuateCell(draft: Draft, cellId: string): void {
  const row = draft.state.cells.get(cellId);
  if (row === undefined || !isCellPresent(draft, cellId)) {
    throw cellNotFound(cellId);
  }
  draft.effect({ kind: 'evacuate-cell', cellId });
  if (!row.evacuating) draft.putCell({ ...row, evacuating: true });
}

/** An operator knows that a cell is gone: nothing waits for it any longer. */
export function declareCellMissing(draft: Draft, cellId: string, lastSeenMs: number): void {
  const row = draft.state.cells.get(cellId);
  if (row === undefined) throw cellNotFound(cellId);
  if (!row.missing && lastSeenMs + draft.policy.presenceTtlMs > draft.now) {
    throw new RiveraError(
      'CELL_IS_PRESENT',
      `cell "${cellId}" was heard of ${draft.now - lastSeenMs} ms ago: stop it first`,
      {
        resource: { type: 'cell', name: cellId },
      },
    );
  }
  cellLost(draft, cellId);
}

function cellNotFound(cellId: string): RiveraError {
  return new RiveraError('CELL_NOT_FOUND', `there is no cell "${cellId}"`, {
    resource: { type: 'cell', name: cellId },
  });
}
