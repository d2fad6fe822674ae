import { describe, expect, it } from 'vitest';
import { plainSpec } from '../contract.js';
import type { GardenLimits, GardenSpec } from '../garden.js';
import { runtimeConfig } from './bundle.js';
import { cellPlaces } from './places.js';

const MB = 1024 * 1024;

/** As much of the OCI configuration as the rules are about. */
interface Config {
  process: { noNewPrivileges: boolean; capabilities: Record<string, string[]> };
  mounts: { destination: string; source: string; options: string[] }[];
  linux: {
    namespaces: { type: string; path?: string }[];
    uidMappings?: object[];
    gidMappings?: object[];
    resources: Record<string, unknown>;
    maskedPaths: string[];
    readonlyPaths: string[];
    seccomp?: { defaultAction: string; syscalls: { names: string[]; action: string; args?: object[] }[] };
  };
}

function configOf(
  more: Partial<GardenSpec> = {},
  o: { ids?: boolean; swapLimit?: boolean; maxPids?: number } = {},
): Config {
  const spec = plainSpec('h', 'preloaded:x', more);
  return runtimeConfig({
    spec,
    places: cellPlaces('/data', 'cell').container('h'),
    tools: { init: '/init', busybox: '/busybox' },
    kernel: { swapLimit: o.swapLimit ?? true },
    maxPids: o.maxPids ?? 100,
    ids: (o.ids ?? true) ? { hostId: 1_000_000, size: 65_536 } : undefined,
  }) as Config;
}

describe('limits become resources of the control group', () => {
  it.each<[string, Partial<GardenLimits>, Parameters<typeof configOf>[1], object]>([
    ['memory and swap together', { memoryBytes: 64 * MB }, {}, { memory: { limit: 64 * MB, swap: 64 * MB } }],
    [
      'memory, without swap',
      { memoryBytes: 64 * MB },
      { swapLimit: false },
      { memory: { limit: 64 * MB, swappiness: 0 } },
    ],
    ['no memory limit', {}, {}, { pids: { limit: 100 } }],
    ['pids', { pids: 7 }, {}, { pids: { limit: 7 } }],
    ['pids of one that asks for none', {}, {}, { pids: { limit: 100 } }],
    ['no pids limit, when the cell has no bound either', {}, { maxPids: 0 }, {}],
    ['shares', { cpuShares: 512 }, {}, { cpu: { shares: 512 } }],
    ['fewer shares than there are', { cpuShares: 1 }, {}, { cpu: { shares: 2 } }],
    ['a quota', { cpuMillicores: 1500 }, {}, { cpu: { period: 100_000, quota: 150_000 } }],
    ['a quota that is next to nothing', { cpuMillicores: 1 }, {}, { cpu: { period: 100_000, quota: 1000 } }],
  ])('%s', (_name, limits, o, expected) => {
    const none = { memoryBytes: 0, diskBytes: 0, pids: 0, cpuShares: 0 };
    expect(configOf({ limits: { ...none, ...limits } }, o).linux.resources).toEqual({
      devices: [{ allow: false, access: 'rwm' }],
      ...(o?.maxPids !== 0 && { pids: { limit: 100 } }),
      ...expected,
    });
  });
});

describe('what a container may do', () => {
  const ordinary = configOf();
  const privileged = configOf({ privileged: true }, { ids: false });
  const typesOf = (config: Config) => config.linux.namespaces.map(({ type }) => type).sort();

  it('has every namespace of its own, the user namespace included, unless it is privileged', () => {
    expect(typesOf(ordinary)).toEqual(['cgroup', 'ipc', 'mount', 'network', 'pid', 'user', 'uts']);
    const map = [{ containerID: 0, hostID: 1_000_000, size: 65_536 }];
    expect(ordinary.linux).toMatchObject({ uidMappings: map, gidMappings: map });
    expect(typesOf(privileged)).not.toContain('user');
    expect(privileged.linux.uidMappings).toBeUndefined();
  });

  it('gains no privileges, and has at most 14 capabilities', () => {
    expect(ordinary.process.noNewPrivileges).toBe(true);
    const { bounding = [], effective, inheritable, ambient } = ordinary.process.capabilities;
    expect(bounding.length).toBeLessThanOrEqual(14);
    for (const name of ['SYS_ADMIN', 'NET_ADMIN', 'SYS_PTRACE', 'SYS_MODULE', 'DAC_READ_SEARCH', 'BPF', 'SYS_RESOURCE'])
      expect(bounding).not.toContain(`CAP_${name}`);
    expect([effective, inheritable, ambient]).toEqual([[], [], []]);
    expect(privileged.process.capabilities.bounding).toContain('CAP_SYS_ADMIN');
  });

  it('does not see or change the kernel’s files', () => {
    expect(ordinary.mounts.find(({ destination }) => destination === '/sys')?.options).toContain('ro');
    for (const path of ['/proc/kcore', '/proc/keys', '/proc/timer_list', '/sys/firmware'])
      expect(ordinary.linux.maskedPaths).toContain(path);
    for (const path of ['/proc/sys', '/proc/sysrq-trigger', '/proc/bus', '/proc/irq'])
      expect(ordinary.linux.readonlyPaths).toContain(path);
    expect(privileged.linux).toMatchObject({ maskedPaths: [], readonlyPaths: [] });
  });

  it('may not make the calls that open kernels', () => {
    const { seccomp } = ordinary.linux;
    const refused = seccomp?.syscalls.filter(({ args }) => !args).flatMap(({ names }) => names);
    for (const name of [
      'mount',
      'umount2',
      'setns',
      'unshare',
      'bpf',
      'keyctl',
      'kexec_load',
      'init_module',
      'open_by_handle_at',
    ])
      expect(refused).toContain(name);
    for (const name of [
      'perf_event_open',
      'userfaultfd',
      'io_uring_setup',
      'move_mount',
      'mount_setattr',
      'pidfd_getfd',
    ])
      expect(refused).toContain(name);
    expect(privileged.linux.seccomp).toBeUndefined();
  });

  it('finds memory for its own small filesystems bounded, in bytes and in files', () => {
    for (const path of ['/dev', '/dev/shm']) {
      const options = ordinary.mounts.find(({ destination }) => destination === path)?.options.join(',');
      expect(options).toMatch(/size=\d+k,nr_inodes=\d+/);
    }
  });

  it('sees what of the host it was given, by way of mapped owners, without devices or rights from files', () => {
    const mounts = [
      { source: '/host/a', destination: '/a', readOnly: true },
      { source: '/host/b', destination: '/b', readOnly: false },
    ];
    const own = (config: Config) => config.mounts.filter(({ destination }) => /^\/[ab]$/.test(destination));
    expect(own(configOf({ mounts }))).toMatchObject([
      {
        source: expect.stringMatching(/^\/run\/rivera\/stages\/.*\/mounts\/0$/),
        options: ['rbind', 'ro', 'nosuid', 'nodev'],
      },
      { source: expect.stringMatching(/\/mounts\/1$/), options: ['rbind', 'rw', 'nosuid', 'nodev'] },
    ]);
    expect(own(configOf({ mounts }, { ids: false })).map(({ source }) => source)).toEqual(['/host/a', '/host/b']);
  });
});
