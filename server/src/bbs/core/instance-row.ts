import { ActualLrpPresence, ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import type { Draft, InstanceRef } from './draft.js';
import type { ActualLrpRow, CrashRecord } from './model.js';

/** What the machines of an instance share: how its records begin and end, and the questions that are asked about them. */

const NONE = [] as const;
const NOTHING = {} as const;

/** A record without a container. */
export const NOWHERE = {
  instanceGuid: '',
  cellId: '',
  startedAtMs: 0,
  nextRestartAtMs: 0,
  retired: false,
  routable: false,
  availabilityZone: '',
  netInfo: undefined,
  internalRoutes: NONE,
  metricTags: NOTHING,
} as const satisfies Partial<ActualLrpRow>;

/** A slot that nobody holds is offered to the cells. What people are told of its crashes goes on. */
export function createUnclaimed(
  draft: Draft,
  slot: { processGuid: string; index: number; domain: string },
  crashes: readonly CrashRecord[] = [],
): ActualLrpRow {
  const { processGuid, index, domain } = slot;
  draft.effect({ kind: 'auction-lrp', processGuid, index });
  // Every member in one literal: the engine makes these faster than copies, and there are as many as instances.
  return draft.putActualLrp(undefined, {
    processGuid,
    index,
    generation: '',
    presence: ActualLrpPresence.ORDINARY,
    domain,
    state: ActualLrpState.UNCLAIMED,
    sinceMs: draft.now,
    instanceGuid: '',
    cellId: '',
    startedAtMs: 0,
    nextRestartAtMs: 0,
    retired: false,
    crashCount: 0,
    crashReason: '',
    crashes,
    placementError: '',
    obstacles: NONE,
    routable: false,
    availabilityZone: '',
    netInfo: undefined,
    internalRoutes: NONE,
    metricTags: NOTHING,
    tagEpoch: draft.newEpoch(),
    tagIndex: 0,
  });
}

/** The slot goes back to waiting, and is offered anew. */
export function unclaim(draft: Draft, row: ActualLrpRow): void {
  draft.effect({ kind: 'auction-lrp', processGuid: row.processGuid, index: row.index });
  draft.putActualLrp(row, {
    ...row,
    ...NOWHERE,
    state: ActualLrpState.UNCLAIMED,
    sinceMs: draft.now,
    tagIndex: row.tagIndex + 1,
  });
}

/** Fills the place of an ordinary record that is gone, when the slot is wanted. */
export function replaceWanted(draft: Draft, gone: ActualLrpRow): ActualLrpRow | undefined {
  const desired = draft.state.desiredLrps.get(gone.processGuid);
  if (desired === undefined || gone.index >= desired.instances) return undefined;
  // Not the domain of what is gone: the LRP may have been removed and desired anew in another one meanwhile.
  const { processGuid, index } = gone;
  return createUnclaimed(draft, { processGuid, index, domain: desired.domain }, gone.crashes);
}

/** What a question looks at. */
export type View = Pick<Draft, 'state' | 'now'>;
type SlotOf = Pick<InstanceRef, 'processGuid' | 'index' | 'domain'>;

/** Whether the slot is wanted, or nothing says that it is not: only in a fresh domain does silence mean that. */
export function mayBeWanted(view: View, slot: SlotOf): boolean {
  if (view.state.desiredLrps.has(slot.processGuid)) return mayStay(view, slot);
  return !view.state.isSurelyUndesired(slot.processGuid, slot.domain, view.now);
}

/**
 * Whether an instance may stay for the moment. An LRP says itself which of its slots it wants. Where there is no LRP only the
 * comparison of everything decides, as it alone sees whether just this one has no LRP or suddenly most.
 */
export function mayStay({ state, now }: View, { processGuid, index, domain }: SlotOf): boolean {
  const desired = state.desiredLrps.get(processGuid);
  return desired === undefined || index < desired.instances || !state.isFresh(domain, now);
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

/** Whether the cell is there and to be emptied. */
export function isCellDraining(draft: Draft, cellId: string): boolean {
  return draft.state.drainingCells.has(cellId);
}

/** Whether the record is that of this container. */
export function isSame(row: ActualLrpRow, ref: Pick<InstanceRef, 'instanceGuid' | 'cellId'>): boolean {
  return row.instanceGuid !== '' && row.instanceGuid === ref.instanceGuid && row.cellId === ref.cellId;
}

/** The record beside the ordinary one that a container has. */
export function generationOf(draft: Draft, ref: InstanceRef): ActualLrpRow | undefined {
  const { others } = draft.state.slot(ref.processGuid, ref.index);
  return others.length === 0 ? undefined : others.find((row) => isSame(row, ref));
}
