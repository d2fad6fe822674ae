/** For tests alone: a database of one's own on a private server that the files of one test process share. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PoolConnection } from 'mysql2/promise';
import { afterAll, beforeAll } from 'vitest';
import { migrate } from './migrations.js';
import { Database, type DatabaseOptions } from './pool.js';
import { PrivateMariaDb } from './private-mariadb.js';
import { isRunning, processIdentity } from './process-identity.js';

const FOLDER_PREFIX = 'rivera-test-mariadb-';

export interface TestDatabase {
  readonly url: string;
  readonly database: Database;
  /** Another set of connections to the same database; closed with it. */
  connect(options?: Omit<DatabaseOptions, 'url'>): Database;
}

let shared: { users: number; folder: Promise<string>; server: Promise<PrivateMariaDb> } | undefined;
let created = 0;

/**
 * Gives the tests of a file (or of a `describe`) a fresh, migrated database, which goes after the last of them. Call it at the top;
 * the answer's members can be used inside tests and hooks.
 */
export function useTestDatabase(options: { migrated?: boolean } = {}): TestDatabase {
  let url: string | undefined;
  let database: Database | undefined;
  const further: Database[] = [];
  const started = <T>(value: T | undefined): T => {
    if (value === undefined) throw new Error('the test database exists only inside tests and hooks');
    return value;
  };

  beforeAll(async () => {
    const server = await acquireServer();
    created += 1;
    const name = `test_${process.pid}_${created}`;
    const parsed = new URL(server.url);
    parsed.pathname = '/mysql';
    const admin = new Database({ url: parsed.href, connections: 1 });
    await admin
      .query('CREATE DATABASE ?? CHARACTER SET utf8mb4 COLLATE utf8mb4_bin', [name])
      .finally(() => admin.close());
    parsed.pathname = `/${name}`;
    url = parsed.href;
    database = new Database({ url });
    if (options.migrated ?? true) await migrate(database);
  });

  afterAll(async () => {
    if (database !== undefined) {
      await database.query('DROP DATABASE ??', [database.name]);
      await Promise.all([database, ...further].map((each) => each.close()));
    }
    await releaseServer();
  });

  return {
    get url() {
      return started(url);
    },
    get database() {
      return started(database);
    },
    connect(connectOptions = {}) {
      const connected = new Database({ ...connectOptions, url: started(url) });
      further.push(connected);
      return connected;
    },
  };
}

/** A folder for a test's server; `removeStaleServers` of a later run removes it when this process dies without doing so. */
export async function makeServerFolder(): Promise<string> {
  await removeStaleServers();
  return mkdtemp(join(tmpdir(), `${FOLDER_PREFIX}${process.pid}-`));
}

async function acquireServer(): Promise<PrivateMariaDb> {
  if (shared === undefined) {
    const folder = makeServerFolder();
    const server = folder.then((path) => PrivateMariaDb.start({ folder: path, durable: false, bufferPoolMb: 64 }));
    shared = { users: 0, folder, server };
  }
  shared.users += 1;
  return shared.server;
}

async function releaseServer(): Promise<void> {
  if (shared === undefined) return;
  shared.users -= 1;
  if (shared.users > 0) return;
  const { folder, server } = shared;
  shared = undefined;
  try {
    await (await server).stop();
  } finally {
    await rm(await folder, { recursive: true, force: true });
  }
}

/** Ends the servers, and removes the folders, of test processes that were killed. */
export async function removeStaleServers(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    if (!name.startsWith(FOLDER_PREFIX)) continue;
    const maker = Number.parseInt(name.slice(FOLDER_PREFIX.length), 10);
    if (processIdentity(maker) !== undefined) continue;
    const folder = join(tmpdir(), name);
    const pid = Number.parseInt(await readFile(join(folder, 'mariadb.pid'), 'utf8').catch(() => ''), 10);
    const server = Number.isInteger(pid) ? processIdentity(pid) : undefined;
    if (server?.commandLine.includes(`--datadir=${folder}`) === true) {
      process.kill(pid, 'SIGKILL');
      // It has much memory to give back, and may write until it is gone.
      while (isRunning(server)) await sleep(5);
    }
    await rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  }
}

/** A database that undoes each statement once before it carries it out, as if somebody else's had been in the way. */
export class ContendedDatabase extends Database {
  private readonly undone = new Set<string>();

  /** How many statements it has undone. */
  get conflicts(): number {
    return this.undone.size;
  }

  override async run<T>(connection: PoolConnection, sql: string, values?: unknown[]): Promise<T> {
    this.undoOnce(sql);
    return super.run(connection, sql, values);
  }

  override async rows(connection: PoolConnection, sql: string, values?: unknown[]): Promise<unknown[][]> {
    this.undoOnce(sql);
    return super.rows(connection, sql, values);
  }

  private undoOnce(sql: string): void {
    if (this.undone.has(sql)) return;
    this.undone.add(sql);
    throw Object.assign(new Error('Deadlock found'), { code: 'ER_LOCK_DEADLOCK', errno: 1213 });
  }
}
