import { execFileSync } from 'node:child_process';
import { mkdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { collectOutput, plainProcess, plainSpec } from '../../contract.js';
import type { GardenContainer, GardenSpec } from '../../garden.js';
import { type ScratchCell, scratchCell } from '../scratch-cell.js';

/* What a process may do and sees is the same, whichever runtime has made its container: looked at from inside. */

let cell: ScratchCell;
let volume: string;
let made = 0;

beforeAll(async () => {
  cell = await scratchCell();
  volume = join(dirname(cell.options.dataDir), 'volume');
  mkdirSync(join(volume, 'below'), { recursive: true });
  execFileSync('mount', ['-t', 'tmpfs', 'likeness', join(volume, 'below')]);
});
afterAll(() => cell?.remove());

const STATUS = '^(Cap|NoNew|Seccomp|Uid|Gid|Groups|Speculation)';
/** Opened for writing, but nothing is written. */
const OPENED = [
  ...['/proc/sys/kernel/hostname', '/proc/sysrq-trigger', '/proc/irq/default_smp_affinity', '/sys/kernel/mm/ksm/run'],
  ...['/volume/file', '/volume/below/file', '/readable/file', '/readable/below/file', '/etc/hosts', '/tmp/file'],
];
const MASKED = '/proc/kcore /proc/timer_list /proc/sched_debug';

/** Shell scripts, and how many lines they print at least. */
const LOOKS: Record<string, [least: number, script: string]> = {
  'capabilities, seccomp, no new privileges, ids': [10, `grep -E "${STATUS}" /proc/self/status`],
  'the same of init': [10, `grep -E "${STATUS}" /proc/1/status`],
  limits: [10, 'cat /proc/self/limits'],
  'masked files': [
    3,
    `for f in ${MASKED}; do head -c 1 $f 2>&1 | wc -c; done; ls /proc/acpi /proc/scsi /sys/firmware 2>&1`,
  ],
  'what can be written': [
    7,
    `for f in ${OPENED.join(' ')}; do (: >>$f) 2>/dev/null && echo $f; done; ls -d /volume/* /readable/*`,
  ],
  devices: [8, 'cd /dev; ls | grep -v core; for d in null zero full tty; do head -c 1 $d 2>&1 | wc -c; done'],
  'devices that it may make': [
    3,
    'cd /tmp; mknod disk b 254 0 2>&1; mknod nothing c 1 3 2>&1; head -c 1 disk nothing 2>&1',
  ],
  environment: [5, 'env | sort; umask; pwd; id; hostname; cat /proc/self/oom_score_adj'],
  'files, control groups': [5, 'ls /proc/self/fd; cat /proc/self/cgroup'],
  'signals that are ignored or blocked': [
    3,
    'grep -E "^Sig(Blk|Ign|Cgt)" /proc/1/status; grep ^SigBlk /proc/self/status',
  ],
};
const MOUNTS = "cut -d' ' -f5,6 /proc/self/mountinfo";

const output = async (container: GardenContainer, script: string, user = 'root') => {
  const shell = { path: '/bin/sh', args: ['-c', script] };
  const process = await container.run(plainProcess(`p${++made}`, shell, { user }));
  await process.wait();
  return (await collectOutput(process)).map((line) => line.replace(/^\w+: /, ''));
};

describe.each<[string, Partial<GardenSpec>]>([
  ['a container', {}],
  ['a privileged container', { privileged: true }],
])('%s is the same, whichever runtime made it', (_, more) => {
  const seen: Record<string, Record<string, string[]>> = { crun: {}, runc: {} };
  beforeAll(async () => {
    for (const [runtime, found] of Object.entries(seen)) {
      const garden = await cell.open({ runtime, allowPrivileged: true });
      const limits = { memoryBytes: 64 << 20, diskBytes: 0, pids: 50, cpuShares: 10 };
      const mounts = [
        { source: volume, destination: '/volume', readOnly: false },
        { source: volume, destination: '/readable', readOnly: true },
      ];
      const container = await garden.create(plainSpec('same', cell.rootFs, { limits, mounts, ...more }));
      for (const [name, [, script]] of Object.entries(LOOKS)) {
        found[name] = await output(container, script);
        found[`${name}, for a user`] = await output(container, script, '1000');
      }
      found.mounts = await output(container, MOUNTS);
      await garden.destroy('same');
      await garden.close();
    }
  });

  it.each(Object.entries(LOOKS))('%s', (name, [least]) => {
    expect(seen.crun?.[name]?.length).toBeGreaterThanOrEqual(least);
    expect(seen.crun?.[name]).toEqual(seen.runc?.[name]);
    expect(seen.crun?.[`${name}, for a user`]).toEqual(seen.runc?.[`${name}, for a user`]);
  });

  it('mounts: no freedom by crun that runc does not give', () => {
    const [crun, runc] = [seen.crun?.mounts, seen.runc?.mounts].map((lines) => new Map(lines?.map(flagsOfPoint)));
    expect([...(crun?.keys() ?? [])].sort()).toEqual([...(runc?.keys() ?? [])].sort());
    for (const [point, flags] of runc ?? []) {
      const lacking = flags.filter((flag) => flag !== 'rw' && !crun?.get(point)?.includes(flag));
      expect([point, ...lacking]).toEqual([
        point,
        ...(point in KNOWN ? lacking.filter((flag) => KNOWN[point]?.includes(flag)) : []),
      ]);
    }
  });
});

/** Files of the kernel are neither programs nor devices, and the container can make these of files of its own anywhere else. */
const WITHOUT = ['nosuid', 'nodev', 'noexec'];
const KNOWN: Record<string, string[]> = Object.fromEntries(
  ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger', '/etc/hosts', '/etc/resolv.conf'].map(
    (point) => [point, WITHOUT],
  ),
);

function flagsOfPoint(line: string): [string, string[]] {
  const [point = '', flags = ''] = line.split(' ');
  return [point, flags.split(',')];
}

it('leaves the machine its /dev/null, whoever the process is and whether or not the container has ids of its own', async () => {
  const before = statSync('/dev/null');
  const garden = await cell.open({ allowPrivileged: true });
  for (const privileged of [false, true]) {
    const container = await garden.create(plainSpec('null', cell.rootFs, { privileged }));
    for (const user of ['root', '1000']) {
      expect(await output(container, 'echo heard; echo unheard >/dev/null', user)).toEqual(['heard']);
      const person = await container.exec({ path: '/bin/true', args: [], env: {}, dir: '', user });
      person.stdout.resume();
      person.stderr.resume();
      expect((await person.wait()).code).toBe(0);
    }
    const { uid, gid, mode } = statSync('/dev/null');
    expect({ uid, gid, mode }).toEqual({ uid: before.uid, gid: before.gid, mode: before.mode });
    await garden.destroy('null');
  }
  await garden.close();
});
