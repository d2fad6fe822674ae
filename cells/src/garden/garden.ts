import type { Duplex, Readable, Writable } from 'node:stream';

/**
 * Containers, and nothing but containers: what they are for is the executor's business.
 * Every backend passes the suite in `contract.ts`.
 *
 * Everything that `create` and `run` acknowledge is durable: a garden that is started anew, after a clean stop or a
 * `kill -9`, lists the same containers, reaches the same processes and knows the exit of those that ended meanwhile.
 */
export interface Garden {
  /** Which backend this is. */
  readonly backend: 'oci' | 'sim';
  /** Schemes of root filesystems that are fetched, such as `docker`, besides `preloaded:NAME`. */
  readonly imageSchemes: readonly string[];
  /** Finds what an earlier garden on the same data left behind; half-made containers are destroyed. Call once, first. */
  start(): Promise<void>;
  /** What the machine can hold. */
  capacity(): Promise<GardenCapacity>;
  /** Names that `preloaded:NAME` can ask for. */
  preloadedRootFs(): Promise<string[]>;
  /**
   * Makes a container whose init waits for processes. Either it exists whole afterwards or not at all.
   * @throws GardenError `handle-in-use`, `unknown-rootfs`, `image-failed`, `unsupported`, `create-failed`, `no-ports`; the signal's
   * reason when it was aborted while an image was fetched
   */
  create(spec: GardenSpec, fetching?: ImageFetching): Promise<GardenContainer>;
  /** Containers that exist whole. */
  list(): GardenContainer[];
  /** One of them. */
  lookup(handle: string): GardenContainer | undefined;
  /**
   * Ends all processes and removes every trace: mounts, namespaces, ports, files. Two concurrent calls share one destruction.
   * @throws GardenError `not-found`; `destroy-failed` when something could not be taken away: call again
   */
  destroy(handle: string): Promise<void>;
  /** Takes away what the garden itself put on the machine, such as its bridge; call it when no container is left. */
  dissolve(): Promise<void>;
  /** Lets go of everything without touching containers; nothing runs in this process afterwards. */
  close(): Promise<void>;
}

/** What the machine can hold. */
export interface GardenCapacity {
  memoryMb: number;
  diskMb: number;
  containers: number;
}

/** What a container is to be. */
export interface GardenSpec {
  /** Unique name, 1..64 of `[A-Za-z0-9_-]`. */
  handle: string;
  /** `preloaded:NAME`, or a URL of one of the garden's `imageSchemes`. */
  rootFs: string;
  /** Environment of all processes. */
  env: Record<string, string>;
  /** Kept with the container, for whoever made it. */
  properties: Record<string, string>;
  limits: GardenLimits;
  /** Container ports to be reached from outside; the host port is the garden's choice. */
  ports: number[];
  mounts: BindMount[];
  privileged: boolean;
}

/** How an image is fetched, where a container needs one. No part of it is kept. */
export interface ImageFetching {
  credentials?: { username: string; password: string };
  /** Told in sentences how it goes. */
  progress?: (text: string) => void;
  signal?: AbortSignal;
}

/** Limits of a container; 0 means none. */
export interface GardenLimits {
  memoryBytes: number;
  /** What may be written on top of the root filesystem. */
  diskBytes: number;
  pids: number;
  /** Relative share of CPU, as cgroup v1 `cpu.shares` (1024 is one full share). */
  cpuShares: number;
}

/** A directory of the host in the container. */
export interface BindMount {
  source: string;
  destination: string;
  readOnly: boolean;
}

/** A container that exists whole. */
export interface GardenContainer {
  readonly handle: string;
  readonly spec: GardenSpec;
  /** What it became. */
  info(): ContainerInfo;
  /**
   * Starts a process under a supervisor that outlives this program. An id that was used before is refused, also when
   * the earlier process has ended: that is what makes running at most once possible.
   * @throws GardenError `process-exists`, `process-failed` (bad user, no such program …)
   */
  run(spec: ProcessSpec): Promise<GardenProcess>;
  /** A process that `run` started, now or in an earlier life of the garden; undefined if there never was one. */
  attach(id: string): GardenProcess | undefined;
  /** A process for a person: it ends with this program, and with `kill`. */
  exec(spec: ExecSpec): Promise<InteractiveProcess>;
  /** TERM to all processes but init, then KILL to those left after `graceMs`. */
  stop(graceMs: number): Promise<void>;
  /** Unpacks a tar stream into a directory, made if missing; nothing can land outside the container. */
  streamIn(path: string, user: string, tar: Readable): Promise<void>;
  /** A tar stream of a file or directory. */
  streamOut(path: string, user: string): Promise<Readable>;
  metrics(): Promise<GardenMetrics>;
  /**
   * A TCP connection from inside the container's network, half-closed as its ends wish. Absent where containers have none.
   * @throws GardenError `connect-failed`
   */
  connect?(address: TcpAddress): Promise<Duplex>;
  /** Listens on TCP inside the container's network. Absent where containers have none. @throws GardenError `connect-failed` */
  listen?(address: TcpAddress, accepted: (connection: Duplex, origin: TcpAddress) => void): Promise<ContainerListener>;
}

