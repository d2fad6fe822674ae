import { journalContract } from '@rivera/server/bbs/journal/contract';
import { MysqlJournal } from '@rivera/server/bbs/journal/mysql-journal';
import { sampleBatch, sampleDesiredLrp, sampleTask } from '@rivera/server/bbs/journal/sample-rows';
import { classifyDatabaseError } from '@rivera/server/database/errors';
import type { GaleraNode } from '@rivera/server/database/galera-node';
import { GaleraCluster } from '@rivera/server/database/galera-testing';
import { MIGRATIONS } from '@rivera/server/database/migration-list';
import { migrate } from '@rivera/server/database/migrations';
import { Database, type DatabaseOptions } from '@rivera/server/database/pool';
import { leaseStoreContract } from '@rivera/server/locket/contract';
import { MysqlLeaseStore } from '@rivera/server/locket/mysql-lease-store';
import type { PoolConnection } from 'mysql2/promise';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

let cluster: GaleraCluster;
/** One for each node, which stays with it. */
let databases: Database[] = [];

beforeAll(async () => {
  cluster = await GaleraCluster.start();
  databases = cluster.nodes.map((node) => new Database({ url: cluster.urlOf(node) }));
}, 120_000);
afterAll(async () => {
  await Promise.all(databases.map((each) => each.close()));
  await cluster?.close();
}, 60_000);

let turn = 0;

/** Each time on the next node: what one has done, another one must know at once. */
function anyNode(): Database {
  turn += 1;
  return databases[turn % databases.length] as Database;
}

async function empty(...except: string[]): Promise<void> {
  const tables = await anyNode().query<{ name: string }[]>(
    'SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE()',
  );
  const kept = new Set(['bbs_term', 'schema_version', 'schema_guard', ...except]);
  for (const { name } of tables) if (!kept.has(name)) await anyNode().query('DELETE FROM ??', [name]);
}

describe('starters on all nodes at once', () => {
  it('migrate the database once', async () => {
    const steps: number[] = [];
    const starters = [...databases, ...databases];
    const results = await Promise.all(
      starters.map((database) => migrate(database, { onStep: (step) => steps.push(step.version) })),
    );
    expect(steps).toEqual(MIGRATIONS.map((migration) => migration.version));
    expect(results.filter((result) => result.from === 0)).toHaveLength(1);
  });
});

journalContract('journal on changing nodes', async () => {
  await empty('leases');
  await anyNode().query('UPDATE bbs_term SET epoch = 0, opening = 0, revision = 0');
  return { journal: () => new MysqlJournal(anyNode()) };
});

leaseStoreContract('lease store on changing nodes', async () => {
  await anyNode().query('DELETE FROM leases');
  return {
    client: () => new MysqlLeaseStore(anyNode()),
    elapse: async (ms) => {
      await anyNode().query('UPDATE leases SET expires_at_ms = expires_at_ms - ?', [ms]);
    },
  };
});

describe('writers on different nodes', () => {
  it('see at once what was committed on another one', async () => {
    await empty('leases');
    const [here, there] = databases as [Database, Database];
    const rows = 1_000;
    for (let round = 1; round <= 20; round += 1) {
      // Committed here in one go, and applied there row by row: who does not wait sees too little.
      await here.query(`INSERT INTO domains SELECT CONCAT(?, seq), 0 FROM seq_1_to_${rows}`, [`d-${round}-`]);
      expect(await there.query('SELECT COUNT(*) AS n FROM domains')).toEqual([{ n: round * rows }]);
    }
  });

  it('are held apart by the fence when both believe to lead', async () => {
    await empty('leases');
    await anyNode().query('UPDATE bbs_term SET epoch = 0, opening = 0, revision = 0');
    const [here, there] = databases as [Database, Database];
    const old = new MysqlJournal(here);
    const young = new MysqlJournal(there);
    await old.open(1);
    let acknowledged = 0;
    const writing = (async () => {
      for (;;) {
        const tasks = [sampleTask({ guid: `old-${String(acknowledged).padStart(4, '0')}` })];
        await old.commit(sampleBatch(1, acknowledged, { tasks }));
        acknowledged += 1;
      }
    })().catch((error: unknown) => error);
    while (acknowledged < 20) await new Promise(setImmediate);
    // A busy predecessor may win some rounds; the engine asks again as well.
    const opened = await persistently(() => young.open(2));
    expect(await writing).toMatchObject({ kind: 'fenced' });
    expect(opened.revision).toBe(acknowledged);
    const guids: string[] = [];
    for await (const part of young.load()) guids.push(...(part.tasks ?? []).map((row) => row.guid));
    expect(guids).toHaveLength(acknowledged);
    await young.commit(sampleBatch(2, acknowledged, { tasks: [sampleTask({ guid: 'young' })] }));
  });

  it('leave nothing of a batch whose transaction was thrown away before its end, and do not take it for committed', async () => {
    await empty('leases');
    await anyNode().query('UPDATE bbs_term SET epoch = 0, opening = 0, revision = 0');
    const here = new SlowToCommit({ url: cluster.urlOf(cluster.nodes[0] as GaleraNode) });
    try {
      const old = new MysqlJournal(here);
      await old.open(1);
      const writing = old
        .commit(sampleBatch(1, 0, { tasks: [sampleTask()], desiredLrps: [sampleDesiredLrp()] }))
        .catch((error: unknown) => error);
      await here.committing;
      const young = new MysqlJournal(databases[1] as Database);
      expect(await persistently(() => young.open(2))).toEqual({ revision: 0 });
      expect(await writing).toMatchObject({ kind: 'fenced' });
      for (const table of ['tasks', 'desired_lrps'])
        expect(await anyNode().query('SELECT COUNT(*) AS n FROM ??', [table])).toEqual([{ n: 0 }]);
    } finally {
      await here.close();
    }
  });

  it('repeat a batch on another node than the one whose answer was lost', async () => {
    await empty('leases');
    await anyNode().query('UPDATE bbs_term SET epoch = 0, opening = 0, revision = 0');
    const wandering = new Database({ url: cluster.url() });
    try {
      const journal = new MysqlJournal(wandering);
      await journal.open(1);
      const batch = sampleBatch(1, 0, { tasks: [sampleTask()] });
      await journal.commit(batch);
      cluster.nodes[0]?.pause();
      // The node in use falls silent: the pool moves on, and the batch is found to be there.
      await journal.commit(batch).catch(() => undefined);
      await persistently(() => journal.commit(batch));
      await persistently(() => journal.commit(sampleBatch(1, 1, { tasks: [sampleTask({ guid: 'second' })] })));
    } finally {
      cluster.nodes[0]?.resume();
      await wandering.close();
    }
    await cluster.untilWhole();
    for (const database of databases) {
      expect(await database.query('SELECT COUNT(*) AS n FROM tasks')).toEqual([{ n: 2 }]);
    }
  });
});

