import { Writable } from 'node:stream';
import { type Clock, systemClock } from '@rivera/kit/clock';
import { createLogger } from '@rivera/kit/log';
import { getTableName } from 'drizzle-orm';
import { describe, expect, it } from 'vitest';
import { testCodec } from '../../database/codec-testing.js';
import { type DetailCodec, plainDetailCodec } from '../../database/detail-codec.js';
import { ALL_TABLES } from '../../database/schema.js';
import { useTestDatabase } from '../../database/testing.js';
import type { ActualLrpRow, DesiredLrpRow, TaskRow } from '../core/model.js';
import { journalContract } from './contract.js';
import { MysqlJournal, type MysqlJournalOptions } from './mysql-journal.js';
import {
  type BatchContent,
  emptyActualLrp,
  sampleActualLrp,
  sampleBatch,
  sampleCell,
  sampleDesiredLrp,
  sampleTask,
} from './sample-rows.js';

const test = useTestDatabase();
const STORED = ['tasks', 'task_definitions', 'desired_lrps', 'lrp_run_infos', 'actual_lrps', 'cells'];

/** As after the migration of a database that has rows already: they may be plain. */
async function empty(): Promise<void> {
  for (const name of [...STORED, 'domains', 'quarantine', 'encryption_status'])
    await test.database.query('DELETE FROM ??', [name]);
  await test.database.query('UPDATE bbs_term SET epoch = 0, opening = 0, revision = 0');
  await test.database.query("INSERT INTO encryption_status VALUES ('', '', 1, -1, 0, 0, 0, 0)");
}

/** What a journal logs, and waiting for a line of it. */
class LogBook {
  readonly lines: string[] = [];
  private readonly looks = new Set<() => void>();
  readonly log = createLogger({
    name: 'test',
    destination: new Writable({
      write: (chunk: Buffer, _, done) => {
        this.lines.push(...chunk.toString().trim().split('\n'));
        for (const look of [...this.looks]) look();
        done();
      },
    }),
  });

  async line(part: string): Promise<void> {
    await new Promise<void>((resolve) => {
      const look = () => {
        if (!this.lines.some((line) => line.includes(part))) return;
        this.looks.delete(look);
        resolve();
      };
      this.looks.add(look);
      look();
    });
  }

  count(part: string): number {
    return this.lines.filter((line) => line.includes(part)).length;
  }
}

const EAGER = { batchRows: 7, pageRows: 50, pauseFactor: 0, retryMs: 10 };

function journalUnder(codec: DetailCodec, options: MysqlJournalOptions = {}) {
  const book = new LogBook();
  return { book, journal: new MysqlJournal(test.database, { codec, log: book.log, rotation: EAGER, ...options }) };
}

async function load(journal: MysqlJournal) {
  const all = {
    tasks: [] as TaskRow[],
    desiredLrps: [] as DesiredLrpRow[],
    actualLrps: [] as ActualLrpRow[],
    cells: 0,
  };
  for await (const part of journal.load()) {
    all.tasks.push(...(part.tasks ?? []));
    all.desiredLrps.push(...(part.desiredLrps ?? []));
    all.actualLrps.push(...(part.actualLrps ?? []));
    all.cells += part.cells?.length ?? 0;
  }
  return all;
}

/** Everything that is in the database, byte for byte. */
async function dump(): Promise<Buffer> {
  const parts: Buffer[] = [];
  for (const table of ALL_TABLES) {
    const rows = await test.database.query<Record<string, unknown>[]>('SELECT * FROM ??', [getTableName(table)]);
    for (const cell of rows.flatMap((row) => Object.values(row))) {
      parts.push(Buffer.isBuffer(cell) ? cell : Buffer.from(String(cell)), Buffer.from('\n'));
    }
  }
  return Buffer.concat(parts);
}

/** Whether a text stands somewhere as it is, or inside of what was encoded in base64. */
function shows(bytes: Buffer, secret: string): boolean {
  if (bytes.includes(secret)) return true;
  // Base64 of a text depends on where in three bytes it begins; its ends depend on the neighbours.
  return [0, 1, 2].some((shift) => {
    const encoded = Buffer.from('\0'.repeat(shift) + secret).toString('base64');
    return bytes.includes(encoded.slice(shift === 0 ? 0 : 4, -4));
  });
}

/** Rows of every kind under one term of a codec, and nothing left running. */
async function write(codec: DetailCodec, content: BatchContent): Promise<void> {
  const journal = new MysqlJournal(test.database, { codec });
  const [term] = await test.database.query<{ epoch: number }[]>('SELECT epoch FROM bbs_term');
  const epoch = (term?.epoch ?? 0) + 1;
  const { revision } = await journal.open(epoch);
  await journal.commit(sampleBatch(epoch, revision, content));
  await journal.close();
}

