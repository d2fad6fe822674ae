import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { MAX_LAYERS } from '../../images/registry/manifest.js';
import { type FakeEntry, fakeImage, layerTar } from '../../images/testing/fake-image.js';
import { FakeRegistry } from '../../images/testing/fake-registry.js';
import { collectOutput, plainProcess, plainSpec } from '../contract.js';
import type { GardenContainer, GardenSpec, ImageFetching, ProcessSpec } from '../garden.js';
import type { OciGarden } from './oci-garden.js';
import { type ScratchCell, scratchCell } from './scratch-cell.js';

const MIB = 1024 * 1024;
let cell: ScratchCell;
let garden: OciGarden;
let registry: FakeRegistry;
/** A shell and nothing else: no users, no directories, not even `/etc`. */
let shell: FakeEntry[];
let made = 0;

beforeAll(async () => {
  [cell, registry] = await Promise.all([scratchCell(), FakeRegistry.open()]);
  garden = await cell.open();
  shell = [{ name: 'bin/busybox', mode: 0o755, content: await readFile('/usr/bin/busybox') }];
});
afterEach(async () => {
  registry.intercept = () => false;
  await Promise.all(garden.list().map((container) => garden.destroy(container.handle)));
  expect(await cell.leaks()).toEqual([]);
  expect(await readdir(join(cell.options.dataDir, 'images/tmp'))).toEqual([]);
});
afterAll(async () => {
  await garden?.close();
  await cell?.remove();
  await registry?.close();
});

async function push(name: string, layers: FakeEntry[][], config: object = {}): Promise<string> {
  return registry.push(name, '1', fakeImage(await Promise.all(layers.map(layerTar)), { config }));
}

const create = (rootFs: string, more: Partial<GardenSpec> = {}, fetching?: ImageFetching) =>
  garden.create(plainSpec(`c${++made}`, rootFs, more), fetching);

/** What a script prints. */
async function said(container: GardenContainer, script: string, more: Partial<ProcessSpec> = {}): Promise<string[]> {
  const program = { path: '/bin/busybox', args: ['sh', '-c', script] };
  return collectOutput(await container.run(plainProcess(`p${++made}`, program, { user: '', ...more })));
}

const layers = () => readdir(join(cell.options.dataDir, 'images/layers'));

it('an image with a program and nothing else runs', async () => {
  const container = await create(await push('scratch', [shell]));
  expect(
    await said(container, 'echo $HOME; busybox id -u; echo x > /written; busybox cat /written', {
      env: { PATH: '/bin' },
    }),
  ).toEqual(['stdout: /root', 'stdout: 0', 'stdout: x']);
  await expect(said(container, 'true', { user: 'vcap' })).rejects.toThrow('unable to find user vcap');
  // People get a shell also where an image has none.
  const person = await container.exec({ path: '', args: ['-c', 'echo hi'], env: {}, dir: '', user: '' });
  person.stdout.resume();
  person.stderr.resume();
  expect(await person.wait()).toMatchObject({ code: 0 });
});

it('processes that say nothing get the variables, user and directory of the image', async () => {
  const users: FakeEntry[] = [
    { name: 'etc/passwd', content: 'web:x:1234:1234::/home/web:/bin/false\n' },
    { name: 'etc/group', content: 'web:x:1234:\nlogs:x:77:\n' },
    { name: 'srv', uid: 1234, gid: 1234 },
  ];
  const config = { Env: ['PATH=/bin', 'GREETING=hello', 'COLOUR=red'], User: 'web:logs', WorkingDir: '/srv' };
  const rootFs = await push('defaults', [shell, users], config);
  const container = await create(rootFs, { env: { COLOUR: 'green' } });
  const script = 'echo $GREETING $COLOUR $HOME; busybox id -u; busybox id -g; busybox pwd';
  const expected = ['stdout: hello green /home/web', 'stdout: 1234', 'stdout: 77', 'stdout: /srv'];
  expect(await said(container, script)).toEqual(expected);
  expect(await said(container, script, { user: '5', dir: '/tmp', env: { GREETING: 'bye' } })).toEqual([
    'stdout: bye green /',
    'stdout: 5',
    'stdout: 0',
    'stdout: /tmp',
  ]);
  await garden.close();
  garden = await cell.open();
  expect(await said(garden.lookup(container.handle) as GardenContainer, script)).toEqual(expected);
});

