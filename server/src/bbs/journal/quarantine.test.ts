import { describe, expect, it } from 'vitest';
import { testCodec } from '../../database/codec-testing.js';
import { plainDetailCodec } from '../../database/detail-codec.js';
import { useTestDatabase } from '../../database/testing.js';
import { MysqlJournal } from './mysql-journal.js';
import { emptyTask, sampleActualLrp, sampleBatch, sampleCell, sampleDesiredLrp, sampleTask } from './sample-rows.js';

const test = useTestDatabase();
const codec = testCodec(['a']);

/** A database with two rows of each kind; the journal has committed them and is closed. */
async function filled(): Promise<void> {
  for (const name of [
    'tasks',
    'task_definitions',
    'desired_lrps',
    'lrp_run_infos',
    'actual_lrps',
    'domains',
    'cells',
    'quarantine',
  ]) {
    await test.database.query('DELETE FROM ??', [name]);
  }
  await test.database.query('UPDATE bbs_term SET epoch = 0, opening = 0, revision = 0');
  const journal = new MysqlJournal(test.database, { codec });
  await journal.open(1);
  await journal.commit(
    sampleBatch(1, 0, {
      tasks: [sampleTask({ guid: 't-1' }), sampleTask({ guid: 't-2' })],
      desiredLrps: [sampleDesiredLrp({ processGuid: 'p-1' }), sampleDesiredLrp({ processGuid: 'p-2' })],
      actualLrps: [
        sampleActualLrp({ processGuid: 'p-1', index: 0 }),
        sampleActualLrp({ processGuid: 'p-2', index: 0 }),
      ],
      cells: [sampleCell({ cellId: 'c-1' }), sampleCell({ cellId: 'c-2' })],
      runInfos: { 'p-1': new Uint8Array([1]), 'p-2': new Uint8Array([2]) },
    }),
  );
  await journal.close();
}

/** The next term, everything loaded; names of what came into memory. */
async function reopened(epoch: number) {
  const journal = new MysqlJournal(test.database, { codec });
  const { revision } = await journal.open(epoch);
  const names: string[] = [];
  for await (const part of journal.load()) {
    names.push(...(part.tasks ?? []).map((row) => row.guid));
    names.push(...(part.desiredLrps ?? []).map((row) => row.processGuid));
    names.push(...(part.actualLrps ?? []).map((row) => `${row.processGuid}/${row.index}`));
    names.push(...(part.cells ?? []).map((row) => row.cellId));
  }
  return { journal, revision, names: names.sort() };
}

const ALL = ['c-1', 'c-2', 'p-1', 'p-1/0', 'p-2', 'p-2/0', 't-1', 't-2'];
const without = (...gone: string[]) => ALL.filter((name) => !gone.includes(name));

async function kept(): Promise<{ table: string; guid: string; stored: Buffer; others: Record<string, unknown> }[]> {
  const rows = await test.database.query<{ table: Buffer; guid: Buffer; stored: Buffer; others: Buffer }[]>(
    'SELECT source_table AS `table`, guid, stored, other_columns AS others FROM quarantine ORDER BY id',
  );
  return rows.map(({ table, guid, stored, others }) => ({
    table: table.toString(),
    guid: guid.toString(),
    stored,
    others: JSON.parse(others.toString()) as Record<string, unknown>,
  }));
}

async function storedOf(table: string, key: string, guid: string): Promise<Buffer> {
  const [row] = await test.database.query<{ detail: Buffer }[]>('SELECT detail FROM ?? WHERE ?? = ?', [
    table,
    key,
    guid,
  ]);
  if (row === undefined) throw new Error(`no ${guid} in ${table}`);
  return row.detail;
}

