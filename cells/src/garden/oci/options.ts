import type { Clock } from '@rivera/kit/clock';
import type { Logger } from '@rivera/kit/log';
import { GardenError } from '../garden.js';

/** What an OCI garden needs to know of its machine and its cell. */
export interface OciGardenOptions {
  /** Names everything that this garden makes on the machine; `[A-Za-z0-9_-]`, 1..64. Unique per machine. */
  cellId: string;
  /** Where containers live. Short and without `,` `:` or spaces, as it becomes part of mount options. */
  dataDir: string;
  /** Each directory in it is a root filesystem for `preloaded:NAME`. */
  rootFsDir: string;
  /** Network of this cell's containers, e.g. `10.213.7.0/24`. No two gardens of a machine may share one. */
  subnet: string;
  /** Name of the bridge that holds the gateway's address, at most 15 characters. */
  bridge: string;
  /** IPv6 network of the containers, `none`, or `auto`: one of the cell's own (RFC 4193) where the host has IPv6. Default `auto`. */
  subnet6?: string;
  /** Networks that containers reach only by an egress rule: addresses, networks or ranges FIRST-LAST. Default none. */
  denyNetworks?: readonly string[];
  /** What all containers may reach of the host: `tcp/PORT`, `udp/FIRST-LAST`, `all`. Default nothing. */
  hostServices?: readonly string[];
  /** Network namespaces that are made before anybody needs them. Default 8. */
  spareNetworks?: number;
  log: Logger;
  clock: Clock;
  /** Address that mapped ports are told with. Default 127.0.0.1; mapped ports answer on every address of the host. */
  hostAddress?: string;
  /** Host ports on offer, both ends included. Default 61001..65534. */
  portRange?: { first: number; last: number };
  /** OCI runtime, by name or path; `auto`: crun where it works, else runc. Default `auto`. */
  runtime?: string;
  /** How long the runtime may take for anything before it is given up; it takes milliseconds. Default 30 s. */
  runtimeTimeoutMs?: number;
  /** Whether specs may ask for `privileged`. Default no. */
  allowPrivileged?: boolean;
  /**
   * User namespaces: root of a container that isn't privileged is a host id without rights. Each container gets a range of
   * 65,536 host ids of its own, of the `ranges` many from `firstId` on. Default: on, from 1879048192, which is above what users
   * (subuid) and systemd get.
   */
  userNamespaces?: { enabled: boolean; firstId: number; ranges: number };
  /** Processes of people and transfers of files that a container may have at a time. Default 64. */
  maxExecs?: number;
  /** A transfer of files of which no byte moves for so long, whoever stands still, has failed. Default 60,000 ms. */
  streamIdleMs?: number;
  /** Newest output that is kept of each process, in bytes. Default 64 MiB; up to twice that is used on disk. */
  outputLimitBytes?: number;
  /** Processes and threads of a container that asks for no limit. Default 16384; 0 means none. */
  maxPids?: number;
  /** Open files of a process that asks for nothing else. Default 16384; never above the agent's own hard limit. */
  nofile?: number;
  /** Bytes of unpacked image layers that are kept; more only while containers use them. Default 10 GB. */
  imageCacheBytes?: number;
  /** `HOST` or `HOST:PORT` of registries without TLS, besides this machine's own. */
  insecureRegistries?: readonly string[];
  /** Told how long each part of a container's birth took; parts overlap. */
  phaseEnded?: (phase: BirthPhase, ms: number) => void;
  /** What this cell offers; default: the machine's memory and the disk under `dataDir`. */
  capacity?: { memoryMb?: number; diskMb?: number; containers?: number };
}

/** Parts of a container's birth. `disk` is the quota and the root filesystem in it. */
export const BIRTH_PHASES = ['ports', 'network', 'disk', 'firewall', 'runtime', 'record'] as const;
export type BirthPhase = (typeof BIRTH_PHASES)[number];

/** Options with every choice made. */
export type OciSettings = Required<OciGardenOptions>;

/** At most this many containers are made or destroyed at the same time; more only wait for the same locks and cores. */
export const CONCURRENT_CHANGES = 8;

/** Host ids that neither Debian's subuid nor systemd's containers and dynamic users are given. */
export const DEFAULT_USER_NAMESPACES = { enabled: true, firstId: 1_879_048_192, ranges: 4094 };

const NAME = /^[A-Za-z0-9_-]{1,64}$/;

/** @throws GardenError `unsupported` for options that can't work */
export function settle(options: OciGardenOptions): OciSettings {
  if (!NAME.test(options.cellId))
    throw new GardenError('unsupported', `cell id '${options.cellId}' is not 1..64 of A-Z a-z 0-9 _ -`);
  if (!/^\/[A-Za-z0-9_./-]*$/.test(options.dataDir)) {
    throw new GardenError(
      'unsupported',
      `data folder '${options.dataDir}' must be absolute, of letters, digits and _ . - /`,
    );
  }
  if (!/^\/[A-Za-z0-9_./-]*$/.test(options.rootFsDir)) {
    throw new GardenError(
      'unsupported',
      `folder of root filesystems '${options.rootFsDir}' must be absolute, of letters, digits and _ . - /`,
    );
  }
  if (options.bridge.length > 15)
    throw new GardenError('unsupported', `bridge name '${options.bridge}' is longer than 15 characters`);
  if (!/^\d+\.\d+\.\d+\.\d+\/\d+$/.test(options.subnet))
    throw new GardenError('unsupported', `subnet '${options.subnet}' is not like 10.213.7.0/24`);
  return {
    hostAddress: '127.0.0.1',
    portRange: { first: 61_001, last: 65_534 },
    runtime: 'auto',
    runtimeTimeoutMs: 30_000,
    allowPrivileged: false,
    userNamespaces: DEFAULT_USER_NAMESPACES,
    outputLimitBytes: 64 * 1024 * 1024,
    nofile: 16_384,
    maxExecs: 64,
    streamIdleMs: 60_000,
    maxPids: 16_384,
    imageCacheBytes: 10_000_000_000,
    insecureRegistries: [],
    capacity: {},
    phaseEnded: () => undefined,
    subnet6: 'auto',
    denyNetworks: [],
    hostServices: [],
    spareNetworks: CONCURRENT_CHANGES,
    ...options,
  };
}

/** Whether a handle can name directories, namespaces and cgroups. */
export function isHandle(handle: string): boolean {
  return NAME.test(handle);
}
