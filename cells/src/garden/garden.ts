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
  /**
   * Whether containers can be made here: the runtime answers and the disk takes what is written.
   * @throws GardenError `unavailable`, `closed`
   */
  ping(): Promise<void>;
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
  /** Containers that exist whole; with properties, those that have all of them with these values. */
  list(properties?: Readonly<Record<string, string>>): GardenContainer[];
  /** One of them. */
  lookup(handle: string): GardenContainer | undefined;
  /** Where many containers are in their life; for one that isn't there, why not. */
  bulkStatus(handles: readonly string[]): Promise<Map<string, ContainerStatus | GardenError>>;
  /** What many containers use; for one that can't be measured, why not. */
  bulkMetrics(handles: readonly string[]): Promise<Map<string, GardenMetrics | GardenError>>;
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
  /** Whether, where `ports` is empty, the TCP ports are mapped that the image exposes: the 16 lowest at most. */
  imagePorts?: boolean;
  /** What it may send out beyond what is open to every container of the cell. */
  egress: EgressRule[];
  mounts: BindMount[];
  privileged: boolean;
  /** Destroyed when nobody has used it for so long; 0 or absent: never. */
  graceTimeMs?: number;
}

/**
 * Something that a container may send out (spec cell §44). Rules only allow. What none of them allows is decided by the cell: its
 * denied networks and other containers are refused, the rest is open. The last rule is consulted first, which matters for `log` only.
 */
export interface EgressRule {
  protocol: 'all' | 'tcp' | 'udp' | 'icmp' | 'icmpv6';
  /** Destinations, both ends included and of one family; none: all. */
  networks: { start: string; end: string }[];
  /** Destination ports of tcp and udp, both ends included; none: all. */
  ports: { start: number; end: number }[];
  /** Messages of icmp and icmpv6; absent: all. Without a code, or with 255: all codes of the type. */
  icmp?: { type: number; code?: number };
  /** Whether the host's kernel log tells of new connections, after the first 28 characters of the handle. */
  log: boolean;
}

/** A port of the host that leads to a port of a container, by TCP. */
export interface PortMapping {
  hostPort: number;
  containerPort: number;
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
  /** Files and directories that may be made, where there is `diskBytes`; absent or 0: by its size, at most 200,000. */
  inodes?: number;
  pids: number;
  /** Relative share of CPU, as cgroup v1 `cpu.shares` (1024 is one full share). */
  cpuShares: number;
  /** Most CPU time in thousandths of one core, also when others idle. Absent or 0: no limit. */
  cpuMillicores?: number;
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
  /** As it was made, with properties, limits and grace time as they are now. */
  readonly spec: GardenSpec;
  /** What it became. */
  info(): ContainerInfo;
  /** Where it is in its life. */
  status(): Promise<ContainerStatus>;
  /** Value of a property. @throws GardenError `property-not-found` */
  property(name: string): string;
  /** Sets a property, durably. @throws GardenError `invalid` beyond the bounds of `properties.ts` */
  setProperty(name: string, value: string): Promise<void>;
  /** Takes a property away, durably; fine when there is none. */
  removeProperty(name: string): Promise<void>;
  /** Limits as they are in force. */
  limits(): Promise<GardenLimits>;
  /**
   * Changes some limits while the container runs, durably; resolves with all of them.
   * @throws GardenError `unsupported` for the disk, which is cut when the container is made; `limit-failed` when the kernel refuses,
   * as it does when more is in use; nothing has changed then
   */
  setLimits(change: Partial<GardenLimits>): Promise<GardenLimits>;
  /** From now on it is destroyed when nobody has used it for so long, durably; 0: never. Setting it isn't a use. */
  setGraceTime(graceTimeMs: number): Promise<void>;
  /**
   * Starts a process under a supervisor that outlives this program. An id that was used before is refused, also when
   * the earlier process has ended: that is what makes running at most once possible.
   * @throws GardenError `process-exists`, `process-failed` (bad user, no such program …), `invalid` and `unsupported` for a share of memory
   */
  run(spec: ProcessSpec): Promise<GardenProcess>;
  /** A process that `run` started, now or in an earlier life of the garden; undefined if there never was one. */
  attach(id: string): GardenProcess | undefined;
  /** A process for a person: it ends with this program, and with `kill`. */
  exec(spec: ExecSpec): Promise<InteractiveProcess>;
  /** TERM to all processes but init, then KILL to those left after `graceMs`; 0: KILL at once. Its files stay usable. */
  stop(graceMs: number): Promise<void>;
  /** Unpacks a tar stream into a directory, made if missing; nothing can land outside the container. */
  streamIn(path: string, user: string, tar: Readable): Promise<void>;
  /** A tar stream of a file or directory. */
  streamOut(path: string, user: string): Promise<Readable>;
  metrics(): Promise<GardenMetrics>;
  /**
   * Allows more to be sent out, for as long as the container lives; connections that exist go on.
   * @throws GardenError `invalid` for a rule that makes no sense (nothing is added then), `process-failed` when it can't be enforced
   */
  netOut(rules: readonly EgressRule[]): Promise<void>;
  /**
   * Leads one more host port to the container, for as long as it lives. Host port 0: the garden's choice; container port 0: the same
   * as on the host.
   * @throws GardenError `invalid` for a number that is no port, `no-ports` when the host port is taken or none is left
   */
  netIn(mapping: Partial<PortMapping>): Promise<PortMapping>;
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
  /** The same of IPv6, where the cell has it. */
  containerAddress6?: string;
  /** Those that it was made with, then those of `netIn`. */
  ports: PortMapping[];
  /** Variables of the image, lowest in precedence. */
  imageEnv: Record<string, string>;
  /** User of processes that name none. */
  imageUser?: string;
  /** Directory of processes that name none. */
  imageDir?: string;
  /** What the image runs (ENTRYPOINT), and what that is given unless somebody says otherwise (CMD). */
  imageEntrypoint?: string[];
  imageCmd?: string[];
}

