import type { MetricTagValue } from '@rivera/gen/rivera/recipe/v1/container';
import { RiveraError } from '@rivera/kit/errors';
import { retireActualLrp } from './actual-lrp.js';
import type { Draft } from './draft.js';
import { updateWhereItDiffers } from './instance-facts.js';
import { createUnclaimed } from './instance-row.js';
import type { DesiredLrpRow } from './model.js';

/** What a client asks for. */
export type NewDesiredLrp = Omit<DesiredLrpRow, 'tagEpoch' | 'tagIndex' | 'createdAtMs'> & { runInfo: Uint8Array };

/** What a client changes; undefined members stay. */
export interface DesiredLrpChange {
  readonly instances?: number;
  readonly routes?: Readonly<Record<string, string>>;
  readonly annotation?: string;
  readonly metricTags?: Readonly<Record<string, MetricTagValue>>;
  /** The run info with new image credentials. */
  readonly runInfo?: Uint8Array;
}

/** The same request again succeeds; one that differs conflicts. All slots are made in the same change. */
export function desireLrp(draft: Draft, wanted: NewDesiredLrp): DesiredLrpRow {
  const existing = draft.state.desiredLrps.get(wanted.processGuid);
  if (existing !== undefined) {
    if (existing.definitionDigest === wanted.definitionDigest) return existing;
    throw new RiveraError('DESIRED_LRP_EXISTS', `LRP "${wanted.processGuid}" exists already with other content`, {
      resource: { type: 'desired_lrp', name: wanted.processGuid },
    });
  }
  draft.putRunInfo(wanted.processGuid, wanted.runInfo);
  const row = draft.putDesiredLrp({
    processGuid: wanted.processGuid,
    domain: wanted.domain,
    instances: wanted.instances,
    logGuid: wanted.logGuid,
    requirements: wanted.requirements,
    routes: wanted.routes,
    annotation: wanted.annotation,
    metricTags: wanted.metricTags,
    updateStrategy: wanted.updateStrategy,
    restartPolicy: wanted.restartPolicy,
    tagEpoch: draft.newEpoch(),
    tagIndex: 0,
    createdAtMs: draft.now,
    definitionDigest: wanted.definitionDigest,
  });
  createMissing(draft, row);
  return row;
}

export function updateDesiredLrp(
  draft: Draft,
  processGuid: string,
  change: DesiredLrpChange,
  ifIndex?: number,
): DesiredLrpRow {
  const before = existingDesiredLrp(draft, processGuid);
  if (ifIndex !== undefined && ifIndex !== before.tagIndex) {
    throw new RiveraError(
      'DESIRED_LRP_CONFLICT',
      `LRP "${processGuid}" has modification index ${before.tagIndex}, not ${ifIndex}: read it again`,
      { resource: { type: 'desired_lrp', name: processGuid }, metadata: { index: String(before.tagIndex) } },
    );
  }
  const { runInfo, ...fields } = change;
  if (runInfo !== undefined) draft.putRunInfo(processGuid, runInfo);
  const after = draft.putDesiredLrp({ ...before, ...withoutUndefined(fields), tagIndex: before.tagIndex + 1 });
  if (after.instances > before.instances) createMissing(draft, after);
  if (after.instances < before.instances) stopFrom(draft, processGuid, after.instances, 'scaled down');
  tellInstances(draft, before, after);
  return after;
}

export function removeDesiredLrp(draft: Draft, processGuid: string): void {
  existingDesiredLrp(draft, processGuid);
  draft.deleteDesiredLrp(processGuid);
  stopFrom(draft, processGuid, 0, 'LRP removed');
}

/**
 * Makes the slots that are wanted and not there. What is left in one from an LRP of the same name in another domain makes room first.
 */
export function createMissing(draft: Draft, desired: DesiredLrpRow): void {
  for (let index = 0; index < desired.instances; index++) {
    const slot = { processGuid: desired.processGuid, index };
    const row = draft.state.slot(slot.processGuid, index).ordinary;
    if (row === undefined) createUnclaimed(draft, { ...slot, domain: desired.domain });
    else if (row.domain !== desired.domain && !row.retired) retireActualLrp(draft, row, 'its LRP is of another domain');
  }
}

function stopFrom(draft: Draft, processGuid: string, firstIndex: number, reason: string): void {
  for (const [index, slot] of draft.state.slotsOf(processGuid)) {
    if (index < firstIndex) continue;
    for (const row of slot.others) if (!row.retired) retireActualLrp(draft, row, reason);
    if (slot.ordinary !== undefined) retireActualLrp(draft, slot.ordinary, reason);
  }
}

/** Running containers learn of new internal routes and tags, and only of those. */
function tellInstances(draft: Draft, before: DesiredLrpRow, after: DesiredLrpRow): void {
  const routesChanged = before.routes['internal-router'] !== after.routes['internal-router'];
  if (!routesChanged && before.metricTags === after.metricTags) return;
  for (const [, slot] of draft.state.slotsOf(after.processGuid)) {
    if (slot.ordinary !== undefined) updateWhereItDiffers(draft, slot.ordinary);
  }
}

function existingDesiredLrp(draft: Draft, processGuid: string): DesiredLrpRow {
  const row = draft.state.desiredLrps.get(processGuid);
  if (row !== undefined) return row;
  throw new RiveraError('DESIRED_LRP_NOT_FOUND', `there is no LRP "${processGuid}"`, {
    resource: { type: 'desired_lrp', name: processGuid },
  });
}

function withoutUndefined<T extends object>(fields: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };
}
