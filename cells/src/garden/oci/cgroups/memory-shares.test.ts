import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { collectOutput, plainProcess, plainSpec } from '../../contract.js';
import type { GardenContainer, ProcessSpec } from '../../garden.js';
import type { OciGarden } from '../oci-garden.js';
import { cellPlaces } from '../places.js';
import { type ScratchCell, scratchCell } from '../scratch-cell.js';
import { ContainerCgroup } from './cgroup.js';

const MIB = 1024 * 1024;
let cell: ScratchCell;
let garden: OciGarden;
let container: GardenContainer;
let made = 0;

beforeAll(async () => {
  cell = await scratchCell();
  garden = await cell.open();
});
afterEach(async () => {
  await Promise.all(garden.list().map(({ handle }) => garden.destroy(handle)));
  expect(await cell.leaks()).toEqual([]);
});
afterAll(async () => {
  await garden?.close();
  await cell?.remove();
});

const open = async (memoryMb = 0) => {
  const limits = { memoryBytes: memoryMb * MIB, diskBytes: 0, pids: 0, cpuShares: 0 };
  container = await garden.create(plainSpec(`m${++made}`, cell.rootFs, { limits }));
};
const sh = (script: string, more: Partial<ProcessSpec> = {}) =>
  container.run(plainProcess(`p${++made}`, { path: '/bin/sh', args: ['-c', script] }, more));
const within = (name: string, mib: number) => ({ memoryShare: { name, bytes: mib * MIB } });
/** Takes memory in an instant, and gives it back. */
const take = (mib: number) => `dd if=/dev/zero of=/dev/null bs=${mib}M count=1 2>/dev/null`;
const cgroup = () =>
  new ContainerCgroup(cellPlaces(cell.options.dataDir, cell.options.cellId).container(container.handle).cgroup);

it('ends what goes beyond its share, and blames nobody else', async () => {
  await open(128);
  const app = await sh(`read go; ${take(60)}; exit 3`, { stdin: true });
  const small = await sh('read go; exit 4', { stdin: true, ...within('small', 32) });
  const hog = await sh(`exec ${take(60)}`, within('hog', 32));
  expect(await hog.wait()).toEqual({ code: 137, outOfMemory: true });
  for (const process of [app, small]) await process.closeStdin();
  expect(await app.wait()).toEqual({ code: 3, outOfMemory: false });
  expect(await small.wait()).toEqual({ code: 4, outOfMemory: false });
  expect((await container.status()).events).toEqual(['Out of memory']);
});

it('ends what goes beyond what the container has, and says so to none that has a share', async () => {
  await open(64);
  const sidecar = await sh('read go; exit 4', { stdin: true, ...within('side', 32) });
  const hog = await sh(`exec ${take(100)}`);
  expect(await hog.wait()).toEqual({ code: 137, outOfMemory: true });
  await sidecar.closeStdin();
  expect(await sidecar.wait()).toEqual({ code: 4, outOfMemory: false });
});

it('is one for all processes that name it, and for what they start', async () => {
  await open();
  const first = await sh('echo; sleep 100 & read go', { stdin: true, ...within('both', 48) });
  const second = await sh('echo; read go', { stdin: true, ...within('both', 48) });
  for (const process of [first, second]) for await (const _ready of process.output()) break;
  const groups = await readdir(cgroup().directory('memory'), { withFileTypes: true });
  expect(groups.filter((entry) => entry.isDirectory()).map(({ name }) => name)).toEqual(['share-both']);
  const members = await readFile(join(cgroup().directory('memory'), 'share-both', 'cgroup.procs'), 'utf8');
  expect(members.trim().split('\n')).toHaveLength(3);
  expect((await container.metrics()).pids).toBe((await cgroup().pids()).length);
  await container.stop(0);
  expect(await cgroup().pids()).toHaveLength(1);
});

it('is known to a later garden, which tells who ran out', async () => {
  await open();
  const share = within('later', 32);
  const until = 'while [ ! -e /go ]; do sleep 0.1; done;';
  const hog = await sh(`${until} exec ${take(60)}`, share);
  const app = await sh(`${until} exit 3`);
  await garden.close();
  garden = await cell.open();
  container = garden.lookup(container.handle) as GardenContainer;
  await (await sh('touch /go')).wait();
  expect(await container.attach(hog.id)?.wait()).toEqual({ code: 137, outOfMemory: true });
  expect(await container.attach(app.id)?.wait()).toEqual({ code: 3, outOfMemory: false });
});

it('is refused with a reason where it makes no sense', async () => {
  await open();
  for (const memoryShare of [
    { name: '../x', bytes: MIB },
    { name: '', bytes: MIB },
    { name: 'x', bytes: 0 },
    { name: 'x', bytes: 1.5 },
  ])
    await expect(sh('true', { memoryShare })).rejects.toMatchObject({ kind: 'invalid' });
  await (await sh('true', within('x', 32))).wait();
  const other = { kind: 'invalid', message: expect.stringContaining(`'x' has ${32 * MIB} bytes already`) };
  await expect(sh('true', within('x', 33))).rejects.toMatchObject(other);
  await (await sh('true', within('x', 32))).wait();
});

it('that nothing can start in says what it lacks', async () => {
  await open();
  await expect(sh('true', { memoryShare: { name: 'tiny', bytes: 4096 } })).rejects.toMatchObject({
    kind: 'process-failed',
    message: expect.stringContaining('out of memory'),
  });
});

it('goes with its container, also where whoever was to limit it died half-way', async () => {
  await open();
  await (await sh('true', within('a', 32))).wait();
  const directory = join(cgroup().directory('memory'), 'share-b');
  expect(spawnSync('mkdir', [directory]).status).toBe(0);
  expect(await collectOutput(await sh('echo in', within('b', 32)))).toEqual(['stdout: in']);
  await garden.destroy(container.handle);
  expect(existsSync(cgroup().directory('memory'))).toBe(false);
});
