import type { CellPresence } from '@rivera/gen/rivera/bbs/v1/cell';
import { type Container, type ContainerMetrics, ContainerState } from '@rivera/gen/rivera/rep/v1/container';
import type {
  ConnectRequest,
  ConnectResponse,
  ExecRequest,
  ExecResponse,
  GetStateRequest,
  GetStateResponse,
  ListContainerMetricsRequest,
  ListContainerMetricsResponse,
  ListContainersRequest,
  ListContainersResponse,
  ListenRequest,
  ListenResponse,
  ReadFilesRequest,
  ReadFilesResponse,
  ReadLogsRequest,
  ReadLogsResponse,
  WriteFilesRequest,
  WriteFilesResponse,
  WriteLogRequest,
  WriteLogResponse,
} from '@rivera/gen/rivera/rep/v1/rep_service';
import type { CallContext } from '@rivera/kit/grpc/host';
import type { ContainerRecord, Executor, ContainerState as ExecutorState } from '../executor/executor.js';
import { toResources } from './bid-ledger.js';
import { exec } from './exec.js';
import { readFiles, writeFiles } from './files.js';
import type { MetricsSampler } from './metrics-sampler.js';
import { page } from './pages.js';
import { ContainerTcp } from './tcp.js';
import { targetOf } from './work.js';
import { writeLog } from './write-log.js';

export interface RepServiceOptions {
  executor: Executor;
  presence: CellPresence;
  metrics: MetricsSampler;
  evacuating: () => boolean;
  /** Why this cell can run nothing; undefined while it can. */
  broken?: () => string | undefined;
}

/** Only servers talk to a cell; people go through them. */
export const REP_ACCESS = {
  default: ['server'],
  reads: ['readLogs', 'getState', 'listContainers', 'listContainerMetrics'],
} as const;

/** What a cell does for the servers: handlers of `rivera.rep.v1.RepService`. */
export function repService({ executor, presence, metrics, evacuating, broken }: RepServiceOptions) {
  const tcp = new ContainerTcp(executor, presence.cellId);
  return {
    exec: (requests: AsyncIterable<ExecRequest>, context: CallContext): AsyncIterable<ExecResponse> =>
      exec({ executor, cellId: presence.cellId, evacuating }, requests, context),

    readFiles: (request: ReadFilesRequest, context: CallContext): AsyncIterable<ReadFilesResponse> =>
      readFiles(executor, request, context),

    writeFiles: (requests: AsyncIterable<WriteFilesRequest>, context: CallContext): Promise<WriteFilesResponse> =>
      writeFiles(executor, requests, context),

    connect: (requests: AsyncIterable<ConnectRequest>, context: CallContext): AsyncIterable<ConnectResponse> =>
      tcp.connect(requests, context),

    listen: (request: ListenRequest, context: CallContext): AsyncIterable<ListenResponse> =>
      tcp.listen(request, context),

    writeLog: (request: WriteLogRequest): WriteLogResponse => {
      writeLog(executor, request);
      return {};
    },

    async *readLogs({ filter }: ReadLogsRequest, context: CallContext): AsyncIterable<ReadLogsResponse> {
      const wanted = filter ?? { ...EVERY_LOG };
      for await (const { entries, dropped } of executor.logs.read(wanted, context.signal)) yield { entries, dropped };
    },

    getState(_request: GetStateRequest): GetStateResponse {
      const { total, available, startingContainers } = executor.resources();
      return {
        presence,
        total: toResources(total),
        available: toResources(available),
        startingContainers,
        evacuating: evacuating(),
        containers: executor.list().length,
        broken: broken?.() ?? '',
      };
    },

    listContainers(request: ListContainersRequest): ListContainersResponse {
      const { entries, nextPageToken } = page(executor.list(), (container) => container.guid, request);
      const used = metrics.latest();
      return { containers: entries.map((one) => toContainer(one, used.get(one.guid))), nextPageToken };
    },

    listContainerMetrics(request: ListContainerMetricsRequest): ListContainerMetricsResponse {
      const latest = metrics.latest().values();
      const { entries, nextPageToken } = page(latest, (one) => one.containerGuid, request);
      return { metrics: entries, nextPageToken };
    },
  };
}

const EVERY_LOG = {
  processGuid: '',
  taskGuid: '',
  index: undefined,
  source: '',
  since: undefined,
  tail: 0,
  follow: false,
};

const STATES: Record<ExecutorState, ContainerState> = {
  reserved: ContainerState.RESERVED,
  initializing: ContainerState.INITIALIZING,
  created: ContainerState.CREATED,
  running: ContainerState.RUNNING,
  completed: ContainerState.COMPLETED,
};

function toContainer(container: ContainerRecord, metrics: ContainerMetrics | undefined): Container {
  return {
    containerGuid: container.guid,
    state: STATES[container.state],
    target: targetOf(container),
    memoryMb: container.resources.memoryMb,
    diskMb: container.resources.diskMb,
    allocatedAt: new Date(container.allocatedAtMs),
    address: container.network?.containerAddress ?? '',
    routable: container.routable,
    failureReason: container.result?.failureReason ?? '',
    metrics,
  };
}