async function labelsOf(table: string): Promise<string[]> {
  const column = table.endsWith('s') && ['task_definitions', 'lrp_run_infos'].includes(table) ? 'payload' : 'detail';
  const rows = await test.database.query<{ head: Buffer }[]>('SELECT DISTINCT LEFT(??, 3) AS head FROM ??', [
    column,
    table,
  ]);
  return rows.map(({ head }) => (head[0] === 1 ? 'plain' : head.toString('utf8', 2))).sort();
}

const SECRETS = {
  route: 'secret-route.example',
  tag: 'secret-metric-tag',
  annotation: 'secret-annotation',
  result: 'secret-result-of-task',
  callback: 'https://secret-user:secret-password@callback.example',
  failure: 'secret-reason-of-failure',
  crash: 'secret-reason-of-crash',
  address: '10.99.98.97-secret-address',
  environment: 'DATABASE_PASSWORD=secret-environment-value',
  cell: 'secret-rep-address.example',
};

const encoded = (text: string) => new Uint8Array(Buffer.from(text));

/** Every secret at every place that takes one. */
function secretContent(): BatchContent {
  return {
    tasks: [
      sampleTask({
        result: SECRETS.result,
        annotation: SECRETS.annotation,
        callbackUrl: SECRETS.callback,
        failureReason: SECRETS.failure,
      }),
    ],
    taskDefinitions: { 'task-1': encoded(`run ${SECRETS.environment}`) },
    desiredLrps: [sampleDesiredLrp({ routes: { router: SECRETS.route }, annotation: SECRETS.annotation })],
    runInfos: { 'process-1': encoded(`run ${SECRETS.environment}`) },
    actualLrps: [
      sampleActualLrp({
        crashReason: SECRETS.crash,
        metricTags: { tag: SECRETS.tag },
        netInfo: { ...required(sampleActualLrp().netInfo), address: SECRETS.address },
      }),
    ],
    cells: [sampleCell({ presence: { ...sampleCell().presence, repAddress: SECRETS.cell } })],
  };
}

function required<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('the sample has it');
  return value;
}

journalContract('MySQL journal, encrypted', async () => {
  await empty();
  await test.database.query('UPDATE encryption_status SET finished_at_ms = 1, active = 0');
  const codec = testCodec(['a']);
  return { journal: () => new MysqlJournal(test.database, { codec }) };
});

describe('a database that is encrypted', () => {
  it('shows no secret in any of its tables', async () => {
    await empty();
    await write(plainDetailCodec, secretContent());
    const plain = await dump();
    expect(Object.values(SECRETS).filter((secret) => !shows(plain, secret))).toEqual([]);

    await empty();
    await write(testCodec(['a']), secretContent());
    const encrypted = await dump();
    expect(Object.values(SECRETS).filter((secret) => shows(encrypted, secret))).toEqual([]);
    for (const table of STORED) expect(await labelsOf(table), table).toEqual(['a']);
  });

  it('is read together with rows from before, which are plain', async () => {
    await empty();
    await write(plainDetailCodec, { tasks: [sampleTask({ guid: 'old' })], runInfos: { old: encoded('x') } });
    await write(testCodec(['a']), { tasks: [sampleTask({ guid: 'young' })], runInfos: { young: encoded('y') } });
    const { journal } = journalUnder(testCodec(['a']));
    await journal.open(9);
    expect((await load(journal)).tasks).toEqual([sampleTask({ guid: 'old' }), sampleTask({ guid: 'young' })]);
    expect(await journal.readRunInfos(['old', 'young'])).toEqual(
      new Map([
        ['old', encoded('x')],
        ['young', encoded('y')],
      ]),
    );
    await journal.close();
  });
});

