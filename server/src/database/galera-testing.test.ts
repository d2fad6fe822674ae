import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { removeStaleClusters } from './galera-testing.js';

/** Like a node in a folder: a program by the server's name, with a path in the folder among its arguments. */
async function pretendNode(maker: number): Promise<{ folder: string; ended: Promise<unknown>; end(): void }> {
  const folder = join(tmpdir(), `rivera-test-galera-${maker}-${process.pid}`);
  await mkdir(join(folder, 'node-1'), { recursive: true });
  const log = join(folder, 'node-1', 'node.log');
  await writeFile(log, '');
  const node = spawn('tail', ['-f', log], { argv0: 'mariadbd', stdio: 'ignore' });
  await once(node, 'spawn');
  return { folder, ended: once(node, 'exit'), end: () => node.kill('SIGKILL') };
}

it('ends the clusters of test processes that are gone, and only those', async () => {
  const gone = spawn('true');
  await once(gone, 'exit');
  const stale = await pretendNode(gone.pid ?? 0);
  const living = await pretendNode(process.pid);
  try {
    await removeStaleClusters();
    expect(await stale.ended).toEqual([null, 'SIGKILL']);
    expect(existsSync(stale.folder)).toBe(false);
    const ended = await Promise.race([living.ended, new Promise((resolve) => setImmediate(() => resolve('runs')))]);
    expect(ended).toBe('runs');
    expect(existsSync(living.folder)).toBe(true);
  } finally {
    for (const each of [stale, living]) {
      each.end();
      await rm(each.folder, { recursive: true, force: true });
    }
  }
});
