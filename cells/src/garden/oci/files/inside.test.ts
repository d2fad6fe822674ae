import { mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ContainerFiles } from './inside.js';

let base: string;
let root: string;
let files: ContainerFiles;
let alive: boolean;

beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'rivera-inside-'));
  root = join(base, 'root');
  await mkdir(join(root, 'etc'), { recursive: true });
  await writeFile(join(base, 'secret'), 'the host');
  await writeFile(join(root, 'etc/passwd'), 'the container');
  alive = true;
  files = new ContainerFiles(root, {
    firstId: 0,
    isCurrent: () => alive,
    makeInside: () => Promise.reject(new Error('not here')),
  });
});

afterEach(() => rm(base, { recursive: true, force: true }));

it('reads files, and says undefined of what is not there', async () => {
  expect(await files.readText('/etc/passwd', 100)).toBe('the container');
  expect(await files.readText('/etc/passwd', 3)).toBe('the');
  expect(await files.readText('/etc/nothing', 100)).toBeUndefined();
  expect(await files.readText('/etc', 100)).toBeUndefined();
});

it('resolves links against the container, however they try to leave it', async () => {
  await symlink('/etc/passwd', join(root, 'absolute'));
  await symlink('../../../../secret', join(root, 'upwards'));
  await symlink(join(base, 'secret'), join(root, 'outside'));
  await symlink('/', join(root, 'etc/top'));
  await symlink('loop', join(root, 'loop'));
  expect(await files.readText('/absolute', 100)).toBe('the container');
  expect(await files.readText('/upwards', 100)).toBeUndefined();
  expect(await files.readText('/outside', 100)).toBeUndefined();
  expect(await files.readText('/../../secret', 100)).toBeUndefined();
  expect(await files.readText('/etc/top/etc/passwd', 100)).toBe('the container');
  expect(await files.readText('/loop', 100)).toBeUndefined();
});

it('makes directories inside alone, with their owner', async () => {
  await symlink(base, join(root, 'away'));
  await files.ensureDirectory('/home/x/app', { uid: 1000, gid: 1001 });
  expect(await stat(join(root, 'home/x/app'))).toMatchObject({ uid: 1000, gid: 1001 });
  await files.ensureDirectory('/away/made', { uid: 0, gid: 0 });
  await expect(stat(join(base, 'made'))).rejects.toThrow('ENOENT');
  expect(await readFile(join(base, 'secret'), 'utf8')).toBe('the host');
  await expect(files.ensureDirectory('/etc/passwd', { uid: 0, gid: 0 })).rejects.toThrow('not a directory');
});

it('touches nothing once the root may be somebody else’s', async () => {
  alive = false;
  await expect(files.readText('/etc/passwd', 100)).rejects.toThrow('the container has ended');
  await expect(files.kind('/etc')).rejects.toThrow('the container has ended');
  await expect(files.ensureDirectory('/made', { uid: 0, gid: 0 })).rejects.toThrow('the container has ended');
  await expect(stat(join(root, 'made'))).rejects.toThrow('ENOENT');
});
