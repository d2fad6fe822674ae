/**
 * How fast the MySQL journal is: `node --conditions=source --import tsx server/src/bbs/journal/journal.bench.ts [rows] [rows per batch]`
 * Uses RIVERA_DATABASE_URL (its tables are changed!), or a private MariaDB with durable settings in a temporary folder.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ActualLrpState, NetInfo } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
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

const given = process.env.RIVERA_DATABASE_URL;
const folder = await mkdtemp(join(tmpdir(), 'rivera-bench-'));
const server = given === undefined ? await PrivateMariaDb.start({ folder, bufferPoolMb: 512 }) : undefined;
const database = new Database({ url: given ?? server?.url ?? '' });
try {
  await migrate(database);
  await database.query('UPDATE bbs_term SET epoch = 0');
  const journal = new MysqlJournal(database);
  let { revision } = await journal.open(1);
  console.log(`${ROWS} rows in batches of ${BATCH}`);
  for (const round of ['cold', 'warm']) {
    for (const [name, state] of [
      ['UNCLAIMED', ActualLrpState.UNCLAIMED],
      ['CLAIMED', ActualLrpState.CLAIMED],
      ['RUNNING', ActualLrpState.RUNNING],
    ] as const) {
      const rows = Array.from({ length: ROWS }, (_, position) => transition(position, state));
      revision = await measure(journal, `upsert ${name}, ${round}`, revision, rows);
    }
  }

  await journal.open(1);
  const cpuBefore = process.cpuUsage();
  const start = performance.now();
  let loaded = 0;
  for await (const part of journal.load()) loaded += part.actualLrps?.length ?? 0;
  report('load', loaded, start, cpuBefore);

  const single = performance.now();
  for (let count = 0; count < 200; count += 1) {
    await journal.commit(sampleBatch(1, revision, { actualLrps: [transition(count, ActualLrpState.RUNNING)] }));
    revision += 1;
  }
  console.log(`commit of one row: ${((performance.now() - single) / 200).toFixed(2)} ms`);
} finally {
  await database.close();
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
}