it('what upper layers remove or replace is as the image means it', async () => {
  const lower: FakeEntry[] = [
    { name: 'kept/a', content: 'a' },
    { name: 'kept/b', content: 'b' },
    { name: 'emptied/a', content: 'a' },
    { name: 'gone/a', content: 'a' },
  ];
  const upper: FakeEntry[] = [
    { name: 'kept/.wh.a', content: '' },
    { name: 'kept/c', content: 'c' },
    { name: 'emptied', mode: 0o700 },
    { name: 'emptied/.wh..wh..opq', content: '' },
    { name: 'emptied/b', content: 'b' },
    { name: '.wh.gone', content: '' },
  ];
  const container = await create(await push('removing', [shell, lower, upper]));
  expect(await said(container, 'cd /; echo kept/* emptied/* gone*')).toEqual(['stdout: kept/b kept/c emptied/b gone*']);
});

it('the disk limit is for what the container writes, and layers stay as they were', async () => {
  const big = await push('big', [shell, [{ name: 'big', content: 'x'.repeat(20 * MIB) }]]);
  const limits = { memoryBytes: 0, diskBytes: 8 * MIB, pids: 0, cpuShares: 0 };
  const [one, two] = await Promise.all([create(big, { limits }), create(big, { limits })]);
  const write =
    'busybox dd if=/dev/zero of=/own bs=1M count=6 2>/dev/null; echo $?; echo changed > /bin/new; echo /bin/*';
  expect(await said(one, write)).toEqual(['stdout: 0', 'stdout: /bin/busybox /bin/new']);
  expect(await said(two, 'echo /bin/*')).toEqual(['stdout: /bin/busybox']);
});

it('as many layers as are allowed fit into a mount', async () => {
  const many = Array.from({ length: MAX_LAYERS - 1 }, (_, index) => [{ name: `files/${index}`, content: `${index}` }]);
  const container = await create(await push('many', [shell, ...many]));
  expect(await said(container, 'set -- /files/*; echo $#')).toEqual([`stdout: ${MAX_LAYERS - 1}`]);
}, 60_000);

it('one that can not be had leaves nothing but the reason', async () => {
  const rootFs = await push('known', [shell]);
  await expect(create(rootFs.replace(':1', ':2'))).rejects.toMatchObject({
    kind: 'image-failed',
    final: true,
    message: `image ${registry.host}/known:2: the registry has no such image`,
  });
  await expect(create('docker://nothing')).rejects.toMatchObject({ kind: 'image-failed' });
  const stop = new AbortController();
  registry.intercept = ({ url }) => {
    if (!url?.includes('/blobs/')) return false;
    stop.abort(new Error('stopped'));
    return true;
  };
  await expect(create(rootFs, {}, { signal: stop.signal })).rejects.toThrow('stopped');
  registry.intercept = () => true;
  const waiting = expect(create(rootFs)).rejects.toMatchObject({ kind: 'closed' });
  await garden.close();
  await waiting;
  garden = await cell.open();
});

it('layers without containers leave when there are too many, and never those with one', async () => {
  await garden.close();
  garden = await cell.open({ imageCacheBytes: 1 });
  expect(await layers()).toEqual([]);
  const container = await create(await push('used', [shell, [{ name: 'mine', content: '1\n' }]]));
  expect(await layers()).toHaveLength(2);
  await garden.close();
  garden = await cell.open({ imageCacheBytes: 1 });
  expect(await layers()).toHaveLength(2);
  const same = garden.lookup(container.handle) as GardenContainer;
  expect(await said(same, 'busybox cat /mine', { env: { PATH: '/bin' } })).toEqual(['stdout: 1']);
  await garden.destroy(container.handle);
  await garden.close();
  expect(await layers()).toEqual([]);
  garden = await cell.open();
});
