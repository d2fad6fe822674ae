import { mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '@rivera/kit/log';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { run } from '../../kernel/command.js';
import { prepareSshTools } from './ssh-tools.js';

let below: string;

beforeEach(async () => {
  below = await mkdtemp(join(tmpdir(), 'rivera-ssh-tools-'));
});
afterEach(() => rm(below, { recursive: true, force: true }));

async function prepared(): Promise<string> {
  const folder = await prepareSshTools(below, silentLogger);
  if (!folder) throw new Error('this machine has not got the programs');
  return folder;
}

const runs = async (folder: string) =>
  (
    await run(join(folder, 'ld.so'), [
      '--library-path',
      join(folder, 'lib'),
      join(folder, 'libexec/sftp-server'),
      '-Q',
      'requests',
    ])
  ).includes('posix-rename');

it('are laid out once, and are as they were for every later start', async () => {
  const folder = await prepared();
  expect(await runs(folder)).toBe(true);
  const { ino, mtimeMs } = await stat(folder);
  const changed = (await stat(below)).mtimeMs;
  expect(await prepared()).toBe(folder);
  expect(await stat(folder)).toMatchObject({ ino, mtimeMs });
  expect((await stat(below)).mtimeMs).toBe(changed);
});

it.each(['lib/libc.so.6', 'libexec/scp', 'bin/scp', 'ld.so'])(
  'are laid out anew where %s has lost its content, and what an agent left unfinished goes',
  async (file) => {
    const folder = await prepared();
    const content = await readFile(join(folder, file));
    await truncate(join(folder, file), 0);
    await writeFile(join(below, '.ssh-unfinished'), '');
    expect(await prepared()).toBe(folder);
    expect((await readFile(join(folder, file))).equals(content)).toBe(true);
    expect(await readdir(below)).toHaveLength(1);
  },
);
