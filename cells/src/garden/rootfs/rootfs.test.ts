import { execFileSync } from 'node:child_process';
import { lstat, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { buildBusyboxRootFs } from './busybox.js';
import { mirrorIn } from './debian.js';
import { publish } from './publish.js';

let base: string;
beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'rivera-rootfs-'));
});
afterEach(() => rm(base, { recursive: true, force: true }));

it('makes a tree of busybox in which programs run', async () => {
  const dir = join(base, 'busybox');
  expect(await buildBusyboxRootFs(dir)).toEqual({ built: true });
  expect(execFileSync('chroot', [dir, '/bin/sh', '-c', 'echo $(id -u vcap) $(ls /home); env true']).toString()).toBe(
    '1000 vcap\n',
  );
  expect((await stat(join(dir, 'tmp'))).mode & 0o7777).toBe(0o1777);
  expect(await stat(join(dir, 'home/vcap'))).toMatchObject({ uid: 1000, gid: 1000 });
  expect(await readFile(join(dir, 'etc/passwd'), 'utf8')).toContain('vcap:x:1000:1000');
  expect((await lstat(join(dir, 'bin/sh'))).isSymbolicLink()).toBe(true);
});

it('does nothing the second time, and leaves nothing beside the tree', async () => {
  const dir = join(base, 'busybox');
  await buildBusyboxRootFs(dir);
  expect(await buildBusyboxRootFs(dir)).toEqual({ built: false });
  expect((await readdir(base)).sort()).toEqual(['.busybox.version', 'busybox']);
});

it('builds anew for another version, and keeps the old tree when that fails', async () => {
  const dir = join(base, 'tree');
  const build = (content: string) => (into: string) => writeFile(join(into, 'file'), content);
  await publish({ dir, version: '1', build: build('one') });
  const failing = publish({ dir, version: '2', build: () => Promise.reject(new Error('no space')) });
  await expect(failing).rejects.toThrow('no space');
  expect(await readFile(join(dir, 'file'), 'utf8')).toBe('one');
  expect(await publish({ dir, version: '2', build: build('two') })).toEqual({ built: true });
  expect(await readFile(join(dir, 'file'), 'utf8')).toBe('two');
});

it('finds the mirror in both forms of apt’s sources', () => {
  expect(mirrorIn('# comment\ndeb [arch=amd64] http://mirror.example/debian/ bookworm main')).toBe(
    'http://mirror.example/debian',
  );
  expect(
    mirrorIn('Types: deb\nURIs: http://security.example/debian-security\n\nURIs: https://mirror.example/debian\n'),
  ).toBe('https://mirror.example/debian');
  expect(mirrorIn('')).toBeUndefined();
});