/** Host and port as a container sees them. */
export interface TcpAddress {
  host: string;
  port: number;
}

/** A port that is open inside a container. */
export interface ContainerListener {
  readonly port: number;
  /** Called when nobody listens any more, e.g. as the container is gone. */
  onEnd(ended: () => void): void;
  close(): void;
}

/** What a container became. */
export interface ContainerInfo {
  /** Address that host ports are reached at. */
  hostAddress: string;
  /** Address inside the network of containers. */
  containerAddress: string;
  ports: { containerPort: number; hostPort: number }[];
  /** Variables of the image, lowest in precedence. */
  imageEnv: Record<string, string>;
  /** User of processes that name none. */
  imageUser?: string;
  /** Directory of processes that name none. */
  imageDir?: string;
}

/** A process to be run. */
export interface ProcessSpec {
  /** Unique within the container for ever, 1..128 of `[A-Za-z0-9._-]`. */
  id: string;
  path: string;
  args: string[];
  env: Record<string, string>;
  /** Empty: the image's, else the user's home. Made if missing. */
  dir: string;
  /** Name or `uid:gid`; empty: the image's, else root. */
  user: string;
  nofile?: number;
}

/** A process that is running or has ended. */
export interface GardenProcess {
  readonly id: string;
  /**
   * Its output from the first line on, also in a later life of the garden; ends when the process has ended and all is read.
   * Older output may be gone when the process wrote more than the backend keeps (`outputLimitBytes`).
   */
  output(signal?: AbortSignal): AsyncIterable<ProcessOutput>;
  /** Resolves when it has ended. */
  wait(): Promise<ExitStatus>;
  /** Does nothing once it has ended. */
  signal(signal: NodeJS.Signals): Promise<void>;
}

/** A piece of output. */
export interface ProcessOutput {
  timeMs: number;
  stream: 'stdout' | 'stderr';
  /** Without line end. */
  data: Buffer;
  /** The line goes on in the next piece of this stream. */
  partial: boolean;
}

/** How a process ended. */
export interface ExitStatus {
  /** 128 + number when a signal ended it. */
  code: number;
  /** The container ran out of memory at some time before the end. */
  outOfMemory: boolean;
  /** Set when the process was launched but nobody knows how it ended, e.g. because its supervisor was killed. */
  lost?: string;
}

/** A process for a person. */
export interface ExecSpec {
  /** Empty: the container's shell. */
  path: string;
  args: string[];
  env: Record<string, string>;
  dir: string;
  user: string;
  terminal?: TerminalSpec;
}

/** A terminal for a person. */
export interface TerminalSpec {
  term: string;
  columns: number;
  rows: number;
  /** Name as in RFC 4254 section 8 → value; what is not known is left out. */
  modes?: Readonly<Record<string, number>>;
}

/** A process for a person. */
export interface InteractiveProcess {
  readonly stdin: Writable;
  /** Of the terminal, or standard output. */
  readonly stdout: Readable;
  /** Empty with a terminal. */
  readonly stderr: Readable;
  resize(columns: number, rows: number): void;
  signal(signal: NodeJS.Signals): void;
  /** Resolves after all output was handed over. */
  wait(): Promise<{ code: number; signal?: NodeJS.Signals }>;
  /** Ends it at once; harmless later. */
  kill(): void;
}

/** What a container uses. */
export interface GardenMetrics {
  memoryBytes: number;
  cpuTimeNs: number;
  diskBytes: number;
  pids: number;
  rxBytes: number;
  txBytes: number;
  ageMs: number;
}

export type GardenErrorKind =
  | 'not-found'
  | 'handle-in-use'
  | 'unknown-rootfs'
  | 'image-failed'
  | 'unsupported'
  | 'create-failed'
  | 'destroy-failed'
  | 'no-ports'
  | 'process-exists'
  | 'process-failed'
  | 'path-not-found'
  | 'stream-failed'
  | 'connect-failed'
  | 'closed';

/** What a garden throws. */
export class GardenError extends Error {
  constructor(
    readonly kind: GardenErrorKind,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = 'GardenError';
  }
}
