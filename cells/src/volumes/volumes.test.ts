import { mkdtemp, readdir, rm, stat, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { VolumeMount } from '@rivera/gen/rivera/recipe/v1/container';
import { silentLogger } from '@rivera/kit/log';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { volumesOf } from '../executor/containers/volume-mounts.js';
import { type Volume, type VolumeDriver, VolumeError } from './driver.js';
import { LocalDriver } from './local-driver.js';
import { Volumes, type VolumeUse } from './volumes.js';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'rivera-volumes-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const volume = (id: string, more: Partial<Volume> = {}): Volume => ({
  kind: 'shared',
  id,
  mountConfig: '',
  deviceConfig: '',
  ...more,
});
const use = (id: string, more: Partial<VolumeUse> = {}): VolumeUse => ({ driver: 'd', ...volume(id), ...more });

/** Keeps count, and fails for one that is called "broken". */
class CountingDriver implements VolumeDriver {
  readonly name = 'd';
  readonly mounted = new Set<string>();
  stuck = false;
  async start(): Promise<void> {}
  async mount(container: string, { id }: Volume): Promise<string> {
    this.mounted.add(`${container}/${id}`);
    if (id === 'broken') throw new VolumeError('no such device');
    return `/volumes/${id}`;
  }
  async unmount(container: string, { id }: Volume): Promise<void> {
    if (this.stuck) throw new Error('busy');
    this.mounted.delete(`${container}/${id}`);
  }
}

describe('volumes of containers', () => {
  let driver: CountingDriver;
  const open = async () => {
    const volumes = new Volumes({ directory: join(directory, 'records'), drivers: [driver], logger: silentLogger });
    await volumes.start();
    return volumes;
  };
  beforeEach(() => {
    driver = new CountingDriver();
  });

  it('are all there or none', async () => {
    const volumes = await open();
    expect(await volumes.mount('a', [use('1'), use('2')])).toEqual(['/volumes/1', '/volumes/2']);
    await expect(volumes.mount('b', [use('1'), use('broken')])).rejects.toThrow('no such device');
    await expect(volumes.mount('c', [use('1'), use('x', { driver: 'nfs' })])).rejects.toThrow(
      "Plugin 'nfs' not found in list of known plugins",
    );
    expect([...driver.mounted]).toEqual(['a/1', 'a/2']);
    expect(await readdir(join(directory, 'records'))).toEqual(['a.json']);
  });

  it('that are dedicated have one container at a time, also when two ask at once and over restarts', async () => {
    let volumes = await open();
    const own = use('1', { kind: 'dedicated' });
    const [first, second] = await Promise.allSettled([volumes.mount('a', [own]), volumes.mount('b', [own])]);
    expect([first.status, second.status]).toEqual(['fulfilled', 'rejected']);
    volumes = await open();
    await expect(volumes.mount('c', [own])).rejects.toThrow("volume '1' is dedicated, and in use by container a");
    await volumes.release('a');
    expect(await volumes.mount('c', [own])).toEqual(['/volumes/1']);
  });

  it('of containers that nobody knows are unmounted by the next life, and as often as it takes', async () => {
    await (await open()).mount('a', [use('1'), use('2')]);
    const volumes = await open();
    driver.stuck = true;
    await volumes.keepOnly(new Set());
    await expect(volumes.release('a')).rejects.toThrow('could not be unmounted');
    driver.stuck = false;
    await volumes.keepOnly(new Set(['a']));
    expect(driver.mounted.size).toBe(2);
    await volumes.keepOnly(new Set());
    expect(driver.mounted.size).toBe(0);
    expect(await readdir(join(directory, 'records'))).toEqual([]);
  });
});

