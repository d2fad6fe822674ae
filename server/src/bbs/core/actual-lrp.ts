import { ActualLrpPresence, ActualLrpState, type NetInfo } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import type { PlacementObstacle } from '@rivera/gen/rivera/bbs/v1/placement';
import { RiveraError } from '@rivera/kit/errors';
import type { Draft, InstanceRef } from './draft.js';
import { sameTags, updateWhereItDiffers } from './instance-facts.js';
import {
  generationOf,
  isCellDraining,
  isCellPresent,
  isSame,
  isWanted,
  mayStay,
  NOWHERE,
  replaceWanted,
  unclaim,
} from './instance-row.js';
import type { ActualLrpRow, CrashRecord } from './model.js';
import { afterCrash, restartNumbers } from './restart.js';
import { dueKey } from './state.js';
import { drain, drainNext, reinstate, supersede, supersedeOthers } from './succession.js';
import { truncateReason } from './text.js';

/**
 * The life of an instance (spec bbs §4). A slot's ordinary record goes
 *
 *   create   —                                → UNCLAIMED
 *   claim    UNCLAIMED                        → CLAIMED
 *            CLAIMED|RUNNING same             =           told again
 *   run      UNCLAIMED, CLAIMED any           → RUNNING     a cell that is up takes over from one that only tries
 *            CLAIMED same, told to stop       → RUNNING     and is still told to stop
 *            RUNNING same                     = RUNNING     new routability, routes, tags
 *   crash    CLAIMED|RUNNING same             → UNCLAIMED   restarted at once, or
 *                                             → CRASHED     later, or never
 *   remove   CLAIMED|RUNNING same             → gone        stopped as told; a wanted slot starts anew
 *   restart  CRASHED                          → UNCLAIMED   its wait is over
 *   give up  CLAIMED|RUNNING                  → UNCLAIMED   its container is gone
 *   retire   any                              → gone        or told to stop until its cell has removed it
 *
 * "same" means the same instance guid and cell; "any" may be another one. What becomes of it when its cell falls silent, comes
 * back or is drained is told in `succession.ts`.
 */

/** What a cell tells of an instance that is up. */
export interface RunningFacts {
  readonly netInfo: NetInfo;
  readonly internalRoutes: readonly string[];
  readonly metricTags: Readonly<Record<string, string>>;
  readonly routable: boolean;
  readonly availabilityZone: string;
}

/** Crashes of a slot that are kept for people. */
const REMEMBERED_CRASHES = 5;
const CRASH_REASON_BYTES = 256;

/** A cell makes a container for the slot. */
export function claimActualLrp(draft: Draft, ref: InstanceRef): ActualLrpRow {
  const other = backInPlace(draft, ref);
  if (other?.retired) throw refused('ACTUAL_LRP_CANNOT_BE_CLAIMED', 'claim', other);
  if (other !== undefined) return other;
  const row = draft.state.slot(ref.processGuid, ref.index).ordinary;
  if (row === undefined) throw notFound(ref);
  const same = isSame(row, ref);
  // Told again: a claim that comes behind the news that it runs must not undo it.
  if (same && (row.state === ActualLrpState.CLAIMED || row.state === ActualLrpState.RUNNING)) return row;
  if (row.domain !== ref.domain || row.state !== ActualLrpState.UNCLAIMED) {
    throw refused('ACTUAL_LRP_CANNOT_BE_CLAIMED', 'claim', row);
  }
  return draft.putActualLrp(row, {
    ...row,
    ...NOWHERE,
    state: ActualLrpState.CLAIMED,
    instanceGuid: ref.instanceGuid,
    cellId: ref.cellId,
    sinceMs: draft.now,
    placementError: '',
    obstacles: [],
    tagIndex: row.tagIndex + 1,
  });
}

/** A cell that is being drained takes nothing new, and the slot is offered to the others at once. @returns the refusal, if it is one */
export function declineWhileDraining(
  draft: Draft,
  { processGuid, index, cellId }: InstanceRef,
): RiveraError | undefined {
  const row = draft.state.slot(processGuid, index).ordinary;
  if (row?.state !== ActualLrpState.UNCLAIMED || !isCellDraining(draft, cellId)) return undefined;
  draft.effect({ kind: 'auction-lrp', processGuid, index });
  return refused('ACTUAL_LRP_CANNOT_BE_CLAIMED', 'claim', row, `cell ${cellId} is being drained`);
}

