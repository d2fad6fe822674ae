import type { Duplex, Readable } from 'node:stream';
import type { Action, CheckDefinition } from '@rivera/gen/rivera/recipe/v1/action';
import type { ContainerSpec, Sidecar } from '@rivera/gen/rivera/recipe/v1/container';
import type { ContainerListener, ExecSpec, GardenMetrics, InteractiveProcess, TcpAddress } from '../garden/garden.js';
import type { ExecutorCounters } from './counters.js';
import type { LogStore } from './logs/log-store.js';

/**
 * Containers with a recipe in them: reservation, creation, actions, health, logs. It knows nothing of Tasks and LRPs;
 * `tags` carry what its owner needs to find its way back.
 *
 * Every acknowledged change of state is durable before its event is emitted, so an executor that is started anew on the same
 * data goes on where the old one was: it attaches to running processes and takes the exit of those that ended meanwhile.
 */
export interface Executor {
  /** Who has volumes for containers here, by name. */
  readonly volumeDrivers: readonly string[];
  /** Adopts what an earlier executor on the same data left behind. Call once, first; events come only afterwards. */
  start(): Promise<void>;
  /** All there is, and what is not set aside. */
  resources(): { total: ExecutorResources; available: ExecutorResources; startingContainers: number };
  /**
   * Sets resources aside.
   * @throws ExecutorError `guid-not-available`, `insufficient-resources`, `unknown-rootfs`
   */
  reserve(reservation: Reservation): ContainerRecord;
  /**
   * Makes the container and runs its recipe; returns once the record is durable, the rest is told by events.
   * @throws ExecutorError `not-found`, `wrong-state`
   */
  run(guid: string, request: RunRequest): Promise<void>;
  /** Graceful stop: TERM, wait, KILL. The container ends COMPLETED with `stopped`. Unknown guids are `not-found`. */
  stop(guid: string): Promise<void>;
  /** Stops, destroys, forgets, frees the resources. A second caller waits for the first. Unknown guids are fine. */
  delete(guid: string): Promise<void>;
  /** Replaces what is given. */
  update(guid: string, update: { internalRoutes?: string[]; metricTags?: Record<string, string> }): Promise<void>;
  /** Tells the owner of a container what is going on about it, as a line of the cell in its log. Unknown guids are fine. */
  say?(guid: string, what: Said): void;
  get(guid: string): ContainerRecord | undefined;
  list(): ContainerRecord[];
  /** Every change of a record, in order, after it is durable. Returns how to unsubscribe. */
  subscribe(listener: (event: ContainerEvent) => void): () => void;
  exec(guid: string, spec: ExecSpec): Promise<ContainedProcess>;
  /** A TCP connection from inside a container's network. @throws ExecutorError `connect-failed` */
  connect?(guid: string, address: TcpAddress): Promise<Duplex>;
  /** Listens on TCP inside a container's network. @throws ExecutorError `connect-failed` */
  listen?(
    guid: string,
    address: TcpAddress,
    accepted: (connection: Duplex, origin: TcpAddress) => void,
  ): Promise<ContainerListener>;
  streamIn(guid: string, path: string, user: string, tar: Readable): Promise<void>;
  streamOut(guid: string, path: string, user: string): Promise<Readable>;
  /** First `maxBytes` of a file as text; ExecutorError `file-too-large` beyond, `file-not-found` when there is none. */
  readFile(guid: string, path: string, maxBytes: number): Promise<string>;
  metrics(guid: string): Promise<ContainerUsage>;
  readonly logs: LogStore;
  /** Where it counts. */
  counts?(): Readonly<ExecutorCounters>;
  /** Lets go of everything without touching containers. */
  close(): Promise<void>;
}

/** A process for a person in a container. */
export interface ContainedProcess extends InteractiveProcess {
  /** What has become of the container, also once it is forgotten. Absent where nobody can tell. Never rejects. */
  fate?(): Promise<ContainerFate>;
}

