import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { createConnection, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { migrate } from '../../database/migrations.js';
import { Database } from '../../database/pool.js';
import { PrivateMariaDb } from '../../database/private-mariadb.js';
import { makeServerFolder, useTestDatabase } from '../../database/testing.js';
import { JournalError } from './journal.js';
import { MysqlJournal } from './mysql-journal.js';
import { sampleBatch, sampleTask } from './sample-rows.js';

const test = useTestDatabase();
const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** Between journal and server. When armed, it lets a COMMIT through and cuts the line in place of bringing the answer. */
async function lossyLine(url: string): Promise<{ url: string; arm(): void }> {
  const target = new URL(url);
  const behind = target.searchParams.get('socketPath') ?? '';
  const path = `${behind}.lossy`;
  let armed = false;
  const sockets = new Set<Socket>();
  const proxy = createServer((client) => {
    const server = createConnection(behind);
    let cutAtAnswer = false;
    for (const socket of [client, server]) {
      sockets.add(socket);
      socket.on('error', () => socket.destroy());
    }
    client.on('data', (chunk) => {
      if (armed && chunk.includes('COMMIT')) cutAtAnswer = true;
      server.write(chunk);
    });
    server.on('data', (chunk) => {
      if (!cutAtAnswer) return client.write(chunk);
      armed = false;
      return client.destroy();
    });
    client.on('close', () => server.destroy());
    server.on('close', () => client.destroy());
  });
  proxy.listen(path);
  await once(proxy, 'listening');
  cleanups.push(async () => {
    for (const socket of sockets) socket.destroy();
    proxy.close();
    await once(proxy, 'close');
  });
  target.searchParams.set('socketPath', path);
  return {
    url: target.href,
    arm: () => {
      armed = true;
    },
  };
}

describe('the MySQL journal, cut off', () => {
  it('does not know about a commit whose answer was lost, and finds it done when it asks again', async () => {
    const line = await lossyLine(test.url);
    const database = new Database({ url: line.url });
    cleanups.push(() => database.close());
    const journal = new MysqlJournal(database);
    await journal.open(1);
    const batch = sampleBatch(1, 0, { tasks: [sampleTask()] });
    line.arm();
    await expect(journal.commit(batch)).rejects.toMatchObject({ kind: 'unavailable' });
    expect(await test.database.query('SELECT revision FROM bbs_term')).toEqual([{ revision: 1 }]);
    await journal.commit(batch);
    await journal.commit(sampleBatch(1, 1, { tasks: [sampleTask({ guid: 'task-2' })] }));
    expect(await test.database.query('SELECT COUNT(*) AS n FROM tasks')).toEqual([{ n: 2 }]);
  });

  it('loses nothing that it acknowledged when the server is killed, and works again when it is back', async () => {
    const folder = await makeServerFolder();
    cleanups.push(() => rm(folder, { recursive: true, force: true }));
    const options = { folder: join(folder, 'db'), bufferPoolMb: 32 };
    let server = await PrivateMariaDb.start(options);
    cleanups.push(() => server.stop());
    const database = new Database({ url: server.url });
    cleanups.push(() => database.close());
    await migrate(database);
    const journal = new MysqlJournal(database);
    await journal.open(1);

    const step = (revision: number) =>
      sampleBatch(1, revision, { tasks: [sampleTask({ guid: `task-${String(revision).padStart(5, '0')}` })] });
    let acknowledged = 0;
    let failure: unknown;
    const writing = (async () => {
      for (;;) {
        await journal.commit(step(acknowledged));
        acknowledged += 1;
        if (acknowledged === 50) process.kill(server.pid, 'SIGKILL');
      }
    })().catch((error: unknown) => {
      failure = error;
    });
    await writing;
    expect(failure).toBeInstanceOf(JournalError);
    expect(failure).toMatchObject({ kind: 'unavailable' });
    await server.stop();
    server = await PrivateMariaDb.start(options);

    // The batch of unknown fate is repeated, as the engine does; then the next one follows.
    await journal.commit(step(acknowledged));
    await journal.commit(step(acknowledged + 1));
    const successor = new MysqlJournal(database);
    expect(await successor.open(2)).toEqual({ revision: acknowledged + 2 });
    const guids: string[] = [];
    for await (const part of successor.load()) guids.push(...(part.tasks ?? []).map((row) => row.guid));
    expect(guids).toEqual(
      Array.from({ length: acknowledged + 2 }, (_, revision) => `task-${String(revision).padStart(5, '0')}`),
    );
  });
});