/** Where a container is in its life. */
export interface ContainerStatus {
  /** `stopped` once `stop` ended its processes, and when its init is gone. */
  state: 'active' | 'stopped';
  /** What happened to it; `Out of memory` once for each time that the kernel ended something for it, the latest 100. */
  events: string[];
  /** Processes that `run` started, whether they run or have ended. */
  processes: { id: string; ended: boolean }[];
}

/** Limits of a process that the kernel knows; soft and hard are the same. */
export const RLIMITS = [
  'as',
  'core',
  'cpu',
  'data',
  'fsize',
  'locks',
  'memlock',
  'msgqueue',
  'nice',
  'nofile',
  'nproc',
  'rss',
  'rtprio',
  'sigpending',
  'stack',
] as const;
export type Rlimit = (typeof RLIMITS)[number];

/** Size of a terminal. */
export interface WindowSize {
  columns: number;
  rows: number;
}

/**
 * A part of a container's memory that some of its processes, and whatever they start, can't go beyond: the kernel ends one of them and
 * leaves the others alone. What they use counts as the container's all the same.
 */
export interface MemoryShare {
  /** Processes of a container that name the same share have it together; 1..64 of `[A-Za-z0-9._-]`. */
  name: string;
  /** More than 0, and the same each time that the share is named. */
  bytes: number;
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
  /** A bound of its own within the container's memory. */
  memoryShare?: MemoryShare;
  /** Beside `nofile`; one above what the cell itself may have is refused. */
  rlimits?: Partial<Record<Rlimit, number>>;
  /** Whether it can be written to. What isn't a terminal sees the end of its input when the garden is closed. */
  stdin?: boolean;
  /** It gets a terminal, and input with it; all its output is standard output then. */
  terminal?: WindowSize & { term: string };
}

/** A process that is running or has ended. */
export interface GardenProcess {
  readonly id: string;
  /**
   * Its output from the first line on, also in a later life of the garden; ends when the process has ended and all is read.
   * Older output may be gone when the process wrote more than the backend keeps (`outputLimitBytes`).
   */
  output(signal?: AbortSignal): AsyncIterable<ProcessOutput>;
  /** Resolves when it has ended; rejects with the signal's reason when that is aborted. */
  wait(signal?: AbortSignal): Promise<ExitStatus>;
  /** Does nothing once it has ended. */
  signal(signal: NodeJS.Signals): Promise<void>;
  /**
   * Resolves when there is room for more. What a process doesn't read before it ends is lost, and nothing reaches one that has
   * ended. @throws GardenError `no-stdin` when it was run without; the signal's reason when that is aborted while there is no room,
   * and it isn't known then what the process gets
   */
  write(data: Buffer, signal?: AbortSignal): Promise<void>;
  /** The end of its input; a terminal gets Ctrl-D. @throws GardenError `no-stdin` */
  closeStdin(): Promise<void>;
  /** The terminal has another size; nothing happens without one. */
  resize(size: WindowSize): Promise<void>;
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
  /** What it has its memory from, its share or else the container, ran out at some time before the end. */
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
  /** Open files; unset: as every process. */
  nofile?: number;
}

/** A terminal for a person. */
export interface TerminalSpec extends WindowSize {
  term: string;
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
  | 'no-stdin'
  | 'path-not-found'
  | 'stream-failed'
  | 'property-not-found'
  | 'invalid'
  | 'limit-failed'
  | 'unavailable'
  | 'connect-failed'
  | 'closed';

/** What a garden throws. */
export class GardenError extends Error {
  /** Another attempt would fail alike, here and on every other cell: an image that doesn't exist, a password that is wrong. */
  readonly final: boolean;

  constructor(
    readonly kind: GardenErrorKind,
    message: string,
    options: ErrorOptions & { final?: boolean } = {},
  ) {
    super(message, options);
    this.name = 'GardenError';
    this.final = options.final ?? false;
  }
}