describe('a node that has lost the majority', () => {
  it('is not asked any more, refuses as unavailable where it is the only one, and goes on when the others are back', async () => {
    await empty('leases');
    await anyNode().query('UPDATE bbs_term SET epoch = 0, opening = 0, revision = 0');
    const [alone, ...others] = cluster.nodes as [GaleraNode, GaleraNode, GaleraNode];
    const [here] = databases as [Database];
    const journal = new MysqlJournal(here);
    const leases = new MysqlLeaseStore(here);
    await journal.open(1);
    await journal.commit(sampleBatch(1, 0, { tasks: [sampleTask()] }));
    await Promise.all(others.map((node) => node.kill()));
    await persistently(async () => {
      const { wsrep_ready } = await alone.status();
      if (wsrep_ready !== 'OFF') throw unavailable('it still believes to have the majority');
    });
    const batch = sampleBatch(1, 1, { tasks: [sampleTask({ guid: 'second' })] });
    await expect(journal.commit(batch)).rejects.toMatchObject({ kind: 'unavailable' });
    await expect(new MysqlJournal(here).open(2)).rejects.toMatchObject({ kind: 'unavailable' });
    const refusal = leases
      .acquire({ key: 'k', owner: 'o', type: 'lock', value: '', ttlMs: 1_000 })
      .catch((error: unknown) => classifyDatabaseError(error));
    expect(await refusal).toBe('transient');
    const everywhere = new Database({ url: cluster.url() });
    const failure = await everywhere.query('SELECT 1').catch((error: unknown) => error);
    await everywhere.close();
    expect(failure).toMatchObject({ code: expect.stringMatching(/^(HOST_FAILED|ECONNREFUSED)$/) });

    await Promise.all(others.map((node) => node.start()));
    await cluster.untilWhole();
    await persistently(() => journal.commit(batch));
    for (const database of databases) {
      const rows = await persistently(() => database.query('SELECT COUNT(*) AS n FROM tasks'));
      expect(rows).toEqual([{ n: 2 }]);
    }
  });
});

/** Works for a second before each COMMIT, on something that no lock is needed for. */
class SlowToCommit extends Database {
  readonly committing: Promise<void>;
  private begun: () => void = () => undefined;

  constructor(options: DatabaseOptions) {
    super(options);
    this.committing = new Promise((resolve) => {
      this.begun = resolve;
    });
  }

  override async run<T>(connection: PoolConnection, sql: string, values?: unknown[]): Promise<T> {
    const work = 'DO BENCHMARK(5000000, MD5(1))';
    if (!sql.endsWith('COMMIT')) return super.run(connection, sql, values);
    this.begun();
    if (sql === 'COMMIT') await super.run(connection, work);
    return super.run(connection, sql.replace(/;COMMIT$/, `;${work};COMMIT`), values);
  }
}

function unavailable(message: string): Error {
  return Object.assign(new Error(message), { kind: 'unavailable' });
}

/** Again while the database is unavailable, as the engine does; bounded by the test's time. */
async function persistently<T>(work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if ((error as { kind?: string }).kind !== 'unavailable') throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
