import { createHash } from 'node:crypto';
import type { Action } from '@rivera/gen/rivera/recipe/v1/action';
import { DownloadAction, UploadAction } from '@rivera/gen/rivera/recipe/v1/action';
import { CachedDependency, ContainerSpec } from '@rivera/gen/rivera/recipe/v1/container';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { tarOf, tgzOf } from '../downloads/archives-for-tests.js';
import { TestServer } from '../downloads/server-for-tests.js';
import { act, run, runRequest, serial, TestCell } from '../testing.js';

let cell: TestCell;
let server: TestServer;
beforeEach(async () => {
  server = await TestServer.open();
  cell = await TestCell.open();
});
afterEach(async () => {
  await cell.close();
  await server.close();
});

const download = (changes: Partial<DownloadAction> = {}): Action =>
  act(
    'downloadAction',
    DownloadAction.fromPartial({
      artifact: 'app bits',
      from: `${server.url}/app?sig=secret`,
      to: '/home/vcap',
      user: 'vcap',
      ...changes,
    }),
  );
const upload = (changes: Partial<UploadAction> = {}): Action =>
  act(
    'uploadAction',
    UploadAction.fromPartial({
      artifact: 'droplet',
      from: '/tmp/droplet',
      to: `${server.url}/droplets?sig=secret`,
      user: 'vcap',
      ...changes,
    }),
  );
const appLines = async (): Promise<string[]> => (await cell.lines()).filter((line) => line.startsWith('APP'));

it('a download lands in the container', async () => {
  const body = await tgzOf({ name: 'bin/app', content: 'hello' });
  server.serve(() => ({ body, etag: '"1"' }));
  await cell.run('c', { setup: download({ cacheKey: 'k' }), action: run('/sim/exit') });
  expect(await cell.ends('c')).toBe('succeeded: ');
  expect(await cell.executor.readFile('c', '/home/vcap/bin/app', 100)).toBe('hello');
  expect(await appLines()).toEqual([
    'APP out Downloading app bits...',
    `APP out Downloaded app bits (${body.length}B)`,
    'APP out Exit status 0',
  ]);
  await cell.run('d', { setup: download({ cacheKey: 'k' }), action: run('/sim/exit') });
  await cell.ends('d');
  expect(await appLines()).toContain('APP out Downloaded app bits');
});

it('a download that fails says so, and keeps its URL to itself', async () => {
  await cell.run('c', { action: download() });
  expect(await cell.ends('c')).toBe('failed: Downloading app bits failed');
  expect(await appLines()).toEqual(['APP out Downloading app bits...', 'APP err Download failed: Status code 404']);
  const body = await tarOf({ name: '../evil', content: 'x' });
  server.serve(() => ({ body }));
  await cell.run('d', { action: download({ artifact: '' }) });
  expect(await cell.ends('d')).toMatch(/^failed: Copying into the container failed: .*leaves the archive/);
});

it('a download is not repeated after a restart', async () => {
  const body = await tarOf({ name: 'a', content: 'hello' });
  server.serve(() => ({ body }));
  await cell.run('c', { action: serial(download(), run('/sim/exit', 0, 1000)) });
  await cell.reaches('c', 'running');
  await cell.restart();
  await cell.clock.advance(1000);
  expect(await cell.ends('c')).toBe('succeeded: ');
  expect(server.seen).toHaveLength(1);
});

it('a download that was under way is made again after a restart', async () => {
  const body = await tarOf({ name: 'a', content: 'hello' });
  const asked = new Promise<void>((resolve) => {
    server.answer = () => resolve();
  });
  await cell.run('c', { action: serial(download(), run('/sim/exit', 0)) });
  await asked;
  server.serve(() => ({ body }));
  await cell.restart();
  expect(await cell.ends('c')).toBe('succeeded: ');
  expect(await cell.executor.readFile('c', '/home/vcap/a', 10)).toBe('hello');
});

