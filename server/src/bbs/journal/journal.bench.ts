/**
 * How fast the MySQL journal is, plain and encrypted, and what rotation costs those who write meanwhile:
 * `node --conditions=source --import tsx server/src/bbs/journal/journal.bench.ts [rows] [rows per batch]`
 * Uses RIVERA_DATABASE_URL (its tables are changed!), or a private MariaDB with durable settings in a temporary folder.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { ActualLrpState, NetInfo } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { createLogger } from '@rivera/kit/log';
import { testCodec } from '../../database/codec-testing.js';
import { migrate } from '../../database/migrations.js';
import { Database } from '../../database/pool.js';
import { PrivateMariaDb } from '../../database/private-mariadb.js';
import type { ActualLrpRow } from '../core/model.js';
import { MysqlJournal } from './mysql-journal.js';
import { emptyActualLrp, sampleBatch } from './sample-rows.js';

const ROWS = Number(process.argv[2] ?? 50_000);
const BATCH = Number(process.argv[3] ?? 2_000);

function uuid(position: number): string {
  return `${position.toString(16).padStart(8, '0')}-9c2f-4e0b-8a53-5f1f6d2c7b90`;
}

/** An instance as it goes: waiting, taken by a cell, running with its network. */
function transition(position: number, state: ActualLrpState): ActualLrpRow {
  const row = { ...emptyActualLrp(uuid(position), 0), tagEpoch: uuid(position + 1_000_000), domain: 'cf-apps', state };
  if (state === ActualLrpState.UNCLAIMED) return row;
  const claimed = { ...row, instanceGuid: uuid(position + 2_000_000), cellId: `cell-${position % 100}`, tagIndex: 1 };
  if (state === ActualLrpState.CLAIMED) return claimed;
  return {
    ...claimed,
    tagIndex: 2,
    startedAtMs: row.sinceMs,
    routable: true,
    availabilityZone: 'z1',
    netInfo: NetInfo.fromPartial({
      address: '10.0.0.12',
      ports: [{ containerPort: 8080, hostPort: 61001 }],
      instanceAddress: '10.255.1.17',
    }),
    metricTags: { app: 'hello', instance: String(position) },
  };
}

/** Commits `rows` in batches and reports one figure. */
async function measure(journal: MysqlJournal, name: string, from: number, rows: ActualLrpRow[]): Promise<number> {
  const cpuBefore = process.cpuUsage();
  const start = performance.now();
  let revision = from;
  let slowest = 0;
  for (let at = 0; at < rows.length; at += BATCH) {
    const begun = performance.now();
    await journal.commit(sampleBatch(1, revision, { actualLrps: rows.slice(at, at + BATCH) }));
    slowest = Math.max(slowest, performance.now() - begun);
    revision += 1;
  }
  report(name, rows.length, start, cpuBefore, `, slowest batch ${slowest.toFixed(0)} ms`);
  return revision;
}

function report(name: string, count: number, start: number, cpuBefore: NodeJS.CpuUsage, more = ''): void {
  const seconds = (performance.now() - start) / 1000;
  const cpu = process.cpuUsage(cpuBefore);
  const perRow = (cpu.user + cpu.system) / count;
  console.log(`${name}: ${Math.round(count / seconds)} rows/s, ${perRow.toFixed(2)} µs Node CPU a row${more}`);
}

/** Transitions of all rows, a load, and commits of single rows. */
async function round(journal: MysqlJournal, name: string): Promise<void> {
  let { revision } = await journal.open(1);
  for (const [stateName, state] of [
    ['UNCLAIMED', ActualLrpState.UNCLAIMED],
    ['CLAIMED', ActualLrpState.CLAIMED],
    ['RUNNING', ActualLrpState.RUNNING],
  ] as const) {
    const rows = Array.from({ length: ROWS }, (_, position) => transition(position, state));
    revision = await measure(journal, `upsert ${stateName}, ${name}`, revision, rows);
  }
  await journal.open(1);
  const cpuBefore = process.cpuUsage();
  const start = performance.now();
  let loaded = 0;
  for await (const part of journal.load()) loaded += part.actualLrps?.length ?? 0;
  report(`load, ${name}`, loaded, start, cpuBefore);
}

/** Commits of one row, one after the other, until the work ends or a number of them is done. */
async function singles(
  journal: MysqlJournal,
  name: string,
  from: number,
  until: Promise<unknown> | number,
): Promise<number> {
  const took: number[] = [];
  let over = false;
  if (typeof until !== 'number') void until.then(() => (over = true));
  for (let count = 0; typeof until === 'number' ? count < until : !over; count += 1) {
    const begun = performance.now();
    const row = transition(count % ROWS, ActualLrpState.RUNNING);
    await journal.commit(sampleBatch(1, from + count, { actualLrps: [row] }));
    took.push(performance.now() - begun);
  }
  took.sort((left, right) => left - right);
  const at = (share: number) => (took[Math.floor(took.length * share)] ?? 0).toFixed(2);
  console.log(`commit of one row, ${name}: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, ${took.length} commits`);
  return from + took.length;
}

/** From one key to another while single rows are committed. */
async function rotation(database: Database): Promise<void> {
  let end = () => {};
  const finished = new Promise<void>((resolve) => {
    end = resolve;
  });
  const destination = new Writable({
    write(chunk: Buffer, _, done) {
      if (chunk.includes('no row needs the key')) end();
      done();
    },
  });
  const log = createLogger({ name: 'bench', destination });
  const journal = new MysqlJournal(database, { codec: testCodec(['second', 'first']), log });
  const { revision } = await journal.open(1);
  for await (const _ of journal.load());
  const cpuBefore = process.cpuUsage();
  const start = performance.now();
  const writing = singles(journal, 'during rotation', revision, finished);
  await finished;
  report('rotation, with those commits', ROWS, start, cpuBefore);
  await singles(journal, 'after rotation', await writing, 500);
  await journal.close();
}

const given = process.env.RIVERA_DATABASE_URL;
const folder = await mkdtemp(join(tmpdir(), 'rivera-bench-'));
const server = given === undefined ? await PrivateMariaDb.start({ folder, bufferPoolMb: 512 }) : undefined;
const database = new Database({ url: given ?? server?.url ?? '' });
try {
  await migrate(database);
  await database.query('UPDATE bbs_term SET epoch = 0');
  console.log(`${ROWS} rows in batches of ${BATCH}`);
  await round(new MysqlJournal(database), 'cold');
  const plain = new MysqlJournal(database);
  const encrypted = new MysqlJournal(database, { codec: testCodec(['first']) });
  // In turns: what else the machine does falls on both.
  for (let turn = 1; turn <= 2; turn += 1) {
    // Keys that rows need are never forgotten but here: all rows are written anew.
    await database.query("UPDATE encryption_status SET finished_at_ms = 1, active = 0 WHERE label <> ''");
    await round(plain, `plain ${turn}`);
    await database.query("UPDATE encryption_status SET finished_at_ms = 1, active = 0 WHERE label = ''");
    await round(encrypted, `encrypted ${turn}`);
  }
  await rotation(database);
} finally {
  await database.close();
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
}