describe('a server whose keys are not the ones that rows need', () => {
  it('does not lead, and says which key is missing and what to do', async () => {
    await empty();
    await write(testCodec(['a']), secretContent());
    const before = await dump();
    for (const codec of [plainDetailCodec, testCodec(['b'])]) {
      const { journal, book } = journalUnder(codec);
      const message = /the key "a", which is not configured: add it to encryption\.keys/;
      await expect(journal.requireKeys()).rejects.toThrow(message);
      await expect(journal.open(9)).rejects.toMatchObject({ kind: 'fenced', message: expect.stringMatching(message) });
      expect(book.count("this server can't lead")).toBe(2);
      await expect(journal.commit(sampleBatch(9, 1, {}))).rejects.toMatchObject({ kind: 'unavailable' });
    }
    expect((await dump()).equals(before)).toBe(true);
  });

  it('does not lead with another passphrase under the same label, and quarantines nothing', async () => {
    await empty();
    await write(testCodec(['a']), secretContent());
    const before = await dump();
    const { journal } = journalUnder(testCodec(['a'], { a: 'another' }));
    const message = 'restore the passphrase that encryption.keys.a had';
    await expect(journal.requireKeys()).rejects.toThrow(message);
    await expect(journal.open(9)).rejects.toThrow(message);
    expect((await dump()).equals(before)).toBe(true);
  });

  it('leaves the leader alone', async () => {
    await empty();
    const { journal } = journalUnder(testCodec(['a']));
    await journal.open(1);
    await expect(journalUnder(testCodec(['b'])).journal.open(2)).rejects.toThrow('"a"');
    await journal.commit(sampleBatch(1, 0, secretContent()));
    await journal.close();
  });
});

