import type { ActualLrp, NetInfo } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { type Cell, CellState } from '@rivera/gen/rivera/bbs/v1/cell';
import { DesiredLrp } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import type { Domain } from '@rivera/gen/rivera/bbs/v1/domain_service';
import { type Task, type TaskCallback, TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import { ContainerSpec } from '@rivera/gen/rivera/recipe/v1/container';
import type { ActualLrpRow, CellRow, DesiredLrpRow, DomainRow, TaskRow } from '../core/model.js';

/** Rows as the API shows them; payloads that live in the journal are not in them. */

export function taskToProto(row: TaskRow): Task {
  return {
    taskGuid: row.guid,
    domain: row.domain,
    definition: undefined,
    state: row.state,
    createdAt: date(row.createdAtMs),
    updatedAt: date(row.updatedAtMs),
    firstCompletedAt: date(row.firstCompletedAtMs),
    cellId: row.cellId,
    failed: row.failed,
    failureReason: row.failureReason,
    result: row.result,
    rejectionCount: row.rejectionCount,
    rejectionReason: row.rejectionReason,
    requirements: row.requirements,
    annotation: row.annotation,
    nextAttemptAt: date(row.nextAttemptAtMs),
    callback: row.callbackUrl === '' ? undefined : callbackOf(row),
    expiresAt: undefined,
  };
}

function callbackOf(row: TaskRow): TaskCallback {
  return {
    attempts: row.callbackAttempts,
    nextAttemptAt: row.state === TaskState.COMPLETED ? date(row.nextCallbackAtMs) : undefined,
    lastError: row.callbackError,
    givenUpAt: date(row.callbackGivenUpAtMs),
  };
}

/** The scheduling view: no recipe, no environment, no secrets. */
export function desiredLrpToProto(row: DesiredLrpRow): DesiredLrp {
  return DesiredLrp.fromPartial({
    processGuid: row.processGuid,
    domain: row.domain,
    instances: row.instances,
    container: ContainerSpec.fromPartial({
      rootFs: row.requirements.rootFs,
      memoryMb: row.requirements.memoryMb,
      diskMb: row.requirements.diskMb,
      maxPids: row.requirements.maxPids,
      placementTags: row.requirements.placementTags,
      logGuid: row.logGuid,
      metricTags: row.metricTags,
    }),
    routes: row.routes,
    annotation: row.annotation,
    updateStrategy: row.updateStrategy,
    ...(row.restartPolicy && { restartPolicy: row.restartPolicy }),
    modificationTag: { epoch: row.tagEpoch, index: row.tagIndex },
    createdAt: new Date(row.createdAtMs),
    requirements: row.requirements,
  });
}

/** What routers need. */
export function desiredLrpRoutingToProto(row: DesiredLrpRow): DesiredLrp {
  return DesiredLrp.fromPartial({
    processGuid: row.processGuid,
    domain: row.domain,
    instances: row.instances,
    container: ContainerSpec.fromPartial({ logGuid: row.logGuid, metricTags: row.metricTags }),
    routes: row.routes,
    modificationTag: { epoch: row.tagEpoch, index: row.tagIndex },
  });
}

/** The whole LRP: the row's changeable parts laid over what was desired. */
export function fullDesiredLrpToProto(row: DesiredLrpRow, runInfo: Uint8Array): DesiredLrp {
  const full = DesiredLrp.decode(runInfo);
  const container = full.container ?? ContainerSpec.fromPartial({});
  return {
    ...full,
    processGuid: row.processGuid,
    domain: row.domain,
    instances: row.instances,
    container: { ...container, metricTags: { ...row.metricTags } },
    routes: { ...row.routes },
    annotation: row.annotation,
    modificationTag: { epoch: row.tagEpoch, index: row.tagIndex },
    createdAt: new Date(row.createdAtMs),
    requirements: row.requirements,
  };
}

export function actualLrpToProto(row: ActualLrpRow): ActualLrp {
  return {
    key: { processGuid: row.processGuid, index: row.index, domain: row.domain },
    instanceGuid: row.instanceGuid,
    cellId: row.cellId,
    state: row.state,
    presence: row.presence,
    netInfo: row.netInfo as NetInfo | undefined,
    crashCount: row.crashCount,
    crashReason: row.crashReason,
    placementError: row.placementError,
    since: new Date(row.sinceMs),
    modificationTag: { epoch: row.tagEpoch, index: row.tagIndex },
    internalRoutes: row.internalRoutes.map((hostname) => ({ hostname })),
    metricTags: row.metricTags as Record<string, string>,
    routable: row.routable,
    availabilityZone: row.availabilityZone,
    nextRestartAt: date(row.nextRestartAtMs),
    placementObstacles: row.obstacles as ActualLrp['placementObstacles'],
    crashes: row.crashes.map(({ atMs, ...crash }) => ({ at: new Date(atMs), ...crash })),
    stopping: row.retired,
    nextPlacementAt: undefined,
  };
}

export function domainToProto(row: DomainRow): Domain {
  return { domain: row.domain, expiresAt: date(row.expiresAtMs) };
}

/** What the BBS knows of a cell beside its row. */
export interface CellFacts {
  readonly lastSeenMs: number;
  readonly lrpInstances: number;
  readonly tasks: number;
}

export function cellToProto(row: CellRow, facts: CellFacts): Cell {
  return {
    presence: row.presence,
    state: cellState(row),
    since: new Date(row.sinceMs),
    lastSeenAt: date(facts.lastSeenMs),
    lrpInstances: facts.lrpInstances,
    tasks: facts.tasks,
  };
}

function cellState(row: CellRow): CellState {
  if (row.missing) return CellState.MISSING;
  if (row.silent) return CellState.SILENT;
  return row.evacuating ? CellState.EVACUATING : CellState.PRESENT;
}

function date(ms: number): Date | undefined {
  return ms === 0 ? undefined : new Date(ms);
}
