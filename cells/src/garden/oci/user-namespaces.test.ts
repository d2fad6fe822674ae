import { mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { collectOutput, plainProcess, plainSpec } from '../contract.js';
import type { GardenContainer, GardenSpec, ProcessSpec } from '../garden.js';
import { IdRanges } from './id-ranges.js';
import type { OciGarden } from './oci-garden.js';
import { DEFAULT_USER_NAMESPACES, type OciGardenOptions } from './options.js';
import { cellPlaces } from './places.js';
import { type ScratchCell, scratchCell } from './scratch-cell.js';

let cell: ScratchCell;
let garden: OciGarden;
let made = 0;

beforeAll(async () => {
  cell = await scratchCell();
  garden = await cell.open();
});
afterEach(async () => {
  await Promise.all(garden.list().map((container) => garden.destroy(container.handle)));
  expect(await cell.leaks()).toEqual([]);
});
afterAll(async () => {
  await garden?.close();
  await cell?.remove();
});

const reopen = async (more: Partial<OciGardenOptions> = {}) => {
  await garden.close();
  garden = await cell.open(more);
};
const create = (more: Partial<GardenSpec> = {}) => garden.create(plainSpec(`u${++made}`, cell.rootFs, more));
const said = async (container: GardenContainer, script: string, more: Partial<ProcessSpec> = {}) => {
  const process = await container.run(plainProcess(`p${++made}`, { path: '/bin/sh', args: ['-c', script] }, more));
  return collectOutput(process);
};
const initOf = async (container: GardenContainer) => {
  const { initPidFile } = cellPlaces(cell.options.dataDir, cell.options.cellId).container(container.handle);
  return `/proc/${(await readFile(initPidFile, 'utf8')).trim()}`;
};
const firstIdOf = async (container: GardenContainer) =>
  Number((await readFile(join(await initOf(container), 'uid_map'), 'utf8')).trim().split(/\s+/)[1]);

it('root of a container is an id of the host that no other container has', async () => {
  const [one, other] = await Promise.all([create(), create()]);
  const [first, second] = await Promise.all([firstIdOf(one), firstIdOf(other)]);
  expect(first).toBeGreaterThanOrEqual(DEFAULT_USER_NAMESPACES.firstId);
  expect(Math.abs(first - second)).toBeGreaterThanOrEqual(65_536);
  expect((await stat(await initOf(one))).uid).toBe(first);
  expect(await said(one, 'id -u; cat /proc/self/uid_map | tr -s " "')).toEqual([
    'stdout: 0',
    `stdout:  0 ${first} 65536`,
  ]);
});

it('files of the image, and those made inside, have the owners that the container knows', async () => {
  const container = await create();
  const script =
    'stat -c %u:%g / /etc/passwd /home/vcap /etc/hosts; touch /made; chown 1000:5 /made; stat -c %u:%g /made';
  const expected = ['0:0', '0:0', '1000:1000', '0:0', '1000:5'].map((line) => `stdout: ${line}`);
  expect(await said(container, script)).toEqual(expected);
  const first = await firstIdOf(container);
  expect(await stat(join(await initOf(container), 'root/made'))).toMatchObject({ uid: first + 1000, gid: first + 5 });
  expect((await stat(join(cell.options.rootFsDir, 'busybox/etc/passwd'))).uid).toBe(0);
});

it('what root needs of its own container works: low ports, ping, names, output by path', async () => {
  const container = await create();
  const script =
    'nc -l -p 80 -e true & sleep 0.1; echo | nc 127.0.0.1 80 && echo port; ping -c 1 127.0.0.1 >/dev/null && echo ping';
  expect(await said(container, script)).toEqual(['stdout: port', 'stdout: ping']);
  expect(
    await said(container, 'echo "1.2.3.4 there" >> /etc/hosts && echo named > /dev/stdout; tail -1 /etc/hosts'),
  ).toEqual(['stdout: named', 'stdout: 1.2.3.4 there']);
  expect(await said(container, 'echo mine > /dev/stderr; pwd', { user: 'vcap', dir: '/dev/shm/deep/er' })).toEqual(
    expect.arrayContaining(['stderr: mine', 'stdout: /dev/shm/deep/er']),
  );
});

it('directories of the host keep their owners, whatever ids the container has', async () => {
  const shared = await mkdtemp(join(tmpdir(), 'rivera-shared-'));
  try {
    const mounts = [{ source: shared, destination: '/data', readOnly: false }];
    const [one, other] = await Promise.all([create({ mounts }), create({ mounts })]);
    await said(one, 'chown vcap /data; echo x > /data/root');
    await said(one, 'echo y > /data/mine; pwd', { user: 'vcap', dir: '/data/made/here' });
    expect(await said(other, 'stat -c %u /data /data/root /data/mine /data/made/here; cat /data/*')).toEqual(
      expect.arrayContaining(['1000', '0', '1000', '1000', 'x', 'y'].map((line) => `stdout: ${line}`)),
    );
    expect((await stat(join(shared, 'mine'))).uid).toBe(1000);
    expect((await stat(join(shared, 'root'))).uid).toBe(0);
    // Destroying a container leaves what it was shown.
    await garden.destroy(one.handle);
    expect(await readFile(join(shared, 'mine'), 'utf8')).toBe('y\n');
  } finally {
    await rm(shared, { recursive: true, force: true });
  }
});

it('a user beyond the ids of a container is refused by its number', async () => {
  const container = await create();
  await expect(said(container, 'true', { user: '70000:1' })).rejects.toThrow(
    "user '70000' has the id 70000: ids of a container with a user namespace end at 65535",
  );
  expect(await said(container, 'id -u', { user: '65534' })).toEqual(['stdout: 65534']);
});

it('containers from before user namespaces go on, and those with them when they are turned off', async () => {
  await reopen({ userNamespaces: { ...DEFAULT_USER_NAMESPACES, enabled: false } });
  const old = await create({ limits: { memoryBytes: 0, diskBytes: 4 << 20, pids: 0, cpuShares: 0 } });
  expect(await firstIdOf(old)).toBe(0);
  await reopen();
  const fresh = await create();
  const script = 'stat -c %u . ..; touch x; cat /proc/self/uid_map | tr -s " "';
  for (const [handle, first] of [
    [old.handle, '0 4294967295'],
    [fresh.handle, `${await firstIdOf(fresh)} 65536`],
  ] as const) {
    const container = garden.lookup(handle) as GardenContainer;
    expect(await said(container, script, { user: 'vcap', dir: '/srv/new' })).toEqual([
      'stdout: 1000',
      'stdout: 1000',
      `stdout:  0 ${first}`,
    ]);
  }
  await reopen({ userNamespaces: { ...DEFAULT_USER_NAMESPACES, enabled: false } });
  expect(await said(garden.lookup(fresh.handle) as GardenContainer, 'id -u', { user: 'vcap' })).toEqual([
    'stdout: 1000',
  ]);
  await garden.destroy(fresh.handle);
  await reopen();
});

it('privileged ones have none, where the cell allows them at all', async () => {
  await expect(create({ privileged: true })).rejects.toThrow('privileged container creation is disabled');
  await reopen({ allowPrivileged: true });
  const container = await create({ privileged: true });
  expect(await firstIdOf(container)).toBe(0);
  expect(await said(container, 'mkdir /m && mount -t tmpfs none /m && grep -c " /m " /proc/mounts')).toEqual([
    'stdout: 1',
  ]);
  expect(await said(container, 'id -u; touch x && echo ok', { user: 'vcap', dir: '/srv/new' })).toEqual([
    'stdout: 1000',
    'stdout: ok',
  ]);
  await reopen();
});

it('a privileged one may make control groups of its own: they end and go with it', async () => {
  await reopen({ allowPrivileged: true });
  const container = await create({ privileged: true });
  const mount =
    'mkdir /c && (mount -t cgroup2 none /c 2>&1 && ls /c/cgroup.controllers || mount -t cgroup -o pids none /c)';
  await said(container, mount);
  expect(await said(container, 'mkdir -p /c/a/b /c/d && echo $$ > /c/a/b/cgroup.procs && echo in')).toEqual([
    'stdout: in',
  ]);
  const within = plainProcess('within', { path: '/bin/sh', args: ['-c', 'echo $$ > /c/a/b/cgroup.procs; sleep 1000'] });
  const process = await container.run(within);
  await garden.destroy(container.handle);
  await process.wait().catch(() => undefined);
  expect(await cell.leaks()).toEqual([]);
  await reopen();
});

it('ranges are nobody’s once the folder of their container is gone, and all can be used up', async () => {
  const base = await mkdtemp(join(tmpdir(), 'rivera-ids-'));
  try {
    const folder = (name: string) => join(base, name);
    await Promise.all(['a', 'b'].map((name) => writeFile(folder(name), '')));
    const ranges = new IdRanges({ firstId: 100_000, ranges: 2 }, join(base, 'claims'));
    const a = await ranges.take(folder('a'));
    const b = await ranges.take(folder('b'));
    expect([a.hostId, b.hostId].sort()).toEqual([100_000, 165_536]);
    await expect(ranges.take(folder('a'))).rejects.toThrow('all 2 ranges of user ids of this machine are in use');
    await rm(folder('b'));
    await ranges.take(folder('a')).catch(() => undefined);
    expect((await ranges.take(folder('a'))).hostId).toBe(b.hostId);
    await ranges.release(folder('b'), a);
    expect(await ranges.claims(base)).toHaveLength(2);
    await ranges.release(folder('a'));
    expect(await ranges.claims(base)).toEqual([]);
    // A link that leads elsewhere is not followed: it is only a name.
    await symlink('/etc/passwd', join(base, 'claims/100000'));
    expect((await ranges.take(folder('a'))).hostId).toBe(165_536);
  } finally {
    await rm(base, { recursive: true, force: true });
  }
});

it('ranges of cells that count from different ids don’t overlap', async () => {
  const base = await mkdtemp(join(tmpdir(), 'rivera-ids-'));
  try {
    const folder = (name: string) => join(base, name);
    await Promise.all(['a', 'b'].map((name) => writeFile(folder(name), '')));
    const claims = join(base, 'claims');
    const [one, other] = [100_000, 130_000].map((firstId) => new IdRanges({ firstId, ranges: 1 }, claims));
    expect(await one?.take(folder('a'))).toMatchObject({ hostId: 100_000 });
    await expect(other?.take(folder('b'))).rejects.toThrow('all 1 ranges of user ids of this machine are in use');
    expect(await one?.claims(base)).toHaveLength(1);
    // What belonged to somebody who is gone stands in the way until it is met.
    await rm(folder('a'));
    await other?.take(folder('b')).catch(() => undefined);
    expect(await other?.take(folder('b'))).toMatchObject({ hostId: 130_000 });
  } finally {
    await rm(base, { recursive: true, force: true });
  }
});