it('a download ends when the container is told to stop', async () => {
  const asked = new Promise<void>((resolve) => {
    server.answer = () => resolve();
  });
  await cell.run('c', { action: download() });
  await asked;
  await cell.executor.stop('c');
  expect(await cell.ends('c')).toBe('failed, stopped: cancelled');
});

it('an upload sends the file with its digests', async () => {
  server.answer = (_request, response) => response.writeHead(201).end('thanks');
  await cell.run('c', { action: serial(run('/sim/write', '/tmp/droplet', 'bits'), upload()) });
  expect(await cell.ends('c')).toBe('succeeded: ');
  const digest = (name: string): string => createHash(name).update('bits').digest('base64');
  expect(server.seen).toMatchObject([
    {
      method: 'POST',
      url: '/droplets?sig=secret',
      body: Buffer.from('bits'),
      headers: {
        'content-type': 'application/octet-stream',
        'content-length': '4',
        'content-md5': digest('md5'),
        'content-digest': `sha-256=:${digest('sha256')}:`,
      },
    },
  ]);
  expect(await appLines()).toContain('APP out Uploaded droplet (4B)');
});

it('an upload is tried three times, and fails with the status alone', async () => {
  server.answer = (_request, response) => response.writeHead(500).end();
  await cell.run('c', { action: serial(run('/sim/write', '/tmp/droplet', 'bits'), upload()) });
  expect(await cell.ends('c')).toBe('failed: Upload failed: Status code 500');
  expect(server.seen).toHaveLength(3);
  expect(await appLines()).toContain('APP err Failed to upload payload');
});

it('an upload of what is not there, or to nowhere', async () => {
  await cell.run('c', { action: upload({ from: '/tmp/none' }) });
  expect(await cell.ends('c')).toBe('failed: Failed to establish stream from container for droplet');
  await cell.run('d', { action: upload({ to: 'nowhere' }) });
  expect(await cell.ends('d')).toBe('failed: Failed to parse URL');
});

it('dependencies are mounted, and survive a restart', async () => {
  const body = await tgzOf({ name: 'bin/tool', content: 'x' });
  server.serve(() => ({ body, etag: '"1"' }));
  const dependency = CachedDependency.fromPartial({
    name: 'tools',
    from: `${server.url}/tools`,
    to: '/opt/tools',
    cacheKey: 'tools',
  });
  const container = ContainerSpec.fromPartial({ rootFs: 'preloaded:busybox', cachedDependencies: [dependency] });
  await cell.run('c', { action: run('/sim/run'), container });
  await cell.reaches('c', 'running');
  const [mount] = cell.garden.lookup('c')?.spec.mounts ?? [];
  expect(mount).toMatchObject({ destination: '/opt/tools', readOnly: true });
  await cell.restart();
  const again = await cell.executor.exec('c', { path: '/sim/exit', args: [], env: {}, dir: '', user: 'root' });
  expect(await again.wait()).toEqual({ code: 0 });
  expect(await cell.lines({ source: 'LOG' })).toContain(`LOG out Downloaded tools (${body.length}B)`);
});

it('a dependency that cannot be had keeps the container from being made', async () => {
  const dependency = CachedDependency.fromPartial({
    name: 'tools',
    from: `${server.url}/tools`,
    to: '/opt/tools',
    cacheKey: 'tools',
  });
  const { container } = runRequest({ action: run('/sim/run') });
  await cell.run('c', { action: run('/sim/run'), container: { ...container, cachedDependencies: [dependency] } });
  expect(await cell.ends('c')).toBe('failed, retryable: failed to download cached artifacts');
  expect(await cell.lines()).toEqual([
    'CELL out Cell cell-1 creating container for instance c',
    'APP out Downloading tools...',
    'APP err Downloading tools failed',
    'CELL err Download failed: Status code 404',
    'CELL err Cell cell-1 failed to create container for instance c: failed to download cached artifacts',
  ]);
});