describe('a row that can not be decoded', () => {
  it('is moved to the quarantine as it was, and everything else is loaded', async () => {
    await filled();
    const before = await storedOf('tasks', 'guid', 't-1');
    const corrupted = Buffer.from(before);
    corrupted[60] = (corrupted[60] ?? 0) ^ 1;
    await test.database.query("UPDATE tasks SET detail = ? WHERE guid = 't-1'", [corrupted]);
    const startMs = Date.now();
    const { journal, names } = await reopened(2);
    expect(names).toEqual(without('t-1'));
    expect(journal.quarantined()).toEqual({ rows: 1, processGuids: new Set() });
    expect(await journal.quarantinedRows(10)).toEqual([
      {
        id: expect.any(Number),
        table: 'tasks',
        key: ['t-1'],
        reason: expect.stringContaining('it was changed, moved from another row'),
        quarantinedAtMs: expect.any(Number),
        supersededAtMs: 0,
      },
    ]);
    expect((await journal.quarantinedRows(10))[0]?.quarantinedAtMs).toBeGreaterThanOrEqual(startMs);
    const [row] = await kept();
    expect(row?.stored.equals(corrupted)).toBe(true);
    const { domain, state, createdAtMs, cellId } = sampleTask();
    expect(row?.others).toMatchObject({ domain, state, created_at_ms: createdAtMs, cell_id: cellId });
    await journal.close();

    const next = await reopened(3);
    expect(next.names).toEqual(without('t-1'));
    expect(next.journal.quarantined().rows).toBe(1);
    await next.journal.close();
  });

  it.each([
    [
      'moved from another row',
      "UPDATE tasks a JOIN tasks b ON b.guid = 't-2' SET a.detail = b.detail WHERE a.guid = 't-1'",
    ],
    [
      'moved from another table',
      "UPDATE tasks JOIN cells ON cell_id = 'c-1' SET tasks.detail = cells.detail WHERE guid = 't-1' AND cells.cell_id = 'c-1'",
    ],
    ['cut off', "UPDATE tasks SET detail = LEFT(detail, 20) WHERE guid = 't-1'"],
    ['empty', "UPDATE tasks SET detail = '' WHERE guid = 't-1'"],
    [
      'of a key that nobody ever had',
      "UPDATE tasks SET detail = CONCAT(x'02017a', SUBSTR(detail, 4)) WHERE guid = 't-1'",
    ],
    ['of an unknown format', "UPDATE tasks SET detail = x'7f00' WHERE guid = 't-1'"],
    ['no document', "UPDATE tasks SET detail = CONCAT(x'01', 'secret-that-no-reason-may-quote') WHERE guid = 't-1'"],
  ])('is recognised: %s', async (_, damage) => {
    await filled();
    await test.database.query(damage.replace("cell_id = 'c-1' SET", "cells.cell_id = 'c-1' SET"));
    const { journal, names } = await reopened(2);
    expect(names).toEqual(without('t-1'));
    const [row] = await journal.quarantinedRows(10);
    expect(row).toMatchObject({ table: 'tasks', key: ['t-1'] });
    expect(row?.reason).not.toContain('secret');
    await journal.close();
  });

  it('is found in every table, at the ends of pages as well', async () => {
    await filled();
    const { journal: writer } = await reopened(2);
    const many = Array.from({ length: 2_000 }, (_, position) => emptyTask(`s-${String(position).padStart(4, '0')}`));
    await writer.commit(sampleBatch(2, 1, { tasks: many }));
    await writer.close();
    await test.database.query("UPDATE tasks SET detail = x'7f' WHERE guid IN ('s-1999', 't-2')");
    await test.database.query("UPDATE desired_lrps SET detail = x'7f' WHERE process_guid = 'p-1'");
    await test.database.query("UPDATE actual_lrps SET detail = x'7f' WHERE process_guid = 'p-2'");
    await test.database.query("UPDATE cells SET detail = x'7f' WHERE cell_id = 'c-2'");
    const { journal, names } = await reopened(3);
    expect(names.filter((name) => !name.startsWith('s-'))).toEqual(without('t-2', 'p-1', 'p-2/0', 'c-2'));
    expect(names.filter((name) => name.startsWith('s-'))).toHaveLength(1_999);
    expect((await journal.quarantinedRows(10)).map(({ table, key }) => [table, ...key])).toEqual([
      ['tasks', 't-2'],
      ['tasks', 's-1999'],
      ['actual_lrps', 'p-2', 0, ''],
      ['desired_lrps', 'p-1'],
      ['cells', 'c-2'],
    ]);
    await journal.close();
  });

  it('is a payload that readers get on without', async () => {
    await filled();
    await test.database.query("UPDATE lrp_run_infos SET payload = x'7f' WHERE process_guid = 'p-1'");
    const { journal, revision } = await reopened(2);
    expect(await journal.readRunInfos(['p-1', 'p-2'])).toEqual(new Map([['p-2', new Uint8Array([2])]]));
    expect(journal.quarantined()).toEqual({ rows: 1, processGuids: new Set() });
    await journal.commit(sampleBatch(2, revision, { runInfos: { 'p-1': new Uint8Array([9]) } }));
    expect(await journal.readRunInfos(['p-1'])).toEqual(new Map([['p-1', new Uint8Array([9])]]));
    expect(await kept()).toMatchObject([{ table: 'lrp_run_infos', guid: 'p-1', stored: Buffer.from([0x7f]) }]);
    await journal.close();
  });

  it('is left where it is by who has been deposed', async () => {
    await filled();
    const { journal: old } = await reopened(2);
    const { journal: young } = await reopened(3);
    await test.database.query("UPDATE lrp_run_infos SET payload = x'7f' WHERE process_guid = 'p-1'");
    expect(await old.readRunInfos(['p-1'])).toEqual(new Map());
    expect(await kept()).toEqual([]);
    expect(await young.readRunInfos(['p-1'])).toEqual(new Map());
    expect(await kept()).toHaveLength(1);
    await Promise.all([old.close(), young.close()]);
  });

  it('keeps its process known, from term to term, until it is desired anew', async () => {
    await filled();
    await test.database.query("UPDATE desired_lrps SET detail = x'7f' WHERE process_guid = 'p-1'");
    const first = await reopened(2);
    expect(first.journal.quarantined().processGuids).toEqual(new Set(['p-1']));
    await first.journal.close();

    const second = await reopened(3);
    expect(second.journal.quarantined().processGuids).toEqual(new Set(['p-1']));
    await second.journal.commit(
      sampleBatch(3, second.revision, { desiredLrps: [sampleDesiredLrp({ processGuid: 'p-1' }), 'p-2'] }),
    );
    expect(second.journal.quarantined()).toEqual({ rows: 1, processGuids: new Set() });
    await second.journal.close();

    const third = await reopened(4);
    expect(third.journal.quarantined()).toEqual({ rows: 1, processGuids: new Set() });
    expect((await third.journal.quarantinedRows(1))[0]?.supersededAtMs).toBeGreaterThan(0);
    await third.journal.close();
  });
});

