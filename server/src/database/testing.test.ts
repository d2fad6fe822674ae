import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { PrivateMariaDb } from './private-mariadb.js';
import { removeStaleServers } from './testing.js';

it('what a killed test process leaves behind goes with the next run', async () => {
  // A process stands for the killed test process: folders are named after the id of their maker.
  const maker = spawn('sleep', ['60']);
  const folder = join(tmpdir(), `rivera-test-mariadb-${maker.pid}-left`);
  await mkdir(folder);
  const server = await PrivateMariaDb.start({ folder, durable: false, bufferPoolMb: 32 });
  await removeStaleServers();
  expect(server.isRunning()).toBe(true);

  maker.kill('SIGKILL');
  await once(maker, 'exit');
  await removeStaleServers();
  expect(server.isRunning()).toBe(false);
  await expect(stat(folder)).rejects.toThrow('ENOENT');
});
