import { ActualLrpPresence, ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { UpdateStrategy } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import { RiveraError } from '@rivera/kit/errors';
import type { Draft } from './draft.js';
import {
  createUnclaimed,
  isCellDraining,
  isCellPresent,
  isWanted,
  mayStay,
  replaceWanted,
  unclaim,
} from './instance-row.js';
import type { ActualLrpRow, DesiredLrpRow } from './model.js';

/**
 * Who holds a slot (spec bbs §4.5, §4.6). Beside its ordinary record a slot has one for each earlier container that may still be
 * up, so that nothing that serves is dropped before its successor runs:
 *
 *   its cell falls silent     ordinary → SUSPECT, and a new ordinary record is offered
 *                             EVACUATING → SUSPECT
 *   its cell is drained       ordinary RUNNING → EVACUATING, and a new ordinary record is offered
 *                             ordinary CLAIMED → tombstone, and a new ordinary record is offered
 *                             ordinary RUNNING, RECREATE → told to stop first, once all others of its LRP run
 *   it is to move             ordinary RUNNING → as when its cell is drained, though it isn't
 *   its cell has it again     SUSPECT, EVACUATING → ordinary, and what was to replace it goes
 *                             → tombstone, when the successor runs, or nobody wants it
 *                             SUSPECT → EVACUATING, when the cell is being drained
 *                             EVACUATING stays so while the same agent speaks: it moves, and its cell is in service
 *   the successor runs        SUSPECT, EVACUATING → tombstone
 *   its container ended       SUSPECT, EVACUATING, tombstone → gone
 *   its cell is forgotten     tombstone → gone
 *
 * A tombstone is such a record that is `retired`: nobody is shown it, and its cell is told to stop the container until it is gone,
 * also when it comes back from a long absence.
 */

/** The cell that it is on has fallen silent. */
export function loseCell(draft: Draft, row: ActualLrpRow): void {
  if (row.generation !== '') {
    if (row.presence !== ActualLrpPresence.EVACUATING || row.retired) return;
    draft.putActualLrp(row, { ...row, presence: ActualLrpPresence.SUSPECT, tagIndex: row.tagIndex + 1 });
    return;
  }
  if (!draft.state.cells.has(row.cellId)) return giveUp(draft, row);
  const claimedOnly = row.state === ActualLrpState.CLAIMED && hasShownOthers(draft, row);
  const stays = !row.retired && !claimedOnly && mayStay(draft, row);
  draft.moveActualLrp(row, {
    ...row,
    generation: row.instanceGuid,
    presence: ActualLrpPresence.SUSPECT,
    retired: !stays,
    tagIndex: row.tagIndex + 1,
  });
  replaceWanted(draft, row);
}

/** Its container is gone: a slot that is wanted starts anew. */
export function giveUp(draft: Draft, row: ActualLrpRow): void {
  if (row.generation !== '') draft.deleteActualLrp(row);
  else if (row.retired || !isWanted(draft, row.processGuid, row.index)) {
    draft.deleteActualLrp(row);
    replaceWanted(draft, row);
  } else unclaim(draft, row);
}

/** Its cell says that it has the container of a record beside the ordinary one. Whichever runs first stays. */
export function reinstate(draft: Draft, row: ActualLrpRow): void {
  if (row.retired) return tellToStop(draft, row, 'told before');
  const { ordinary } = draft.state.slot(row.processGuid, row.index);
  const succeeded = ordinary !== undefined && (ordinary.state === ActualLrpState.RUNNING || ordinary.retired);
  const desired = draft.state.desiredLrps.get(row.processGuid);
  const unwanted = !mayStay(draft, row) || (desired !== undefined && desired.domain !== row.domain);
  if (unwanted) return supersede(draft, row, 'not desired');
  if (succeeded) return supersede(draft, row, 'another instance has its slot');
  if (isCellDraining(draft, row.cellId)) return keepWhileDraining(draft, row);
  if (ordinary?.state === ActualLrpState.CLAIMED)
    supersede(draft, ordinary, 'the instance that it was to replace is back');
  else if (ordinary !== undefined) draft.deleteActualLrp(ordinary);
  const reinstated = draft.moveActualLrp(row, {
    ...row,
    generation: '',
    presence: ActualLrpPresence.ORDINARY,
    crashes: ordinary?.crashes ?? row.crashes,
    tagIndex: row.tagIndex + 1,
  });
  if (reinstated.state === ActualLrpState.RUNNING) supersedeOthers(draft, reinstated);
}

/** The ordinary instance is up: what it replaces is not needed any more. */
export function supersedeOthers(draft: Draft, { processGuid, index }: ActualLrpRow): void {
  const { others } = draft.state.slot(processGuid, index);
  if (others.length === 0) return;
  for (const row of others) if (!row.retired) supersede(draft, row, 'its replacement runs');
}

/** A container loses its slot: it is to go, now or when its cell is back. */
export function supersede(draft: Draft, row: ActualLrpRow, reason: string): void {
  const cell = draft.state.cells.get(row.cellId);
  if (cell === undefined) return draft.deleteActualLrp(row);
  const presence = row.generation === '' ? ActualLrpPresence.SUSPECT : row.presence;
  const tombstone = { ...row, generation: row.instanceGuid, presence, retired: true, tagIndex: row.tagIndex + 1 };
  if (row.generation === '') draft.moveActualLrp(row, tombstone);
  else draft.putActualLrp(row, tombstone);
  tellToStop(draft, tombstone, reason);
}

/** Its cell is being drained. Called whenever that may let the slot go one step further. */
export function drain(draft: Draft, row: ActualLrpRow): void {
  const onCell = row.state === ActualLrpState.CLAIMED || row.state === ActualLrpState.RUNNING;
  if (!onCell || row.generation !== '' || row.retired || !isCellDraining(draft, row.cellId)) return;
  const desired = draft.state.desiredLrps.get(row.processGuid);
  if (desired === undefined || row.index >= desired.instances) {
    // Of a record that can not be read nobody knows whether it is wanted: it stays up for as long as its cell does.
    if (!draft.state.unreadableLrps.has(row.processGuid))
      supersede(draft, row, 'its cell is drained and nobody desires it');
  } else if (row.state === ActualLrpState.CLAIMED) {
    supersede(draft, row, 'its cell is drained');
    replaceWanted(draft, row);
  } else if (desired.updateStrategy === UpdateStrategy.RECREATE) {
    if (allRun(draft, desired)) stopToMove(draft, row, 'its cell is drained');
  } else replaceWhileItRuns(draft, row, desired);
}

/**
 * An operator wants the instance elsewhere, and its cell stays in service. It goes on until its replacement runs; the instances of
 * a RECREATE LRP are stopped first, one at a time. Where the replacement goes is for the auction to say.
 * @throws ACTUAL_LRP_CANNOT_BE_MOVED with what stands in the way
 */
export function moveActualLrp(draft: Draft, row: ActualLrpRow): void {
  const desired = draft.state.desiredLrps.get(row.processGuid);
  if (row.generation !== '') throw immovable(row, 'its slot has another record: it is moving, or its cell is silent');
  if (row.retired) throw immovable(row, 'it was told to stop');
  if (row.state !== ActualLrpState.RUNNING) throw immovable(row, `it is ${ActualLrpState[row.state]}`);
  if (desired === undefined || row.index >= desired.instances) throw immovable(row, 'nobody desires it');
  if (isCellDraining(draft, row.cellId)) throw immovable(row, `cell ${row.cellId} is being drained`);
  if (desired.updateStrategy !== UpdateStrategy.RECREATE) replaceWhileItRuns(draft, row, desired);
  else if (allRun(draft, desired)) stopToMove(draft, row, 'it is to move');
  else throw immovable(row, 'not all instances of its LRP run, and only one of them may be down');
}

/** One more instance of the LRP is up: of those that may be down only one at a time, the next may move. */
export function drainNext(draft: Draft, processGuid: string): void {
  if (draft.state.drainingCells.size === 0) return;
  if (draft.state.desiredLrps.get(processGuid)?.updateStrategy !== UpdateStrategy.RECREATE) return;
  for (const [, { ordinary }] of draft.state.slotsOf(processGuid)) if (ordinary) drain(draft, ordinary);
}

function keepWhileDraining(draft: Draft, row: ActualLrpRow): void {
  const desired = draft.state.desiredLrps.get(row.processGuid);
  const moves = desired !== undefined && desired.updateStrategy !== UpdateStrategy.RECREATE;
  if (!moves || row.state !== ActualLrpState.RUNNING) return supersede(draft, row, 'its cell is drained');
  if (row.presence === ActualLrpPresence.EVACUATING) return;
  draft.putActualLrp(row, { ...row, presence: ActualLrpPresence.EVACUATING, tagIndex: row.tagIndex + 1 });
}

/** It goes on beside the record of its replacement, which is offered to the cells. */
function replaceWhileItRuns(draft: Draft, row: ActualLrpRow, { domain }: DesiredLrpRow): void {
  draft.moveActualLrp(row, {
    ...row,
    generation: row.instanceGuid,
    presence: ActualLrpPresence.EVACUATING,
    tagIndex: row.tagIndex + 1,
  });
  createUnclaimed(draft, { ...row, domain }, row.crashes);
}

function stopToMove(draft: Draft, row: ActualLrpRow, reason: string): void {
  draft.effect({ kind: 'stop-lrp', instance: row, reason });
  draft.putActualLrp(row, { ...row, retired: true, tagIndex: row.tagIndex + 1 });
}

function allRun(draft: Draft, desired: DesiredLrpRow): boolean {
  for (let index = 0; index < desired.instances; index++) {
    const { ordinary } = draft.state.slot(desired.processGuid, index);
    if (ordinary?.state !== ActualLrpState.RUNNING || ordinary.retired) return false;
  }
  return true;
}

function hasShownOthers(draft: Draft, { processGuid, index }: ActualLrpRow): boolean {
  return draft.state.slot(processGuid, index).others.some((row) => !row.retired);
}

function tellToStop(draft: Draft, row: ActualLrpRow, reason: string): void {
  if (isCellPresent(draft, row.cellId)) draft.effect({ kind: 'stop-lrp', instance: row, reason });
}

function immovable({ processGuid, index, cellId, instanceGuid }: ActualLrpRow, because: string): RiveraError {
  const name = `${processGuid}/${index}`;
  return new RiveraError('ACTUAL_LRP_CANNOT_BE_MOVED', `cannot move ${name}: ${because}`, {
    resource: { type: 'actual_lrp', name },
    metadata: { instance_guid: instanceGuid, cell_id: cellId },
  });
}
