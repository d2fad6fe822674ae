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
  /** Name of the bridge, at most 15 characters. */
  bridge: string;
  log: Logger;
  clock: Clock;
  /** Address that mapped ports are told with. Default 127.0.0.1; mapped ports answer on every address of the host. */
  hostAddress?: string;
  /** Host ports on offer, both ends included. Default 61001..65534. */
  portRange?: { first: number; last: number };
  /** OCI runtime, by name or path. Default `runc`. */
  runtime?: string;
  /** How long the runtime may take for anything before it is given up; it takes milliseconds. Default 30 s. */
  runtimeTimeoutMs?: number;
  /** Whether specs may ask for `privileged`. Default no. */
  allowPrivileged?: boolean;
  /** Newest output that is kept of each process, in bytes. Default 64 MiB; up to twice that is used on disk. */
  outputLimitBytes?: number;
  /** Open files of a process that asks for nothing else. Default 16384; never above the agent's own hard limit. */
  nofile?: number;
  /** Bytes of unpacked image layers that are kept; more only while containers use them. Default 10 GB. */
  imageCacheBytes?: number;
  /** `HOST` or `HOST:PORT` of registries without TLS, besides this machine's own. */
  insecureRegistries?: readonly string[];
  /** What this cell offers; default: the machine's memory and the disk under `dataDir`. */
  capacity?: { memoryMb?: number; diskMb?: number; containers?: number };
}

/** Options with every choice made. */
export type OciSettings = Required<OciGardenOptions>;

/** At most this many containers are made or destroyed at the same time; more only wait for the same locks and cores. */
export const CONCURRENT_CHANGES = 8;

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
    runtime: 'runc',
    runtimeTimeoutMs: 30_000,
    allowPrivileged: false,
    outputLimitBytes: 64 * 1024 * 1024,
    nofile: 16_384,
    imageCacheBytes: 10_000_000_000,
    insecureRegistries: [],
    capacity: {},
    ...options,
  };
}

/** Whether a handle can name directories, namespaces and cgroups. */
export function isHandle(handle: string): boolean {
  return NAME.test(handle);
}