/** The container is up, or something about it changed. */
export function runActualLrp(draft: Draft, ref: InstanceRef, facts: RunningFacts): ActualLrpRow {
  const other = backInPlace(draft, ref);
  if (other !== undefined) return runBesideOrdinary(draft, other, facts);
  const row = draft.state.slot(ref.processGuid, ref.index).ordinary;
  if (row === undefined) return runWithoutRecord(draft, ref, facts);
  const same = isSame(row, ref);
  // A slot whose container was told to stop starts anew afterwards, if at all.
  const held = row.state === ActualLrpState.CLAIMED && (same || !row.retired);
  const takesOver = row.state === ActualLrpState.UNCLAIMED || held;
  if (row.domain !== ref.domain || !(takesOver || (same && row.state === ActualLrpState.RUNNING))) {
    throw refused('ACTUAL_LRP_CANNOT_BE_STARTED', 'start', row);
  }
  const alreadyRunning = same && row.state === ActualLrpState.RUNNING;
  if (alreadyRunning && factsEqual(row, facts)) {
    updateWhereItDiffers(draft, row);
    return row;
  }
  if (row.state === ActualLrpState.CLAIMED && !same) {
    draft.effect({ kind: 'stop-lrp', instance: row, reason: 'another cell runs the instance' });
  }
  const running = draft.putActualLrp(row, {
    ...row,
    ...facts,
    state: ActualLrpState.RUNNING,
    instanceGuid: ref.instanceGuid,
    cellId: ref.cellId,
    sinceMs: draft.now,
    startedAtMs: alreadyRunning ? row.startedAtMs : draft.now,
    retired: same && row.retired,
    placementError: '',
    obstacles: [],
    tagIndex: row.tagIndex + 1,
  });
  updateWhereItDiffers(draft, running);
  if (!alreadyRunning) isUp(draft, running);
  return running;
}

/** The slot has an instance: what it succeeds goes, and what waited for it goes on. */
function isUp(draft: Draft, row: ActualLrpRow): void {
  drain(draft, row);
  // One that has to go on at once succeeds nobody.
  if (draft.state.slot(row.processGuid, row.index).ordinary === row) supersedeOthers(draft, row);
  drainNext(draft, row.processGuid);
}

/** One that is being replaced goes on telling of itself; one that lost its slot is told to stop again. */
function runBesideOrdinary(draft: Draft, row: ActualLrpRow, facts: RunningFacts): ActualLrpRow {
  if (row.retired && isCellPresent(draft, row.cellId))
    draft.effect({ kind: 'stop-lrp', instance: row, reason: 'told before' });
  if (row.state === ActualLrpState.RUNNING && factsEqual(row, facts)) return row;
  const startedAtMs = row.startedAtMs || draft.now;
  const change = {
    ...facts,
    state: ActualLrpState.RUNNING,
    sinceMs: draft.now,
    startedAtMs,
    tagIndex: row.tagIndex + 1,
  };
  return draft.putActualLrp(row, { ...row, ...change });
}

/**
 * A container that was given up for silent is heard of: it gets its slot back when nobody else runs in it. One that is to be
 * replaced gets it back only with all that a new agent of its cell has (`reconcileInventory`).
 * @returns its record, when that still is not the slot's ordinary one
 */
function backInPlace(draft: Draft, ref: InstanceRef): ActualLrpRow | undefined {
  const row = generationOf(draft, ref);
  if (row === undefined) return undefined;
  if (!row.retired && row.presence === ActualLrpPresence.SUSPECT) reinstate(draft, row);
  return generationOf(draft, ref);
}

