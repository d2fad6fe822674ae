import { spawn } from 'node:child_process';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Database } from './pool.js';
import { MariaDbStartError, PrivateMariaDb } from './private-mariadb.js';
import { processIdentity } from './process-identity.js';
import { makeServerFolder } from './testing.js';

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function folder(): Promise<string> {
  const path = await makeServerFolder();
  cleanups.push(() => rm(path, { recursive: true, force: true }));
  return path;
}

async function start(path: string): Promise<PrivateMariaDb> {
  const server = await PrivateMariaDb.start({ folder: path, durable: false, bufferPoolMb: 32 });
  cleanups.push(() => server.stop());
  return server;
}

async function query<T>(server: PrivateMariaDb, sql: string): Promise<T> {
  const database = new Database({ url: server.url, connections: 1 });
  try {
    return await database.query<T>(sql);
  } finally {
    await database.close();
  }
}

describe('a private MariaDB', () => {
  it('keeps its content from one start to the next, and listens on a unix socket alone', async () => {
    const path = await folder();
    const first = await start(path);
    await query(first, 'CREATE TABLE kept (id INT PRIMARY KEY)');
    await query(first, 'INSERT INTO kept VALUES (7)');
    expect(await query(first, "SHOW VARIABLES LIKE 'skip_networking'")).toEqual([
      { Variable_name: 'skip_networking', Value: 'ON' },
    ]);
    await first.stop();
    expect(first.isRunning()).toBe(false);

    const second = await start(path);
    expect(second.adopted).toBe(false);
    expect(await query(second, 'SELECT id FROM kept')).toEqual([{ id: 7 }]);
  });

  it('is durable unless told otherwise', async () => {
    const path = await folder();
    const server = await PrivateMariaDb.start({ folder: path, bufferPoolMb: 32 });
    cleanups.push(() => server.stop());
    expect(
      await query(
        server,
        'SELECT @@innodb_flush_log_at_trx_commit AS flush, @@innodb_doublewrite AS twice, @@log_bin AS log',
      ),
    ).toEqual([{ flush: 1, twice: 1, log: 0 }]);
  });

  it('is refused to a second program while the first lives', async () => {
    const path = await folder();
    await start(path);
    await expect(PrivateMariaDb.start({ folder: path })).rejects.toThrow(`in use by process ${process.pid}`);
  });

  it('is adopted when its parent was killed', async () => {
    const path = await folder();
    const first = await start(path);
    // The parent's death leaves its mark behind, naming a process that is no more.
    const mark = JSON.parse(await readFile(join(path, 'owner.json'), 'utf8'));
    await writeFile(join(path, 'owner.json'), JSON.stringify({ ...mark, startedAt: '1' }));

    const second = await start(path);
    expect(second.adopted).toBe(true);
    expect(second.pid).toBe(first.pid);
    expect(await query(second, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    await second.stop();
    expect(processIdentity(first.pid)).toBeUndefined();
  });

  it('comes back after it was killed', async () => {
    const path = await folder();
    const first = await start(path);
    expect(await first.ensureRunning()).toBe(false);
    process.kill(first.pid, 'SIGKILL');
    await vi.waitUntil(() => !first.isRunning(), { timeout: 20_000 });
    expect(await first.ensureRunning()).toBe(true);
    expect(await query(first, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);

    process.kill(first.pid, 'SIGKILL');
    await first.stop();
    expect(await first.ensureRunning()).toBe(false);
    const second = await start(path);
    expect(second.adopted).toBe(false);
    expect(await query(second, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });

  it('does not take a foreign process for its server because the process id came round again', async () => {
    const path = await folder();
    const foreign = spawn('sleep', ['60']);
    cleanups.push(async () => foreign.kill('SIGKILL'));
    await writeFile(join(path, 'mariadb.pid'), `${foreign.pid}\n`);
    const server = await start(path);
    expect(server.adopted).toBe(false);
    expect(server.pid).not.toBe(foreign.pid);
  });

  it('says why it could not start, with the end of its log', async () => {
    const path = await folder();
    await (await start(path)).stop();
    await writeFile(join(path, 'data', 'ibdata1'), 'not a table space');
    const failure = PrivateMariaDb.start({ folder: path });
    await expect(failure).rejects.toThrow(MariaDbStartError);
    await expect(failure).rejects.toThrow(/ended while it started[\s\S]*ibdata1/);
  });

  it('refuses a folder whose socket would have too long a path', async () => {
    await expect(PrivateMariaDb.start({ folder: `/tmp/${'x'.repeat(120)}` })).rejects.toThrow(
      'choose a shorter data folder',
    );
  });
});
