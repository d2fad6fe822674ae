import type { GardenSpec } from '../garden.js';
import type { ContainerPlaces } from './places.js';
import { capabilities, MASKED_PATHS, READONLY_PATHS, SECCOMP } from './security.js';

/** Where the garden's own tools appear in every container, read-only, also in images that have nothing. */
export const TOOLS_DIR = '/.rivera';
/** Reaps what is left without a parent. */
export const INIT = `${TOOLS_DIR}/init`;
/** Static tar and shell. */
export const BUSYBOX = `${TOOLS_DIR}/busybox`;

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
  /** Whether memory and swap can be limited together. */
  swapLimit: boolean;
}

/** The OCI runtime's configuration of a container whose init waits for processes. */
export function runtimeConfig(o: {
  spec: GardenSpec;
  places: ContainerPlaces;
  tools: HostTools;
  kernel: KernelFeatures;
}): object {
  const { spec, places, tools } = o;
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
    mounts: [...kernelMounts(spec.privileged), ...ownMounts(places, tools), ...spec.mounts.map(userMount)],
    linux: {
      cgroupsPath: places.cgroup,
      namespaces: [
        { type: 'pid' },
        { type: 'mount' },
        { type: 'ipc' },
        { type: 'uts' },
        { type: 'cgroup' },
        { type: 'network', path: places.netns },
      ],
      resources: resources(spec, o.kernel),
      maskedPaths: spec.privileged ? [] : MASKED_PATHS,
      readonlyPaths: spec.privileged ? [] : READONLY_PATHS,
      ...(spec.privileged ? {} : { seccomp: SECCOMP }),
    },
  };
}

function resources(spec: GardenSpec, kernel: KernelFeatures): object {
  const { limits } = spec;
  const memory = { limit: limits.memoryBytes, ...(kernel.swapLimit ? { swap: limits.memoryBytes } : {}) };
  return {
    devices: spec.privileged ? [{ allow: true, access: 'rwm' }] : [{ allow: false, access: 'rwm' }],
    ...(limits.memoryBytes > 0 ? { memory } : {}),
    ...(limits.pids > 0 ? { pids: { limit: limits.pids } } : {}),
    ...(limits.cpuShares > 0 ? { cpu: { shares: Math.max(2, limits.cpuShares) } } : {}),
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
      options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'],
    },
    {
      destination: '/dev/pts',
      type: 'devpts',
      source: 'devpts',
      options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
    },
    { destination: '/dev/shm', type: 'tmpfs', source: 'shm', options: [...hidden, 'mode=1777', 'size=65536k'] },
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

function userMount(mount: GardenSpec['mounts'][number]): object {
  const options = ['rbind', mount.readOnly ? 'ro' : 'rw', 'nosuid', 'nodev'];
  return { destination: mount.destination, type: 'bind', source: mount.source, options };
}