/** A cell comes back with an instance that the BBS knows nothing of: it stays while its LRP does not say otherwise. */
function runWithoutRecord(draft: Draft, ref: InstanceRef, facts: RunningFacts): ActualLrpRow {
  if (!mayStay(draft, ref)) {
    throw new RiveraError('ACTUAL_LRP_CANNOT_BE_STARTED', `cannot start ${name(ref)}: its LRP does not want it`, {
      resource: { type: 'actual_lrp', name: name(ref) },
    });
  }
  const running = draft.putActualLrp(undefined, {
    ...NOWHERE,
    ...facts,
    processGuid: ref.processGuid,
    index: ref.index,
    generation: '',
    presence: ActualLrpPresence.ORDINARY,
    domain: ref.domain,
    state: ActualLrpState.RUNNING,
    instanceGuid: ref.instanceGuid,
    cellId: ref.cellId,
    sinceMs: draft.now,
    startedAtMs: draft.now,
    crashCount: 0,
    crashReason: '',
    crashes: [],
    placementError: '',
    obstacles: [],
    tagEpoch: draft.newEpoch(),
    tagIndex: 0,
  });
  isUp(draft, running);
  return running;
}

/** The container ended by itself. */
export function crashActualLrp(draft: Draft, ref: InstanceRef, reason: string): ActualLrpRow | undefined {
  const other = generationOf(draft, ref);
  if (other !== undefined) {
    draft.deleteActualLrp(other);
    return undefined;
  }
  const row = draft.state.slot(ref.processGuid, ref.index).ordinary;
  if (row === undefined) throw notFound(ref);
  if (!isSame(row, ref)) throw refused('ACTUAL_LRP_CANNOT_BE_CRASHED', 'crash', row);
  const desired = draft.state.desiredLrps.get(ref.processGuid);
  const decision = afterCrash(row, draft.now, restartNumbers(desired?.restartPolicy, draft.policy.restart));
  const crashed: ActualLrpRow = {
    ...row,
    ...NOWHERE,
    state: ActualLrpState.CRASHED,
    sinceMs: draft.now,
    crashCount: decision.crashCount,
    crashReason: truncateReason(reason),
    crashes: withCrash(row, reason, draft.now),
    nextRestartAtMs: decision.restart.kind === 'at' ? decision.restart.atMs : 0,
    tagIndex: row.tagIndex + 1,
  };
  if (row.retired || !isWanted(draft, ref.processGuid, ref.index)) {
    draft.deleteActualLrp(row);
    return replaceWanted(draft, row);
  }
  if (decision.restart.kind !== 'now') return draft.putActualLrp(row, crashed);
  draft.effect({ kind: 'auction-lrp', processGuid: ref.processGuid, index: ref.index });
  return draft.putActualLrp(row, { ...crashed, state: ActualLrpState.UNCLAIMED });
}

/** The container was stopped as told. Telling it twice is harmless. */
export function removeActualLrp(draft: Draft, ref: InstanceRef): void {
  const other = generationOf(draft, ref);
  if (other !== undefined) return draft.deleteActualLrp(other);
  const row = draft.state.slot(ref.processGuid, ref.index).ordinary;
  if (row === undefined || !isSame(row, ref)) throw notFound(ref);
  draft.deleteActualLrp(row);
  replaceWanted(draft, row);
}

/** No cell took it: the reason is kept for people, and it is offered again later. */
export function failPlacement(
  draft: Draft,
  processGuid: string,
  index: number,
  reason: string,
  obstacles: readonly PlacementObstacle[],
): void {
  const row = draft.state.slot(processGuid, index).ordinary;
  if (row === undefined) return;
  if (row.state !== ActualLrpState.UNCLAIMED) throw refused('ACTUAL_LRP_CANNOT_BE_FAILED', 'fail', row);
  draft.putActualLrp(row, {
    ...row,
    sinceMs: draft.now,
    placementError: truncateReason(reason),
    obstacles,
    tagIndex: row.tagIndex + 1,
  });
}

