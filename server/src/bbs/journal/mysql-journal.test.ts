import { afterAll, describe, expect, it } from 'vitest';
import { Database } from '../../database/pool.js';
import { useTestDatabase } from '../../database/testing.js';
import { actualLrpRows } from './actual-lrp-rows.js';
import { deleteStatements } from './bulk-statements.js';
import { journalContract } from './contract.js';
import { MysqlJournal } from './mysql-journal.js';
import { emptyActualLrp, emptyTask, sampleActualLrp, sampleBatch, sampleTask } from './sample-rows.js';
import { behind } from './snapshot.js';
import { taskRows } from './task-rows.js';

const test = useTestDatabase();

let plain: Database | undefined;
afterAll(() => plain?.close());

async function empty(): Promise<void> {
  const names = ['tasks', 'task_definitions', 'desired_lrps', 'lrp_run_infos', 'actual_lrps', 'domains', 'cells'];
  for (const name of [...names, 'bbs_handover']) await test.database.query('DELETE FROM ??', [name]);
  await test.database.query('UPDATE bbs_term SET epoch = 0, opening = 0, revision = 0');
}

journalContract('MySQL journal', async () => {
  await empty();
  return { journal: () => new MysqlJournal(test.database) };
});

journalContract('MySQL journal that sends one statement at a time', async () => {
  await empty();
  plain ??= new Database({ url: `${test.url}&multipleStatements=off` });
  const database = plain;
  return { journal: () => new MysqlJournal(database) };
});

async function planOf(sql: string): Promise<string> {
  const rows = await test.database.query<{ type: string }[]>(`EXPLAIN ${sql}`);
  return rows.map((row) => row.type).join(',');
}

describe('the MySQL journal', () => {
  it('passes over a writer that froze in the middle of its transaction, and holds it off when it wakes', async () => {
    await empty();
    const slow = test.connect({ connections: 2, idleTransactionMs: 1000 });
    const old = new MysqlJournal(slow);
    await old.open(1);
    // The frozen writer: it has the lock of `bbs_term` and has written a row, and its COMMIT is still to come.
    const frozen = await slow.connection();
    await slow.run(frozen, 'START TRANSACTION');
    await slow.run(frozen, 'UPDATE bbs_term SET revision = 1 WHERE id = 1 AND epoch = 1 AND revision = 0');
    await slow.run(frozen, "INSERT INTO domains VALUES ('late', 0)");
    frozen.on('error', () => undefined);

    const young = new MysqlJournal(test.database);
    expect(await young.open(2)).toEqual({ revision: 0 });
    await young.commit(sampleBatch(2, 0, { domains: [{ domain: 'new', expiresAtMs: 0 }] }));

    await expect(slow.run(frozen, 'COMMIT')).rejects.toThrow();
    frozen.destroy();
    await expect(old.commit(sampleBatch(1, 0, { tasks: [sampleTask()] }))).rejects.toMatchObject({ kind: 'fenced' });
    expect(await test.database.query('SELECT CONVERT(domain USING utf8mb4) AS d FROM domains')).toEqual([{ d: 'new' }]);
  });

  it('says unavailable, not lost, while the database is away, and goes on when it is back', async () => {
    await empty();
    const database = test.connect({ connections: 1 });
    const journal = new MysqlJournal(database);
    await journal.open(1);
    await journal.commit(sampleBatch(1, 0, {}));
    const rows = await database.query<{ id: number }[]>('SELECT CONNECTION_ID() AS id');
    await test.database.query('RENAME TABLE domains TO domains_away');
    const batch = sampleBatch(1, 1, { tasks: [sampleTask()], domains: [{ domain: 'd', expiresAtMs: 0 }] });
    await expect(journal.commit(batch)).rejects.toMatchObject({ kind: 'unavailable' });
    await test.database.query('RENAME TABLE domains_away TO domains');
    await test.database.query(`KILL ${rows[0]?.id}`).catch(() => undefined);
    await journal.commit(batch);
    expect(await test.database.query('SELECT COUNT(*) AS n FROM tasks')).toEqual([{ n: 1 }]);
  });

  it('refuses a payload that the server would not take, before it sends it', async () => {
    await empty();
    const journal = new MysqlJournal(test.database);
    await journal.open(1);
    const batch = sampleBatch(1, 0, { runInfos: { huge: new Uint8Array(40 * 1024 * 1024) } });
    await expect(journal.commit(batch)).rejects.toMatchObject({
      kind: 'rejected',
      message: expect.stringContaining('max_allowed_packet'),
    });
    await journal.commit(sampleBatch(1, 0, {}));
  });

  it('writes rows of any size in statements of bounded size', async () => {
    await empty();
    const journal = new MysqlJournal(test.database, { targetStatementChars: 2_000 });
    await journal.open(1);
    const rows = Array.from({ length: 300 }, (_, index) =>
      sampleActualLrp({ index, crashReason: index % 50 === 0 ? '漢'.repeat(5_000) : '' }),
    );
    await journal.commit(sampleBatch(1, 0, { actualLrps: rows }));
    await journal.open(2);
    const loaded = [];
    for await (const part of journal.load()) loaded.push(...(part.actualLrps ?? []));
    expect(loaded).toEqual(rows);
  });

  it('deletes and pages by the key, never by a scan', async () => {
    await empty();
    const journal = new MysqlJournal(test.database);
    await journal.open(1);
    const rows = Array.from({ length: 5_000 }, (_, position) =>
      emptyActualLrp(`p-${position % 1000}`, Math.floor(position / 1000)),
    );
    await journal.commit(sampleBatch(1, 0, { actualLrps: rows }));
    await test.database.query('ANALYZE TABLE actual_lrps');
    const [deletion = ''] = deleteStatements(
      actualLrpRows,
      rows.slice(0, 500).map((row) => actualLrpRows.key(row)),
    );
    expect(await planOf(deletion)).toBe('range');
    const tasks = Array.from({ length: 5_000 }, (_, position) => emptyTask(`t-${position}`));
    await journal.commit(sampleBatch(1, 1, { tasks }));
    await test.database.query('ANALYZE TABLE tasks');
    const [taskDeletion = ''] = deleteStatements(
      taskRows,
      // Of a small table the server would rather read all.
      tasks.slice(0, 100).map((row) => taskRows.key(row)),
    );
    expect(await planOf(taskDeletion)).toBe('range');
    const [last] = rows.slice(-1);
    if (last === undefined) throw new Error('there are rows');
    const condition = behind(actualLrpRows.keyColumns, actualLrpRows.key({ ...last, processGuid: 'p-900' }));
    expect(
      await planOf(
        `SELECT * FROM actual_lrps WHERE ${condition} ORDER BY process_guid, instance_index, generation LIMIT 100`,
      ),
    ).toBe('range');
  });
});
