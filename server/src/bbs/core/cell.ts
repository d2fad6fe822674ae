import { ActualLrpPresence, ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import type { CellCapacity, CellPresence } from '@rivera/gen/rivera/bbs/v1/cell';
import { TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import { RiveraError } from '@rivera/kit/errors';
import type { Draft, InstanceRef } from './draft.js';
import { isCellDraining, isCellPresent, isWanted, mayStay } from './instance-row.js';
import { isMassLoss, type LastSeen } from './mass-loss.js';
import { type ActualLrpRow, type CellRow, isShown } from './model.js';
import { dueKey } from './state.js';
import { drain, giveUp, loseCell, reinstate } from './succession.js';
import { loseTask } from './task.js';

/** What a cell says it holds. */
export interface Inventory {
  readonly lrps: readonly Omit<InstanceRef, 'cellId'>[];
  readonly tasks: readonly { taskGuid: string; executionGuid: string }[];
  /** Instances and executions that were taken while the inventory came in. */
  readonly takenMeanwhile?: ReadonlySet<string>;
  /** The first of an agent: what was asked of the one before it is over. */
  readonly agentIsNew?: boolean;
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
    evacuating: before?.incarnation === incarnation && before.evacuating,
    missing: false,
    silent: false,
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
  if (update.evacuating && !row.evacuating) drainCell(draft, cellId);
}

/** Everything on it is to move: each slot goes as far as it can. */
function drainCell(draft: Draft, cellId: string): void {
  for (const row of [...draft.state.lrpsOnCell(cellId)]) drain(draft, row);
}

/** Its work goes elsewhere: instances are placed anew while it may still run them, Tasks fail, as they must not run twice. */
export function cellLost(draft: Draft, cellId: string): void {
  if (draft.state.cells.get(cellId)?.missing) return;
  for (const row of [...draft.state.lrpsOnCell(cellId)]) loseCell(draft, row);
  for (const guid of [...draft.state.tasksOnCell(cellId)]) {
    if (draft.state.tasks.get(guid)?.state === TaskState.RUNNING) {
      loseTask(draft, guid, 'cell disappeared before completion');
    }
  }
  const row = draft.state.cells.get(cellId);
  if (row === undefined) return;
  draft.lookAgainAt(dueKey.cell(cellId), draft.now + draft.policy.forgetCellMs);
  // A session that stands in spite of its silence begins anew, with all that the cell has.
  draft.effect({ kind: 'end-session', cellId, reason: `cell "${cellId}" was not heard of for its time to live` });
  draft.putCell({ ...row, missing: true, silent: false, sinceMs: draft.now });
}

/** No heartbeat for a TTL, or missing for long; called when it is due. */
export function cellDue(draft: Draft, cellId: string, lastSeenMs: LastSeen): void {
  const row = draft.state.cells.get(cellId);
  if (row === undefined) return;
  if (row.missing) return forgetCell(draft, cellId);
  const { presenceTtlMs, massLoss } = draft.policy;
  const expiresAtMs = lastSeenMs(cellId) + presenceTtlMs;
  if (expiresAtMs > draft.now) {
    draft.lookAgainAt(dueKey.cell(cellId), expiresAtMs);
    if (row.silent) draft.putCell({ ...row, silent: false });
    return;
  }
  if (expiresAtMs + massLoss.graceMs <= draft.now || !isMassLoss(draft.state, draft.now, lastSeenMs)) {
    return cellLost(draft, cellId);
  }
  draft.lookAgainAt(dueKey.cell(cellId), Math.min(expiresAtMs + massLoss.graceMs, draft.now + presenceTtlMs / 3));
  if (!row.silent) draft.putCell({ ...row, silent: true });
}

/** Nobody knows what became of its containers. Those that may still serve are kept in mind, and the cell for their sake. */
function forgetCell(draft: Draft, cellId: string): void {
  const rows = [...draft.state.lrpsOnCell(cellId)];
  if (rows.some((row) => isShown(row) && isWanted(draft, row.processGuid, row.index))) {
    draft.lookAgainAt(dueKey.cell(cellId), draft.now + draft.policy.forgetCellMs);
    return;
  }
  for (const row of rows) draft.deleteActualLrp(row);
  draft.deleteCell(cellId);
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
  const onCell = draft.state.lrpsOnCell(cellId);
  for (const row of [...onCell]) {
    // What is decided about one instance may change another one of the same cell.
    if (!onCell.has(row) || inventory.takenMeanwhile?.has(row.instanceGuid)) continue;
    if (!held.has(row.instanceGuid)) {
      giveUp(draft, row);
      lost++;
    } else if (row.retired) {
      draft.effect({ kind: 'stop-lrp', instance: row, reason: 'told before' });
      stopped++;
    } else if (row.generation === '') drain(draft, row);
    else if (!isMoving(draft, row) || inventory.agentIsNew) reinstate(draft, row);
  }
  for (const lrp of inventory.lrps) {
    const { ordinary, others } = draft.state.slot(lrp.processGuid, lrp.index);
    const known = [ordinary, ...others].some((row) => row?.instanceGuid === lrp.instanceGuid && row.cellId === cellId);
    if (known || ordinary?.state === ActualLrpState.UNCLAIMED) continue;
    if (ordinary === undefined && mayStay(draft, lrp)) continue;
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

/** It is being replaced although its cell stays in service. */
function isMoving(draft: Draft, { presence, cellId }: ActualLrpRow): boolean {
  return presence === ActualLrpPresence.EVACUATING && !isCellDraining(draft, cellId);
}

/** An operator drains a cell. */
export function evacuateCell(draft: Draft, cellId: string): void {
  const row = draft.state.cells.get(cellId);
  if (row === undefined || !isCellPresent(draft, cellId)) {
    throw cellNotFound(cellId);
  }
  draft.effect({ kind: 'evacuate-cell', cellId });
  cellUpdated(draft, cellId, { evacuating: true });
}

/** An operator knows that a cell is gone: nothing waits for it any longer. */
export function declareCellMissing(draft: Draft, cellId: string, lastSeenMs: LastSeen): void {
  const row = draft.state.cells.get(cellId);
  if (row === undefined) throw cellNotFound(cellId);
  const silentMs = draft.now - lastSeenMs(cellId);
  if (!row.missing && silentMs < draft.policy.presenceTtlMs) {
    throw new RiveraError('CELL_IS_PRESENT', `cell "${cellId}" was heard of ${silentMs} ms ago: stop it first`, {
      resource: { type: 'cell', name: cellId },
    });
  }
  cellLost(draft, cellId);
}

function cellNotFound(cellId: string): RiveraError {
  return new RiveraError('CELL_NOT_FOUND', `there is no cell "${cellId}"`, {
    resource: { type: 'cell', name: cellId },
  });
}
