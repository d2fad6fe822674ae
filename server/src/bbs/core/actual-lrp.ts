import { ActualLrpPresence, ActualLrpState, type NetInfo } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import type { PlacementObstacle } from '@rivera/gen/rivera/bbs/v1/placement';
import { RiveraError } from '@rivera/kit/errors';
import type { Draft, InstanceRef } from './draft.js';
import { sameTags, updateWhereItDiffers } from './instance-facts.js';
import type { ActualLrpRow, CrashRecord } from './model.js';
import { afterCrash, restartNumbers } from './restart.js';
import { dueKey } from './state.js';
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
 *   lose     CLAIMED|RUNNING                  → UNCLAIMED   its cell, or its container, is gone
 *   retire   any                              → gone        or told to stop until its cell has removed it
 *
 * "same" means the same instance guid and cell; "any" may be another one.
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

const NOWHERE = {
  instanceGuid: '',
  cellId: '',
  startedAtMs: 0,
  nextRestartAtMs: 0,
  retired: false,
  routable: false,
  availabilityZone: '',
  netInfo: undefined,
  internalRoutes: [],
  metricTags: {},
} as const satisfies Partial<ActualLrpRow>;

/** A slot that nobody holds is offered to the cells. */
export function createUnclaimed(draft: Draft, processGuid: string, index: number, domain: string): ActualLrpRow {
  draft.effect({ kind: 'auction-lrp', processGuid, index });
  return draft.putActualLrp(undefined, {
    ...NOWHERE,
    processGuid,
    index,
    generation: '',
    presence: ActualLrpPresence.ORDINARY,
    domain,
    state: ActualLrpState.UNCLAIMED,
    sinceMs: draft.now,
    crashCount: 0,
    crashReason: '',
    crashes: [],
    placementError: '',
    obstacles: [],
    tagEpoch: draft.newEpoch(),
    tagIndex: 0,
  });
}

/** A cell makes a container for the slot. */
export function claimActualLrp(draft: Draft, ref: InstanceRef): ActualLrpRow {
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

/** The container is up, or something about it changed. */
export function runActualLrp(draft: Draft, ref: InstanceRef, facts: RunningFacts): ActualLrpRow {
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
  return running;
}

/** A cell comes back with an instance that the BBS had given up: it is kept while nothing says that it is not wanted. */
function runWithoutRecord(draft: Draft, ref: InstanceRef, facts: RunningFacts): ActualLrpRow {
  if (!mayBeWanted(draft, ref)) {
    throw new RiveraError('ACTUAL_LRP_CANNOT_BE_STARTED', `cannot start ${name(ref)}: nobody desires it`, {
      resource: { type: 'actual_lrp', name: name(ref) },
    });
  }
  return draft.putActualLrp(undefined, {
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
}

/** The container ended by itself. */
export function crashActualLrp(draft: Draft, ref: InstanceRef, reason: string): ActualLrpRow | undefined {
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
  if (row.state === ActualLrpState.UNCLAIMED || row.state === ActualLrpState.CRASHED) {
    draft.deleteActualLrp(row);
    replaceWanted(draft, row);
    return;
  }
  if (!isCellPresent(draft, row.cellId)) {
    draft.deleteActualLrp(row);
    replaceWanted(draft, row);
    return;
  }
  draft.effect({ kind: 'stop-lrp', instance: row, reason });
  if (!row.retired) draft.putActualLrp(row, { ...row, retired: true, tagIndex: row.tagIndex + 1 });
  else draft.lookAgainAt(dueKey.actualLrp(row.processGuid, row.index, row.generation), draft.now + draft.policy.kickMs);
}

/** Its cell, or its container, is gone: the slot starts anew while it is wanted. */
export function loseActualLrp(draft: Draft, row: ActualLrpRow): void {
  if (row.retired || !isWanted(draft, row.processGuid, row.index)) {
    draft.deleteActualLrp(row);
    replaceWanted(draft, row);
    return;
  }
  unclaim(draft, row);
}

/** What time alone does to an instance; called when it is due. */
export function actualLrpDue(draft: Draft, processGuid: string, index: number): void {
  const row = draft.state.slot(processGuid, index).ordinary;
  if (row === undefined) return;
  if (row.retired) return retireActualLrp(draft, row, 'told before');
  if (row.state === ActualLrpState.UNCLAIMED && isWanted(draft, processGuid, index)) {
    draft.effect({ kind: 'auction-lrp', processGuid, index });
    draft.lookAgainAt(dueKey.actualLrp(processGuid, index, ''), draft.now + draft.policy.kickMs);
  } else if (row.state === ActualLrpState.CRASHED && row.nextRestartAtMs > 0 && row.nextRestartAtMs <= draft.now) {
    unclaim(draft, row);
  }
}

/** Whether the slot is wanted, or nothing says that it is not: only in a fresh domain does silence mean that. */
export function mayBeWanted(
  draft: Draft,
  { processGuid, index, domain }: Omit<InstanceRef, 'instanceGuid' | 'cellId'>,
): boolean {
  if (draft.state.desiredLrps.has(processGuid)) {
    return isWanted(draft, processGuid, index) || !draft.state.isFresh(domain, draft.now);
  }
  return !draft.state.isSurelyUndesired(processGuid, domain, draft.now);
}

/** Whether a DesiredLrp asks for the slot. */
export function isWanted(draft: Draft, processGuid: string, index: number): boolean {
  const desired = draft.state.desiredLrps.get(processGuid);
  return desired !== undefined && index < desired.instances;
}

/** Whether the cell has been heard of within its time to live. */
export function isCellPresent(draft: Draft, cellId: string): boolean {
  return draft.state.cells.get(cellId)?.missing === false;
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

function replaceWanted(draft: Draft, gone: ActualLrpRow): ActualLrpRow | undefined {
  const desired = draft.state.desiredLrps.get(gone.processGuid);
  if (desired === undefined || gone.index >= desired.instances) return undefined;
  // Not the domain of what is gone: the LRP may have been removed and desired anew in another one meanwhile.
  return createUnclaimed(draft, gone.processGuid, gone.index, desired.domain);
}

function unclaim(draft: Draft, row: ActualLrpRow): void {
  draft.effect({ kind: 'auction-lrp', processGuid: row.processGuid, index: row.index });
  draft.putActualLrp(row, {
    ...row,
    ...NOWHERE,
    state: ActualLrpState.UNCLAIMED,
    sinceMs: draft.now,
    tagIndex: row.tagIndex + 1,
  });
}

function isSame(row: ActualLrpRow, ref: InstanceRef): boolean {
  return row.instanceGuid !== '' && row.instanceGuid === ref.instanceGuid && row.cellId === ref.cellId;
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
): RiveraError {
  const holder = row.cellId === '' ? '' : ` by ${row.instanceGuid} on cell ${row.cellId}`;
  return new RiveraError(reason, `cannot ${verb} ${name(row)}: it is ${ActualLrpState[row.state]}${holder}`, {
    resource: { type: 'actual_lrp', name: name(row) },
    metadata: { state: ActualLrpState[row.state] ?? '', instance_guid: row.instanceGuid, cell_id: row.cellId },
  });
}