describe('a database of which much can not be decoded', () => {
  it('is not led, and not touched', async () => {
    await filled();
    const { journal: writer, revision } = await reopened(2);
    const tasks = Array.from({ length: 150 }, (_, position) => sampleTask({ guid: `s-${position}` }));
    await writer.commit(sampleBatch(2, revision, { tasks }));
    await writer.close();
    await test.database.query("UPDATE tasks SET detail = x'7f' WHERE guid LIKE 's-%'");
    await expect(reopened(3)).rejects.toMatchObject({
      kind: 'fenced',
      message: expect.stringContaining("150 of 158 rows can't be decoded, which is no accident; nothing was changed"),
    });
    expect(await kept()).toEqual([]);
    expect(await test.database.query('SELECT COUNT(*) AS n FROM tasks')).toEqual([{ n: 152 }]);
  });
});

describe('a plain journal', () => {
  it('quarantines as well', async () => {
    await filled();
    await test.database.query('DELETE FROM encryption_status');
    await test.database.query("UPDATE tasks SET detail = x'7f00' WHERE guid = 't-1'");
    await test.database.query("UPDATE tasks SET detail = CONCAT(x'01', '{}') WHERE guid = 't-2'");
    await test.database.query('DELETE FROM cells');
    await test.database.query('DELETE FROM desired_lrps');
    await test.database.query('DELETE FROM actual_lrps');
    const journal = new MysqlJournal(test.database, { codec: plainDetailCodec });
    await journal.open(2);
    const guids: string[] = [];
    for await (const part of journal.load()) guids.push(...(part.tasks ?? []).map((row) => row.guid));
    expect(guids).toEqual(['t-2']);
    expect((await journal.quarantinedRows(1))[0]?.reason).toContain(
      "stored in format 127, which this program can't read",
    );
    await journal.close();
  });
});
