import { spawnSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { atFailpoints } from '@rivera/kit/failpoint';
import { silentLogger } from '@rivera/kit/log';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { mountsBelow, unmountBelow } from '../kernel/mounts.js';
import type { Volume } from './driver.js';
import { LocalDriver } from './local-driver.js';
import { Volumes, type VolumeUse } from './volumes.js';

const MIB = 1024 * 1024;
let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'rivera-limited-'));
});
afterEach(async () => {
  atFailpoints(undefined);
  await unmountBelow(directory);
  // The kernel lets go of a loop device with the last use of its mount, which may be a moment later.
  await vi.waitFor(() => expect(loopDevices()).toBe(''), { timeout: 20_000, interval: 20 });
  await rm(directory, { recursive: true, force: true });
});

const loopDevices = () =>
  spawnSync('losetup', ['--list', '--noheadings', '--output', 'BACK-FILE'])
    .stdout.toString()
    .split('\n')
    .filter((file) => file.startsWith(directory))
    .join();
const volume = (settings: object = { size: '8MiB' }, more: Partial<Volume> = {}): Volume => ({
  kind: 'shared',
  id: 'v',
  mountConfig: JSON.stringify(settings),
  deviceConfig: '',
  ...more,
});
const start = async (uses: Parameters<LocalDriver['start']>[0] = []) => {
  const driver = new LocalDriver(directory);
  await driver.start(uses);
  return driver;
};

it('a volume holds what its size says and not more, with the owner and mode that were asked for', async () => {
  const driver = await start();
  const path = await driver.mount('a', volume({ size: '8MiB', uid: 1000, gid: 5, mode: '0750' }));
  expect(await stat(path)).toMatchObject({ uid: 1000, gid: 5, mode: 0o40750 });
  expect(await readdir(path)).toEqual([]);
  await writeFile(join(path, 'fits'), Buffer.alloc(8 * MIB - 65_536));
  await expect(writeFile(join(path, 'more'), Buffer.alloc(MIB))).rejects.toMatchObject({ code: 'ENOSPC' });
  await driver.unmount('a', volume());
  expect(await mountsBelow(directory)).toEqual([]);
  expect(await driver.mount('b', volume({}))).toBe(path);
  expect((await stat(join(path, 'fits'))).size).toBe(8 * MIB - 65_536);
  expect(await stat(path)).toMatchObject({ uid: 1000, mode: 0o40750 });
});

it('is mounted once and for as long as somebody has it, also over lives of the agent', async () => {
  const records = join(directory, 'records');
  const open = async () => {
    const volumes = new Volumes({ directory: records, drivers: [new LocalDriver(directory)], logger: silentLogger });
    await volumes.start();
    return volumes;
  };
  const use: VolumeUse = { driver: 'local', ...volume() };
  let volumes = await open();
  const asked = await Promise.all(['a', 'b'].map((guid) => volumes.mount(guid, [use])));
  const [path = ''] = asked[0] ?? [];
  expect(asked).toEqual([[path], [path]]);
  await writeFile(join(path, 'file'), 'kept');
  volumes = await open();
  await volumes.release('a');
  await volumes.mount('c', [use]);
  expect(await mountsBelow(directory)).toHaveLength(1);
  await volumes.release('b');
  expect(await readFile(join(path, 'file'), 'utf8')).toBe('kept');
  await volumes.keepOnly(new Set());
  expect(await mountsBelow(directory)).toEqual([]);
});

it('keeps the size that it has, and one without stays without', async () => {
  const driver = await start();
  await driver.mount('a', volume());
  await expect(driver.mount('b', volume({ size: '9MiB' }))).rejects.toThrow(
    "volume 'v' has a size of 8MiB, which can't be changed to 9MiB",
  );
  await driver.mount('a', volume({}, { kind: 'dedicated' }));
  await expect(driver.mount('b', volume(undefined, { kind: 'dedicated' }))).rejects.toThrow(
    "volume 'v' has no limit of size, which can't be changed to 8MiB",
  );
});

it.each(['cell.volume-formatted', 'cell.volume-made', 'cell.volume-mounted', 'cell.volume-owned'])(
  'an agent that dies at %s leaves what the next one takes up',
  async (where) => {
    const wanted = volume({ size: '8MiB', uid: 1000 });
    atFailpoints((name) => {
      if (name === where) throw new Error('dead');
    });
    await expect((await start()).mount('a', wanted)).rejects.toThrow('dead');
    atFailpoints(undefined);
    const driver = await start([{ container: 'a', volume: wanted }]);
    const path = await driver.mount('b', wanted);
    expect(await stat(path)).toMatchObject({ uid: 1000, mode: 0o40777 });
    expect(await readdir(join(directory, 'images/shared'))).toEqual([`v@${8 * MIB}`]);
    await driver.unmount('b', wanted);
    expect(await mountsBelow(directory)).toHaveLength(1);
    await driver.unmount('a', wanted);
    expect(await mountsBelow(directory)).toEqual([]);
  },
);

it('a directory is never seen before it belongs to whom it was asked for', async () => {
  const wanted = volume({ uid: 1000, mode: '0700' });
  atFailpoints((name) => {
    if (name === 'cell.volume-owned') throw new Error('dead');
  });
  await expect((await start()).mount('a', wanted)).rejects.toThrow('dead');
  atFailpoints(undefined);
  const driver = await start();
  expect(await readdir(join(directory, 'shared'))).toEqual([]);
  expect(await stat(await driver.mount('a', wanted))).toMatchObject({ uid: 1000, mode: 0o40700 });
});