describe('the local driver', () => {
  it('makes a directory for an id, as its configuration says, and once', async () => {
    const driver = new LocalDriver(directory);
    await driver.start([]);
    const path = await driver.mount('a', volume('v', { mountConfig: '{"uid":1000,"gid":5,"mode":"0750"}' }));
    expect(await stat(path)).toMatchObject({ uid: 1000, gid: 5, mode: 0o40750 });
    expect(await driver.mount('b', volume('v'))).toBe(path);
    expect((await stat(path)).uid).toBe(1000);
    expect(await driver.mount('b', volume('v', { kind: 'dedicated' }))).not.toBe(path);
    expect((await stat(directory)).mode & 0o777).toBe(0o700);
  });

  it.each<[string, Partial<Volume>, string]>([
    ['an id that leads elsewhere', { id: '../x' }, "volume id '../x' is not 1..128 of"],
    ['an id of dots', { id: '..' }, "volume id '..' is not"],
    ['no id', { id: '' }, "volume id '' is not"],
    ['what is no JSON', { mountConfig: '{' }, 'mount_config is not JSON'],
    ['a key that it does not know', { mountConfig: '{"sizes":1}' }, 'mount_config: '],
    ['a size that nothing fits into', { mountConfig: '{"size":"1MiB"}' }, 'mount_config.size: '],
    ['a size in words', { mountConfig: '{"size":"much"}' }, 'mount_config.size: '],
    ['an owner outside', { mountConfig: '{"uid":70000}' }, 'mount_config.uid: '],
    ['a mode in words', { mountConfig: '{"mode":"rw"}' }, 'mount_config.mode: must be octal'],
    ['settings of a device', { deviceConfig: '{}' }, 'device_config must be empty'],
    ['a link', { id: 'link' }, "volume 'link' is not a directory"],
  ])('refuses %s', async (_what, more, message) => {
    const driver = new LocalDriver(directory);
    await driver.start([]);
    await symlink('/etc', join(directory, 'shared/link'));
    await expect(driver.mount('a', volume('v', more))).rejects.toThrow(message);
  });
});

describe('volume mounts of a definition', () => {
  const device = { $case: 'shared' as const, value: { volumeId: 'v', mountConfig: '' } };
  const mount = (more: Partial<VolumeMount> = {}): VolumeMount => ({
    ...VolumeMount.fromPartial({ driver: 'd', containerDir: '/data', mode: 'rw' }),
    device,
    ...more,
  });

  it('come with those first that others lie in, and their modes', () => {
    const wanted = volumesOf([mount({ containerDir: '/data/sub//deep/', mode: 'r' }), mount()]);
    expect(wanted.map(({ destination, readOnly }) => [destination, readOnly])).toEqual([
      ['/data', false],
      ['/data/sub/deep', true],
    ]);
  });

  it.each<[string, VolumeMount[], string]>([
    ['nowhere', [mount({ containerDir: '' })], "volume_mounts[0].container_dir: '' is not an absolute path"],
    ['relatively', [mount({ containerDir: 'data' })], 'is not an absolute path'],
    ['upwards', [mount({ containerDir: '/data/../proc' })], 'must not contain'],
    ['over everything', [mount({ containerDir: '//' })], 'is the root directory'],
    ['over the kernel', [mount({ containerDir: '/proc/sys' })], 'is in the way of /proc'],
    ['over the cell’s files', [mount({ containerDir: '/etc' })], 'is in the way of /etc/hosts'],
    ['over its tools', [mount({ containerDir: '/.rivera/init' })], 'is in the way of /.rivera'],
    [
      'twice',
      [mount(), mount({ containerDir: '/data/' })],
      'volume_mounts[1].container_dir: is that of volume_mounts[0]',
    ],
    ['somehow', [mount({ mode: 'x' })], 'volume_mounts[0].mode: \'x\' is neither "r" nor "rw"'],
    ['nothing', [mount({ device: undefined })], 'volume_mounts[0].device: is required'],
    ['without end', Array.from({ length: 65 }, () => mount()), 'volume_mounts: 65 are more than 64'],
  ])('can not mount %s', (_what, mounts, message) => {
    expect(() => volumesOf(mounts)).toThrow(message);
  });
});
