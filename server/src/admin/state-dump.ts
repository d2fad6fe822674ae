import { ActualLrpPresence, ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import type { PlacementObstacle, WorkRequirements } from '@rivera/gen/rivera/bbs/v1/placement';
import { TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import type { Auctioneer } from '../auction/auctioneer.js';
import type { ActualLrpRow, CellRow, DesiredLrpRow, TaskRow } from '../bbs/core/model.js';
import type { State } from '../bbs/core/state.js';
import type { BbsTerm } from '../bbs/term.js';
import { nameOf } from './census.js';

/** Failure texts come from programs that may say anything; enough of them to understand. */
const MAX_TEXT = 256;

/**
 * What a server knows, one object a line, for somebody who helps from afar. Every field is chosen here: whatever may hold a
 * secret (recipes, environment, routes, annotations, tags, results, callback URLs) is told by its size or its names alone, and
 * what is added to the records later stays out until it is chosen as well.
 */
export async function* serverState(of: {
  readonly server: object;
  readonly term: BbsTerm | undefined;
  readonly auctioneer: Auctioneer | undefined;
}): AsyncGenerator<object> {
  yield { kind: 'server', time: new Date().toISOString(), ...of.server };
  if (of.auctioneer !== undefined) yield* auctionState(of.auctioneer);
  if (of.term !== undefined) yield* bbsState(of.term);
}

/** Rows don't change, so a consistent view of all of them is a list of references; it is told once it is durable. */
async function* bbsState({ engine, converger, sessions, placement }: BbsTerm): AsyncGenerator<object> {
  const { result, revision } = await engine.read((state, now) => ({ rows: [...everyRow(state)], now }));
  yield {
    kind: 'bbs',
    epoch: engine.epoch,
    revision,
    now: timeOf(result.now),
    backlogRows: engine.backlogRows,
    due: engine.state.due.size,
    sessions: sessions.size,
    auctioneerConnected: placement.connected,
    lastAudit: converger.lastAudit,
  };
  for (const describe of result.rows) yield describe(converger);
}

type Describe = (seen: { lastSeenMs(cellId: string): number }) => object;

function* everyRow(state: State): Generator<Describe> {
  for (const row of state.cells.values()) yield (seen) => cellLine(row, seen.lastSeenMs(row.cellId));
  for (const row of state.domains.values()) {
    yield () => ({ kind: 'domain', domain: row.domain, expiresAt: timeOf(row.expiresAtMs) });
  }
  for (const row of state.desiredLrps.values()) yield () => desiredLrpLine(row);
  for (const processGuid of state.slotOrder.after('')) {
    for (const [, { ordinary, others }] of state.slotsOf(processGuid)) {
      if (ordinary !== undefined) yield () => actualLrpLine(ordinary);
      for (const row of others) yield () => actualLrpLine(row);
    }
  }
  for (const row of state.tasks.values()) yield () => taskLine(row);
}

function* auctionState(auctioneer: Auctioneer): Generator<object> {
  yield { kind: 'auctioneer', epoch: auctioneer.epoch, queued: auctioneer.queued };
  for (const cell of auctioneer.cells()) {
    yield {
      kind: 'bidding-cell',
      cellId: cell.id,
      zone: cell.zone,
      total: cell.total,
      free: cell.free,
      startingContainers: cell.startingContainers,
      held: cell.held.size,
      handedOut: cell.assignments.size,
      evacuating: cell.evacuating,
      avoidedUntil: timeOf(cell.avoidedUntilMs),
      sequence: cell.sequence,
      incomplete: cell.incomplete,
    };
  }
}

function cellLine(
  { cellId, presence, incarnation, evacuating, missing, sinceMs }: CellRow,
  lastSeenMs: number,
): object {
  const { repAddress, zone, capacity, rootFsProviders, placementTags, optionalPlacementTags, hostAddress } = presence;
  return {
    kind: 'cell',
    cellId,
    zone,
    repAddress,
    hostAddress,
    capacity: capacity && { memoryMb: capacity.memoryMb, diskMb: capacity.diskMb, containers: capacity.containers },
    rootFs: rootFsProviders.map(({ name, properties }) => ({ name, properties })),
    placementTags,
    optionalPlacementTags,
    incarnation,
    evacuating,
    missing,
    since: timeOf(sinceMs),
    lastSeen: timeOf(lastSeenMs),
  };
}

function desiredLrpLine(row: DesiredLrpRow): object {
  return {
    kind: 'desired-lrp',
    processGuid: row.processGuid,
    domain: row.domain,
    instances: row.instances,
    logGuid: row.logGuid,
    requirements: requirementsOf(row.requirements),
    routes: Object.keys(row.routes),
    annotationLength: row.annotation.length,
    metricTags: Object.keys(row.metricTags),
    ownRestartPolicy: row.restartPolicy !== undefined,
    tag: { epoch: row.tagEpoch, index: row.tagIndex },
    createdAt: timeOf(row.createdAtMs),
    definitionDigest: row.definitionDigest,
  };
}

function actualLrpLine(row: ActualLrpRow): object {
  return {
    kind: 'actual-lrp',
    processGuid: row.processGuid,
    index: row.index,
    generation: row.generation,
    presence: nameOf(ActualLrpPresence[row.presence]),
    state: nameOf(ActualLrpState[row.state]),
    domain: row.domain,
    instanceGuid: row.instanceGuid,
    cellId: row.cellId,
    zone: row.availabilityZone,
    since: timeOf(row.sinceMs),
    startedAt: timeOf(row.startedAtMs),
    crashCount: row.crashCount,
    crashReason: row.crashReason.slice(0, MAX_TEXT),
    nextRestartAt: timeOf(row.nextRestartAtMs),
    placementError: row.placementError.slice(0, MAX_TEXT),
    obstacles: row.obstacles.map(obstacleOf),
    retired: row.retired,
    routable: row.routable,
    hasNetwork: row.netInfo !== undefined,
    tag: { epoch: row.tagEpoch, index: row.tagIndex },
  };
}

function taskLine(row: TaskRow): object {
  return {
    kind: 'task',
    taskGuid: row.guid,
    domain: row.domain,
    state: nameOf(TaskState[row.state]),
    createdAt: timeOf(row.createdAtMs),
    updatedAt: timeOf(row.updatedAtMs),
    firstCompletedAt: timeOf(row.firstCompletedAtMs),
    cellId: row.cellId,
    executionGuid: row.executionGuid,
    failed: row.failed,
    failureReason: row.failureReason.slice(0, MAX_TEXT),
    resultLength: row.result.length,
    rejectionCount: row.rejectionCount,
    rejectionReason: row.rejectionReason.slice(0, MAX_TEXT),
    nextAttemptAt: timeOf(row.nextAttemptAtMs),
    requirements: requirementsOf(row.requirements),
    annotationLength: row.annotation.length,
    hasCallback: row.callbackUrl !== '',
    callbackAttempts: row.callbackAttempts,
    nextCallbackAt: timeOf(row.nextCallbackAtMs),
    callbackError: row.callbackError.slice(0, MAX_TEXT),
    callbackRetriedAt: timeOf(row.callbackRetriedAtMs),
    callbackGivenUpAt: timeOf(row.callbackGivenUpAtMs),
    definitionDigest: row.definitionDigest,
  };
}

function requirementsOf({ memoryMb, diskMb, maxPids, rootFs, placementTags, volumeDrivers }: WorkRequirements): object {
  return { memoryMb, diskMb, maxPids, rootFs, placementTags, volumeDrivers };
}

function obstacleOf({ kind, description, cells, exampleCellIds }: PlacementObstacle): object {
  return { kind, description, cells, exampleCellIds };
}

function timeOf(ms: number): string | undefined {
  return ms === 0 ? undefined : new Date(ms).toISOString();
}
