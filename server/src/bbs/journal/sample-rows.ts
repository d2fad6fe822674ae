/** For tests and benchmarks: rows with every field filled in, and batches of them. */
import { ActualLrpPresence, ActualLrpState, NetInfo, PreferredAddress } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { CellPresence } from '@rivera/gen/rivera/bbs/v1/cell';
import { RestartPolicy, UpdateStrategy } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import { PlacementObstacle, WorkRequirements } from '@rivera/gen/rivera/bbs/v1/placement';
import { TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import { MetricTagValue, MetricTagValue_DynamicValue } from '@rivera/gen/rivera/recipe/v1/container';
import type { ActualLrpRow, CellRow, DesiredLrpRow, DomainRow, TaskRow } from '../core/model.js';
import { actualLrpKey } from '../core/model.js';
import type { ActualLrpChange, JournalBatch } from './journal.js';

const NOW_MS = 1_790_000_000_123;
/** All that could be taken for something else on its way through SQL, JSON and UTF-8. */
export const AWKWARD_TEXT = `'"\\ \0\n\u001a%_?:x ünïcødé 漢字 🚀 \u2028 ${'\\'.repeat(3)}'`;

const requirements = WorkRequirements.fromPartial({
  memoryMb: 256,
  diskMb: 1024,
  maxPids: 100,
  rootFs: 'preloaded:cflinuxfs4',
  placementTags: ['isolated', 'ssd'],
  volumeDrivers: ['nfs'],
  proxied: true,
});

export function sampleTask(overrides: Partial<TaskRow> = {}): TaskRow {
  return {
    guid: 'task-1',
    domain: 'domain-a',
    state: TaskState.COMPLETED,
    createdAtMs: NOW_MS,
    updatedAtMs: NOW_MS + 1,
    firstCompletedAtMs: NOW_MS + 2,
    cellId: 'cell-1',
    executionGuid: 'execution-1',
    failed: true,
    failureReason: AWKWARD_TEXT,
    result: `result ${AWKWARD_TEXT}`,
    rejectionCount: 3,
    rejectionReason: 'no room',
    nextAttemptAtMs: NOW_MS + 3,
    requirements,
    annotation: AWKWARD_TEXT,
    callbackUrl: 'https://callback.example/done?x=1&y=2',
    callbackAttempts: 2,
    nextCallbackAtMs: NOW_MS + 4,
    callbackError: `HTTP 500 ${AWKWARD_TEXT}`,
    callbackRetriedAtMs: NOW_MS + 5,
    callbackGivenUpAtMs: NOW_MS + 6,
    definitionDigest: 'ab'.repeat(32),
    ...overrides,
  };
}

/** Everything that can be empty is. */
export function emptyTask(guid: string): TaskRow {
  return sampleTask({
    guid,
    state: TaskState.PENDING,
    firstCompletedAtMs: 0,
    cellId: '',
    executionGuid: '',
    failed: false,
    failureReason: '',
    result: '',
    rejectionCount: 0,
    rejectionReason: '',
    nextAttemptAtMs: 0,
    requirements: WorkRequirements.fromPartial({}),
    annotation: '',
    callbackUrl: '',
    callbackAttempts: 0,
    nextCallbackAtMs: 0,
    callbackError: '',
    callbackRetriedAtMs: 0,
    callbackGivenUpAtMs: 0,
  });
}

export function sampleDesiredLrp(overrides: Partial<DesiredLrpRow> = {}): DesiredLrpRow {
  return {
    processGuid: 'process-1',
    domain: 'domain-a',
    instances: 3,
    logGuid: 'log-1',
    requirements,
    routes: { 'cf-router': `[{"hostnames":["${AWKWARD_TEXT}"]}]`, tcp: '[]' },
    annotation: AWKWARD_TEXT,
    metricTags: {
      fixed: MetricTagValue.fromPartial({ value: { $case: 'static', value: AWKWARD_TEXT } }),
      index: MetricTagValue.fromPartial({ value: { $case: 'dynamic', value: MetricTagValue_DynamicValue.INDEX } }),
    },
    updateStrategy: UpdateStrategy.RECREATE,
    restartPolicy: RestartPolicy.fromPartial({ immediateRestarts: 0, minimumBackoff: { seconds: 30 }, giveUpAt: 200 }),
    tagEpoch: 'epoch-1',
    tagIndex: 4_294_967_295,
    createdAtMs: NOW_MS,
    definitionDigest: 'cd'.repeat(32),
    ...overrides,
  };
}

export function emptyDesiredLrp(processGuid: string): DesiredLrpRow {
  return sampleDesiredLrp({
    processGuid,
    instances: 0,
    logGuid: '',
    requirements: WorkRequirements.fromPartial({}),
    routes: {},
    annotation: '',
    metricTags: {},
    restartPolicy: undefined,
    tagIndex: 0,
  });
}

export function sampleActualLrp(overrides: Partial<ActualLrpRow> = {}): ActualLrpRow {
  return {
    processGuid: 'process-1',
    index: 2,
    generation: '',
    presence: ActualLrpPresence.ORDINARY,
    domain: 'domain-a',
    state: ActualLrpState.RUNNING,
    instanceGuid: 'instance-1',
    cellId: 'cell-1',
    sinceMs: NOW_MS,
    startedAtMs: NOW_MS - 5,
    crashCount: 7,
    crashReason: AWKWARD_TEXT,
    crashes: [{ atMs: NOW_MS, reason: AWKWARD_TEXT, cellId: 'cell-1', instanceGuid: 'instance-0', uptimeMs: 12 }],
    placementError: 'insufficient resources: memory',
    obstacles: [
      PlacementObstacle.fromPartial({
        kind: 'memory',
        description: 'too little',
        cells: 12,
        exampleCellIds: ['cell-1'],
      }),
    ],
    nextRestartAtMs: NOW_MS + 30_000,
    retired: true,
    routable: true,
    availabilityZone: 'zone-1',
    netInfo: NetInfo.fromPartial({
      address: '10.0.0.12',
      ports: [{ containerPort: 8080, hostPort: 61001, containerTlsProxyPort: 61443, hostTlsProxyPort: 61002 }],
      instanceAddress: '10.255.1.17',
      preferredAddress: PreferredAddress.HOST,
      instanceIpv6Address: 'fd00::17',
    }),
    internalRoutes: ['hello.apps.internal', 'ünïcødé.apps.internal'],
    metricTags: { app: 'hello', text: AWKWARD_TEXT },
    tagEpoch: 'epoch-2',
    tagIndex: 9,
    ...overrides,
  };
}

export function emptyActualLrp(processGuid: string, index: number): ActualLrpRow {
  return sampleActualLrp({
    processGuid,
    index,
    state: ActualLrpState.UNCLAIMED,
    instanceGuid: '',
    cellId: '',
    startedAtMs: 0,
    crashCount: 0,
    crashReason: '',
    crashes: [],
    placementError: '',
    obstacles: [],
    nextRestartAtMs: 0,
    retired: false,
    routable: false,
    availabilityZone: '',
    netInfo: undefined,
    internalRoutes: [],
    metricTags: {},
    tagIndex: 0,
  });
}

export function sampleCell(overrides: Partial<CellRow> = {}): CellRow {
  return {
    cellId: 'cell-1',
    presence: CellPresence.fromPartial({
      cellId: 'cell-1',
      repAddress: 'https://10.0.0.12:1801',
      zone: 'zone-1',
      capacity: { memoryMb: 4096, diskMb: 10_240, containers: 250 },
      rootFsProviders: [{ name: 'preloaded', properties: ['cflinuxfs4'] }],
      placementTags: ['isolated'],
      annotations: { rack: AWKWARD_TEXT },
    }),
    incarnation: 'incarnation-1',
    evacuating: true,
    missing: false,
    silent: false,
    sinceMs: NOW_MS,
    ...overrides,
  };
}

/** Rows and payloads to write, and what to delete. */
export interface BatchContent {
  tasks?: (TaskRow | string)[];
  desiredLrps?: (DesiredLrpRow | string)[];
  actualLrps?: ActualLrpRow[];
  deletedActualLrps?: ActualLrpRow[];
  domains?: (DomainRow | string)[];
  cells?: (CellRow | string)[];
  taskDefinitions?: Record<string, Uint8Array | null>;
  runInfos?: Record<string, Uint8Array | null>;
}

/** A batch of one revision's step. A text in place of a row deletes the row of that key. */
export function sampleBatch(epoch: number, baseRevision: number, content: BatchContent): JournalBatch {
  return {
    epoch,
    baseRevision,
    revision: baseRevision + 1,
    tasks: changes(content.tasks, (row) => row.guid),
    desiredLrps: changes(content.desiredLrps, (row) => row.processGuid),
    domains: changes(content.domains, (row) => row.domain),
    cells: changes(content.cells, (row) => row.cellId),
    taskDefinitions: new Map(Object.entries(content.taskDefinitions ?? {})),
    runInfos: new Map(Object.entries(content.runInfos ?? {})),
    actualLrps: new Map([
      ...(content.actualLrps ?? []).map((row) => actualLrpChange(row, false)),
      ...(content.deletedActualLrps ?? []).map((row) => actualLrpChange(row, true)),
    ]),
  };
}

function actualLrpChange(row: ActualLrpRow, deleted: boolean): [string, ActualLrpChange] {
  return [actualLrpKey(row), { row, deleted }];
}

function changes<Row>(list: readonly (Row | string)[] | undefined, key: (row: Row) => string): Map<string, Row | null> {
  return new Map((list ?? []).map((each) => (typeof each === 'string' ? [each, null] : [key(each), each])));
}
