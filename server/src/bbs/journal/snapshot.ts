import type { PoolConnection } from 'mysql2/promise';
import type { DetailCodec } from '../../database/detail-codec.js';
import type { Database } from '../../database/pool.js';
import { sqlName } from '../../database/sql-text.js';
import { actualLrpRows } from './actual-lrp-rows.js';
import { cellRows, domainRows } from './cell-rows.js';
import { desiredLrpRows } from './desired-lrp-rows.js';
import type { JournalRows } from './journal.js';
import { newReading, type Reading, type RowCodec } from './row-codec.js';
import { taskRows } from './task-rows.js';

/** Rows in one part: some hundred microseconds' work for the reader, some hundred kilobytes of network buffer. */
export const PAGE_ROWS = 2_000;

/** All rows that a connection's open snapshot shows, kind by kind, each in order of its key. */
export async function* readSnapshot(
  database: Database,
  connection: PoolConnection,
  codec: DetailCodec,
): AsyncGenerator<JournalRows> {
  const reading = newReading(codec);
  for await (const rows of pages(database, connection, domainRows, reading)) yield { domains: rows };
  for await (const rows of pages(database, connection, cellRows, reading)) yield { cells: rows };
  for await (const rows of pages(database, connection, desiredLrpRows, reading)) yield { desiredLrps: rows };
  for await (const rows of pages(database, connection, actualLrpRows, reading)) yield { actualLrps: rows };
  for await (const rows of pages(database, connection, taskRows, reading)) yield { tasks: rows };
}

async function* pages<Row>(
  database: Database,
  connection: PoolConnection,
  rows: RowCodec<Row>,
  reading: Reading,
): AsyncGenerator<Row[]> {
  const head = `SELECT ${rows.columns.map(sqlName).join(',')} FROM ${sqlName(rows.table)}`;
  const order = `ORDER BY ${rows.keyColumns.map(sqlName).join(',')} LIMIT ${PAGE_ROWS}`;
  let condition = '';
  for (;;) {
    const page = await database.rows(connection, `${head} ${condition} ${order}`);
    const parsed = page.map((cells) => rows.read(cells, reading));
    if (parsed.length > 0) yield parsed;
    const last = parsed.at(-1);
    if (last === undefined || parsed.length < PAGE_ROWS) return;
    condition = `WHERE ${behind(rows.keyColumns, rows.key(last))}`;
  }
}

/**
 * `(a, b, c) > (x, y, z)`, written out: MariaDB uses no index for the short form. The leading `a >= x` gives it the range to begin at.
 */
export function behind(columns: readonly string[], literals: readonly string[]): string {
  const alternatives = columns.map((column, position) =>
    [
      ...columns.slice(0, position).map((earlier, index) => `${sqlName(earlier)}=${literals[index]}`),
      `${sqlName(column)}>${literals[position]}`,
    ].join(' AND '),
  );
  const first = columns[0] ?? '';
  return `${sqlName(first)}>=${literals[0]} AND ((${alternatives.join(') OR (')}))`;
}
