import { join } from 'node:path';
import type { IdMapping } from '../../kernel/kernel-steps.js';
import type { GardenSpec } from '../garden.js';
import type { ContainerPlaces } from './places.js';
import { capabilities, MASKED_PATHS, READONLY_PATHS, SECCOMP } from './security.js';

/** Where the garden's own tools appear in every container, read-only, also in images that have nothing. */
export const TOOLS_DIR = '/.rivera';
/** Reaps what is left without a parent. */
export const INIT = `${TOOLS_DIR}/init`;
/** Static tar and shell. */
export const BUSYBOX = `${TOOLS_DIR}/busybox`;

/** What the kernel takes at least. */
const MIN_CPU_SHARES = 2;
const MIN_CPU_QUOTA_US = 1000;
/** In every such span of time a container gets its quota of CPU time. */
const CPU_PERIOD_US = 100_000;

/** Folder of what SSH needs inside (`ssh-tools.ts`). */
export const SSH_TOOLS = `${TOOLS_DIR}/ssh`;

/** Programs of the host that containers use; the first two are static. */
export interface HostTools {
  init: string;
  busybox: string;
  /** Folder with sftp-server and scp; undefined: this machine has none. */
  ssh?: string | undefined;
}

/** What the kernel of this machine can limit. */
export interface KernelFeatures {
  /** Whether memory and swap can be limited together; if not, containers with a limit are kept from swapping instead. */
  swapLimit: boolean;
}

/** The OCI runtime's configuration of a container whose init waits for processes. */
export function runtimeConfig(o: {
  spec: GardenSpec;
  places: ContainerPlaces;
  tools: HostTools;
  kernel: KernelFeatures;
  /** Processes and threads of a container that asks for no limit of its own. */
  maxPids: number;
  /** Ids of its own; without, it shares the host's user namespace. */
  ids?: IdMapping | undefined;
  /** What is mounted below the source of each mount of the specification, by paths relative to it. */
  nested?: readonly (readonly string[])[];
}): object {
  const { spec, places, tools, ids } = o;
  return {
    ociVersion: '1.0.2',
    process: {
      terminal: false,
      user: { uid: 0, gid: 0 },
      args: [INIT, '-P'],
      env: ['PATH=/bin'],
      cwd: '/',
      noNewPrivileges: !spec.privileged,
      // Init needs nothing but to exist; processes bring their own sets.
      capabilities: { ...capabilities({ privileged: spec.privileged, root: true }), effective: [], permitted: [] },
    },
    root: { path: places.rootFs, readonly: false },
    hostname: spec.handle,
    mounts: [
      ...kernelMounts(spec.privileged),
      ...ownMounts(places, tools),
      ...spec.mounts.flatMap((mount, index) =>
        ids ? stagedMount(mount, places.staged(index), o.nested?.[index] ?? []) : [userMount(mount, mount.source)],
      ),
    ],
    linux: {
      cgroupsPath: places.cgroup,
      namespaces: [
        { type: 'pid' },
        { type: 'mount' },
        { type: 'ipc' },
        { type: 'uts' },
        { type: 'cgroup' },
        { type: 'network', path: places.netns },
        // Made before, as the network namespace has to belong to it and the files of layers are mapped into it.
        ...(ids ? [{ type: 'user', path: places.userNamespace }] : []),
      ],
      ...(ids ? { uidMappings: mappings(ids), gidMappings: mappings(ids) } : {}),
      resources: resources(o),
      maskedPaths: spec.privileged ? [] : MASKED_PATHS,
      readonlyPaths: spec.privileged ? [] : READONLY_PATHS,
      ...(spec.privileged ? {} : { seccomp: SECCOMP }),
    },
  };
}

function resources({ spec, kernel, maxPids }: { spec: GardenSpec; kernel: KernelFeatures; maxPids: number }): object {
  const { limits } = spec;
  const { memoryBytes, cpuShares, cpuMillicores = 0 } = limits;
  const pids = limits.pids > 0 ? limits.pids : maxPids;
  // The limit of swap is one of memory and swap together, so this leaves none to swap.
  const memory = { limit: memoryBytes, ...(kernel.swapLimit ? { swap: memoryBytes } : { swappiness: 0 }) };
  const cpu = {
    ...(cpuShares > 0 ? { shares: Math.max(MIN_CPU_SHARES, cpuShares) } : {}),
    ...(cpuMillicores > 0
      ? { period: CPU_PERIOD_US, quota: Math.max(MIN_CPU_QUOTA_US, (cpuMillicores * CPU_PERIOD_US) / 1000) }
      : {}),
  };
  return {
    devices: spec.privileged ? [{ allow: true, access: 'rwm' }] : [{ allow: false, access: 'rwm' }],
    ...(memoryBytes > 0 ? { memory } : {}),
    ...(pids > 0 ? { pids: { limit: pids } } : {}),
    ...(Object.keys(cpu).length > 0 ? { cpu } : {}),
  };
}

function kernelMounts(privileged: boolean): object[] {
  const hidden = ['nosuid', 'noexec', 'nodev'];
  return [
    { destination: '/proc', type: 'proc', source: 'proc', options: hidden },
    {
      destination: '/dev',
      type: 'tmpfs',
      source: 'tmpfs',
      options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k', 'nr_inodes=4096'],
    },
    {
      destination: '/dev/pts',
      type: 'devpts',
      source: 'devpts',
      options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
    },
    {
      destination: '/dev/shm',
      type: 'tmpfs',
      source: 'shm',
      options: [...hidden, 'mode=1777', 'size=65536k', 'nr_inodes=65536'],
    },
    { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: hidden },
    { destination: '/sys', type: 'sysfs', source: 'sysfs', options: privileged ? hidden : [...hidden, 'ro'] },
  ];
}

function ownMounts(places: ContainerPlaces, tools: HostTools): object[] {
  const readOnly = ['bind', 'ro', 'nosuid', 'nodev'];
  return [
    { destination: INIT, type: 'bind', source: tools.init, options: readOnly },
    { destination: BUSYBOX, type: 'bind', source: tools.busybox, options: readOnly },
    ...(tools.ssh ? [{ destination: SSH_TOOLS, type: 'bind', source: tools.ssh, options: readOnly }] : []),
    // Root in a container may add names, as elsewhere; the files are the container's own.
    { destination: '/etc/hosts', type: 'bind', source: places.hosts, options: ['bind', 'rw', 'nosuid', 'nodev'] },
    {
      destination: '/etc/resolv.conf',
      type: 'bind',
      source: places.resolvConf,
      options: ['bind', 'rw', 'nosuid', 'nodev'],
    },
  ];
}

function mappings({ hostId, size }: IdMapping): object[] {
  return [{ containerID: 0, hostID: hostId, size }];
}

function userMount(mount: GardenSpec['mounts'][number], source: string): object {
  const options = ['rbind', mount.readOnly ? 'ro' : 'rw', 'nosuid', 'nodev'];
  return { destination: mount.destination, type: 'bind', source, options };
}

/** Those below once more by themselves: crun passes over them where it gets a mount from outside a user namespace. */
function stagedMount(mount: GardenSpec['mounts'][number], staged: string, nested: readonly string[]): object[] {
  return ['', ...nested].map((path) => {
    return userMount({ ...mount, destination: join(mount.destination, path) }, join(staged, path));
  });
}