/** What has become of a container, for those who were in it. */
export type ContainerFate =
  | { readonly kind: 'lives' }
  /** It was told to end. */
  | { readonly kind: 'stopped' }
  /** It ended of itself; without a reason it did what it had to do. */
  | { readonly kind: 'ended'; readonly why: string };

/** What a container uses, and what it may use. */
export interface ContainerUsage extends GardenMetrics {
  /** CPU time that its share entitles it to since its creation (spec cell §28). */
  cpuEntitlementNs: number;
  /** Of its processes, since this executor was started; what its limit kept out is included. */
  logBytes: number;
  /** -1: none. */
  logBytesPerSecondLimit: number;
}

/** What only the executor's owner knows of a container (spec cell §26). */
export type Said = 'requesting replacement for' | 'reached evacuation timeout for';

/** Quantities that are set aside. */
export interface ExecutorResources {
  memoryMb: number;
  diskMb: number;
  containers: number;
}

/** What is set aside for whom. */
export interface Reservation {
  /** 1..64 of `[A-Za-z0-9_-]`, unique on this cell. */
  guid: string;
  memoryMb: number;
  diskMb: number;
  /** Checked against the root filesystems on offer. */
  rootFs: string;
  /** For the owner. */
  tags: Record<string, string>;
}

/** What is to happen in the container. Kept on disk, readable by root alone, as it may hold secrets. */
export interface RunRequest {
  container: ContainerSpec;
  setup?: Action;
  action: Action;
  monitor?: Action;
  checkDefinition?: CheckDefinition;
  /** 0: unlimited. */
  startTimeoutMs: number;
  ports: number[];
  /** Where `ports` is empty, map what the image exposes. */
  imagePorts?: boolean;
  sidecars: Sidecar[];
  /** Variables of the instance (INSTANCE_INDEX …): above the image's, below the definition's. */
  instanceEnv: Record<string, string>;
  internalRoutes: string[];
  /** Resolved tags. */
  metricTags: Record<string, string>;
  log: LogIdentity;
}

/** What each log line of a container carries. */
export interface LogIdentity {
  /** Empty: nothing is logged. */
  logGuid: string;
  processGuid: string;
  taskGuid: string;
  index: number;
}

export type ContainerState = 'reserved' | 'initializing' | 'created' | 'running' | 'completed';

/** A container as the executor knows it. Records are immutable: a change makes a new one. */
export interface ContainerRecord {
  readonly guid: string;
  readonly state: ContainerState;
  readonly tags: Readonly<Record<string, string>>;
  readonly resources: ExecutorResources;
  readonly allocatedAtMs: number;
  /** Whether routers should send it traffic; false until running. */
  readonly routable: boolean;
  /** From creation on. */
  readonly network?: ContainerNetwork;
  readonly internalRoutes: readonly string[];
  readonly metricTags: Readonly<Record<string, string>>;
  /** Once completed. */
  readonly result?: RunResult;
}

/** How a container is reached. */
export interface ContainerNetwork {
  hostAddress: string;
  containerAddress: string;
  ports: { containerPort: number; hostPort: number }[];
}

/** How a container ended. */
export interface RunResult {
  failed: boolean;
  failureReason: string;
  /** It failed before any code of the recipe ran; it may be tried elsewhere. */
  retryable: boolean;
  /** It ended because it was told to. */
  stopped: boolean;
}

/** A change of a record. */
export interface ContainerEvent {
  kind: 'reserved' | 'changed' | 'removed';
  /** As it is, or was before removal. */
  container: ContainerRecord;
}

export type ExecutorErrorKind =
  | 'not-found'
  | 'guid-not-available'
  | 'insufficient-resources'
  | 'unknown-rootfs'
  | 'wrong-state'
  | 'file-not-found'
  | 'file-too-large'
  | 'stream-failed'
  | 'exec-failed'
  | 'connect-failed'
  | 'closed';

/** What an executor throws. */
export class ExecutorError extends Error {
  constructor(
    readonly kind: ExecutorErrorKind,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = 'ExecutorError';
  }
}