describe('rotation', () => {
  it('brings plain rows under the key, proves it, and says so once', async () => {
    await empty();
    await write(plainDetailCodec, {
      ...secretContent(),
      actualLrps: [sampleActualLrp(), emptyActualLrp('process-2', 0)],
    });
    const { journal, book } = journalUnder(testCodec(['a']));
    await journal.open(9);
    await load(journal);
    await book.line('no row is stored in plain any more');
    expect(await journal.encryptionStatus()).toEqual([
      { label: '', active: false, rowsLeft: 0, rowsRewritten: 6, finishedAtMs: expect.any(Number) },
      { label: 'a', active: true, rowsLeft: 6, rowsRewritten: 0, finishedAtMs: 0 },
    ]);
    await journal.close();
    const found = await dump();
    expect(Object.values(SECRETS).filter((secret) => shows(found, secret))).toEqual([]);

    const next = journalUnder(testCodec(['a']));
    await next.journal.open(10);
    await load(next.journal);
    await next.journal.close();
    expect(next.book.lines).toEqual([]);
  });

  it('goes on among writers, loses nothing of theirs, and ends with a key that can be removed', async () => {
    await empty();
    const rows = 600;
    const name = (position: number) => `p-${String(position).padStart(4, '0')}`;
    const image = (position: number, version: number) =>
      sampleActualLrp({ processGuid: name(position), index: 0, crashReason: `crash ${version}`, tagIndex: version });
    const all = Array.from({ length: rows }, (_, position) => position);
    await write(testCodec(['a']), {
      actualLrps: all.map((position) => image(position, 0)),
      runInfos: Object.fromEntries(all.map((position) => [name(position), encoded(`info 0 ${position}`)])),
      tasks: [sampleTask()],
      desiredLrps: [sampleDesiredLrp()],
      cells: [sampleCell()],
    });

    const { journal, book } = journalUnder(testCodec(['b', 'a']));
    let { revision } = await journal.open(9);
    await load(journal);
    let finished = false;
    const farewell = book.line('no row needs the key \\"a\\" any more').then(() => {
      finished = true;
    });
    const versions = new Map(all.map((position) => [position, 0]));
    for (let version = 1; !finished; version += 1) {
      // Rows all over the table: changed, deleted, and written anew.
      const touched = Array.from({ length: 20 }, (_, step) => (version * 37 + step * 29) % rows);
      const gone = touched.filter((position) => position % 5 === 0 && version % 2 === 0);
      const kept = touched.filter((position) => !gone.includes(position));
      await journal.commit(
        sampleBatch(9, revision, {
          actualLrps: kept.map((position) => image(position, version)),
          deletedActualLrps: gone.map((position) => image(position, version)),
          runInfos: {
            ...Object.fromEntries(kept.map((position) => [name(position), encoded(`info ${version} ${position}`)])),
            ...Object.fromEntries(gone.map((position) => [name(position), null])),
          },
        }),
      );
      revision += 1;
      for (const position of kept) versions.set(position, version);
      for (const position of gone) versions.delete(position);
    }
    await farewell;
    expect(revision).toBeGreaterThan(5);
    const [old] = (await journal.encryptionStatus()).filter(({ label }) => label === 'a');
    expect(old).toMatchObject({ active: false, rowsLeft: 0 });
    expect(old?.rowsRewritten).toBeGreaterThan(0);
    await journal.close();

    const successor = journalUnder(testCodec(['b']));
    await successor.journal.requireKeys();
    await successor.journal.open(10);
    const expected = [...versions].sort(([left], [right]) => left - right);
    const loaded = await load(successor.journal);
    expect(loaded.actualLrps).toEqual(expected.map(([position, version]) => image(position, version)));
    expect(loaded.tasks).toEqual([sampleTask()]);
    expect(loaded.desiredLrps).toEqual([sampleDesiredLrp()]);
    expect(loaded.cells).toBe(1);
    expect(await successor.journal.readRunInfos(all.map(name))).toEqual(
      new Map(expected.map(([position, version]) => [name(position), encoded(`info ${version} ${position}`)])),
    );
    expect(successor.journal.quarantined().rows).toBe(0);
    await successor.journal.close();
  });

  it('goes on where it was when it is interrupted, and the old key is needed until then', async () => {
    await empty();
    const tasks = Array.from({ length: 100 }, (_, position) =>
      sampleTask({ guid: `task-${String(position).padStart(3, '0')}` }),
    );
    await write(testCodec(['a']), { tasks });
    // It comes to a halt in the pause after its third batch.
    let reached = () => {};
    const halted = new Promise<void>((resolve) => {
      reached = resolve;
    });
    const clock: Clock = {
      ...systemClock,
      async sleep(_, signal) {
        const status = (await journal.encryptionStatus()).find(({ label }) => label === 'a');
        if ((status?.rowsRewritten ?? 0) < 3 * EAGER.batchRows) return;
        reached();
        await new Promise<void>((resolve) => signal?.addEventListener('abort', () => resolve()));
      },
    };
    const { journal } = journalUnder(testCodec(['b', 'a']), { clock });
    await journal.open(9);
    await load(journal);
    await halted;
    await journal.close();
    expect(await labelsOf('tasks')).toEqual(['a', 'b']);
    expect((await journal.encryptionStatus()).find(({ label }) => label === 'a')).toEqual({
      label: 'a',
      active: false,
      rowsLeft: 79,
      rowsRewritten: 21,
      finishedAtMs: 0,
    });
    await expect(journalUnder(testCodec(['b'])).journal.open(10)).rejects.toThrow(
      'rows may still be encrypted under the key "a"',
    );

    const next = journalUnder(testCodec(['b', 'a']));
    await next.journal.open(10);
    expect((await load(next.journal)).tasks).toEqual(tasks);
    await next.book.line('no row needs the key');
    expect((await next.journal.encryptionStatus()).find(({ label }) => label === 'a')).toMatchObject({
      rowsLeft: 0,
      rowsRewritten: 100,
    });
    await next.journal.close();
    expect(await labelsOf('tasks')).toEqual(['b']);
  });

  it('of a deposed leader ends, and takes nothing back', async () => {
    await empty();
    const tasks = Array.from({ length: 60 }, (_, position) =>
      sampleTask({ guid: `task-${String(position).padStart(3, '0')}` }),
    );
    await write(testCodec(['a']), { tasks });
    let stood = () => {};
    const standing = new Promise<void>((resolve) => {
      stood = resolve;
    });
    let goOn = () => {};
    const gate = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    const clock: Clock = {
      ...systemClock,
      async sleep() {
        if ((await labelsOf('tasks')).length < 2) return;
        stood();
        await gate;
      },
    };
    const old = journalUnder(testCodec(['b', 'a']), { clock });
    await old.journal.open(9);
    await load(old.journal);
    await standing;
    const young = journalUnder(testCodec(['c', 'b', 'a']));
    await young.journal.open(10);
    await load(young.journal);
    await Promise.all([
      young.book.line('no row needs the key \\"a\\"'),
      young.book.line('no row needs the key \\"b\\"'),
    ]);
    goOn();
    await old.journal.close();
    await young.journal.close();
    expect(await labelsOf('tasks')).toEqual(['c']);
    expect(old.book.count('no row needs')).toBe(0);
  });

  it('comes back to a key that was done with, even if its passphrase is a new one', async () => {
    await empty();
    await write(testCodec(['a']), { tasks: [sampleTask()] });
    for (const codec of [testCodec(['b', 'a']), testCodec(['a', 'b'], { a: 'another' })]) {
      const { journal, book } = journalUnder(codec);
      await journal.open(codec.activeLabel === 'b' ? 8 : 9);
      expect((await load(journal)).tasks).toEqual([sampleTask()]);
      await book.line('no row needs the key');
      await journal.close();
    }
    expect(await labelsOf('tasks')).toEqual(['a']);
    await expect(journalUnder(testCodec(['a'])).journal.open(10)).rejects.toThrow('another key "a"');
  });
});