/** Stops an instance, and says so again until its cell has removed it. A slot without a container is given up at once. */
export function retireActualLrp(draft: Draft, row: ActualLrpRow, reason: string): void {
  const onCell = row.state === ActualLrpState.CLAIMED || row.state === ActualLrpState.RUNNING;
  if (row.retired) return tellAgain(draft, row, reason);
  if (row.generation !== '') return supersede(draft, row, reason);
  if (!onCell || !isCellPresent(draft, row.cellId)) {
    if (onCell) supersede(draft, row, reason);
    else draft.deleteActualLrp(row);
    replaceWanted(draft, row);
    return;
  }
  draft.effect({ kind: 'stop-lrp', instance: row, reason });
  draft.putActualLrp(row, { ...row, retired: true, tagIndex: row.tagIndex + 1 });
}

function tellAgain(draft: Draft, row: ActualLrpRow, reason: string): void {
  if (isCellPresent(draft, row.cellId)) draft.effect({ kind: 'stop-lrp', instance: row, reason });
  draft.lookAgainAt(dueKey.actualLrp(row.processGuid, row.index, row.generation), draft.now + draft.policy.kickMs);
}

/** What time alone does to an instance; called when it is due. */
export function actualLrpDue(draft: Draft, slot: { processGuid: string; index: number; generation: string }): void {
  const { processGuid, index, generation } = slot;
  const { ordinary, others } = draft.state.slot(processGuid, index);
  const row = generation === '' ? ordinary : others.find((each) => each.generation === generation);
  if (row === undefined) return;
  if (row.retired) return tellAgain(draft, row, 'told before');
  if (row.state === ActualLrpState.UNCLAIMED && isWanted(draft, processGuid, index)) {
    draft.effect({ kind: 'auction-lrp', processGuid, index });
    draft.lookAgainAt(dueKey.actualLrp(processGuid, index, ''), draft.now + draft.policy.kickMs);
  } else if (row.state === ActualLrpState.CRASHED && row.nextRestartAtMs > 0 && row.nextRestartAtMs <= draft.now) {
    unclaim(draft, row);
  }
}

/** What people are told later of a slot's crashes. */
function withCrash(row: ActualLrpRow, reason: string, now: number): CrashRecord[] {
  const uptimeMs = row.startedAtMs > 0 ? now - row.startedAtMs : 0;
  const crash = {
    atMs: now,
    reason: truncateReason(reason, CRASH_REASON_BYTES),
    cellId: row.cellId,
    instanceGuid: row.instanceGuid,
    uptimeMs,
  };
  return [...row.crashes, crash].slice(-REMEMBERED_CRASHES);
}

function factsEqual(row: ActualLrpRow, facts: RunningFacts): boolean {
  return (
    row.routable === facts.routable &&
    row.availabilityZone === facts.availabilityZone &&
    JSON.stringify(row.netInfo) === JSON.stringify(facts.netInfo) &&
    JSON.stringify(row.internalRoutes) === JSON.stringify(facts.internalRoutes) &&
    sameTags(row.metricTags, facts.metricTags)
  );
}

function name(ref: Pick<ActualLrpRow, 'processGuid' | 'index'>): string {
  return `${ref.processGuid}/${ref.index}`;
}

function notFound(ref: InstanceRef): RiveraError {
  return new RiveraError(
    'ACTUAL_LRP_NOT_FOUND',
    `there is no instance ${name(ref)} with container ${ref.instanceGuid}`,
    {
      resource: { type: 'actual_lrp', name: name(ref) },
    },
  );
}

function refused(
  reason:
    | 'ACTUAL_LRP_CANNOT_BE_CLAIMED'
    | 'ACTUAL_LRP_CANNOT_BE_STARTED'
    | 'ACTUAL_LRP_CANNOT_BE_CRASHED'
    | 'ACTUAL_LRP_CANNOT_BE_FAILED',
  verb: string,
  row: ActualLrpRow,
  because = `it is ${ActualLrpState[row.state]}${row.cellId === '' ? '' : ` by ${row.instanceGuid} on cell ${row.cellId}`}`,
): RiveraError {
  return new RiveraError(reason, `cannot ${verb} ${name(row)}: ${because}`, {
    resource: { type: 'actual_lrp', name: name(row) },
    metadata: { state: ActualLrpState[row.state] ?? '', instance_guid: row.instanceGuid, cell_id: row.cellId },
  });
}
