import type { ActualLrpPresence, ActualLrpState, NetInfo } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import type { CellPresence } from '@rivera/gen/rivera/bbs/v1/cell';
import type { RestartPolicy, UpdateStrategy } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import type { PlacementObstacle, WorkRequirements } from '@rivera/gen/rivera/bbs/v1/placement';
import type { TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import type { MetricTagValue } from '@rivera/gen/rivera/recipe/v1/container';

/**
 * The rows of the BBS. A row is never changed: a change makes a new one, so images of before and after cost nothing and a
 * snapshot is a list of references. Times are milliseconds since 1970 by the leader's clock; 0 means "never" or "not set".
 */

export interface TaskRow {
  readonly guid: string;
  readonly domain: string;
  readonly state: TaskState;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
  readonly firstCompletedAtMs: number;
  readonly cellId: string;
  /** The reservation that runs it; a repeated start by the same one gets the same answer. */
  readonly executionGuid: string;
  readonly failed: boolean;
  readonly failureReason: string;
  readonly result: string;
  readonly rejectionCount: number;
  readonly rejectionReason: string;
  /** While PENDING: not offered to cells before. */
  readonly nextAttemptAtMs: number;
  readonly requirements: WorkRequirements;
  readonly annotation: string;
  readonly callbackUrl: string;
  /** Deliveries that failed since it ended, or since somebody had it tried again. */
  readonly callbackAttempts: number;
  /** While COMPLETED with a callback: not tried before. */
  readonly nextCallbackAtMs: number;
  /** Why the last delivery failed. */
  readonly callbackError: string;
  /** When somebody had it tried again: from then on it has the whole retention. */
  readonly callbackRetriedAtMs: number;
  /** Since when it is a dead letter. */
  readonly callbackGivenUpAtMs: number;
  /** SHA-256 of the definition, hex: tells a repeated request from a conflicting one. */
  readonly definitionDigest: string;
}

export interface DesiredLrpRow {
  readonly processGuid: string;
  readonly domain: string;
  readonly instances: number;
  readonly logGuid: string;
  readonly requirements: WorkRequirements;
  readonly routes: Readonly<Record<string, string>>;
  readonly annotation: string;
  readonly metricTags: Readonly<Record<string, MetricTagValue>>;
  readonly updateStrategy: UpdateStrategy;
  readonly restartPolicy: RestartPolicy | undefined;
  readonly tagEpoch: string;
  readonly tagIndex: number;
  readonly createdAtMs: number;
  /** SHA-256 of the request that created it, hex. */
  readonly definitionDigest: string;
}

export interface ActualLrpRow {
  readonly processGuid: string;
  readonly index: number;
  /** '' for the slot's ordinary record; the instance guid for evacuating and suspect ones, of which a slot may have several. */
  readonly generation: string;
  readonly presence: ActualLrpPresence;
  readonly domain: string;
  readonly state: ActualLrpState;
  readonly instanceGuid: string;
  readonly cellId: string;
  readonly sinceMs: number;
  /** When it became RUNNING; not moved by changes of routability, unlike `sinceMs`. */
  readonly startedAtMs: number;
  readonly crashCount: number;
  readonly crashReason: string;
  /** The latest ones, oldest first. */
  readonly crashes: readonly CrashRecord[];
  readonly placementError: string;
  readonly obstacles: readonly PlacementObstacle[];
  /** While CRASHED: 0 means it has given up. */
  readonly nextRestartAtMs: number;
  /** It was told to stop and is told again until its cell has removed it. */
  readonly retired: boolean;
  readonly routable: boolean;
  readonly availabilityZone: string;
  readonly netInfo: NetInfo | undefined;
  readonly internalRoutes: readonly string[];
  readonly metricTags: Readonly<Record<string, string>>;
  readonly tagEpoch: string;
  readonly tagIndex: number;
}

/** What is kept of a crash for people. */
export interface CrashRecord {
  readonly atMs: number;
  readonly reason: string;
  readonly cellId: string;
  readonly instanceGuid: string;
  /** 0: it never ran. */
  readonly uptimeMs: number;
}

export interface DomainRow {
  readonly domain: string;
  /** 0: never. */
  readonly expiresAtMs: number;
}

export interface CellRow {
  readonly cellId: string;
  readonly presence: CellPresence;
  /** New with each start of the agent. */
  readonly incarnation: string;
  readonly evacuating: boolean;
  /** Its TTL ran out; its work has been taken from it. */
  readonly missing: boolean;
  /** Its TTL ran out together with that of most cells: it keeps its work for a while. */
  readonly silent: boolean;
  readonly sinceMs: number;
}

/** Whether people are shown the record: a tombstone is kept for its cell alone. */
export function isShown(row: Pick<ActualLrpRow, 'generation' | 'retired'>): boolean {
  return row.generation === '' || !row.retired;
}

/** Identifies an actual LRP's row among all. */
export function actualLrpKey(row: Pick<ActualLrpRow, 'processGuid' | 'index' | 'generation'>): string {
  return row.generation === ''
    ? `${row.processGuid}/${row.index}`
    : `${row.processGuid}/${row.index}/${row.generation}`;
}
