import type { PoolConnection } from 'mysql2/promise';
import type { DetailCodec } from '../../database/detail-codec.js';
import type { Database } from '../../database/pool.js';
import { sqlInteger, sqlName, sqlString } from '../../database/sql-text.js';
import { actualLrpRows } from './actual-lrp-rows.js';
import { cellRows, domainRows } from './cell-rows.js';
import { desiredLrpRows } from './desired-lrp-rows.js';
import type { ChangedKeys } from './handover.js';
import type { JournalRows } from './journal.js';
import { type UndecodableRow, undecodableRow } from './quarantine.js';
import { keyLiterals, newReading, type Reading, type RowCodec } from './row-codec.js';
import { taskRows } from './task-rows.js';

/** Rows in one part: some hundred microseconds' work for the reader, some hundred kilobytes of network buffer. */
export const PAGE_ROWS = 2_000;

export interface SnapshotOptions {
  readonly database: Database;
  /** With an open snapshot. */
  readonly connection: PoolConnection;
  readonly codec: DetailCodec;
  /** Told of each row that is left out. */
  readonly onUndecodable: (row: UndecodableRow) => void;
}

/** All rows that a connection's open snapshot shows and that can be decoded, kind by kind, each in order of its key. */
export async function* readSnapshot(options: SnapshotOptions): AsyncGenerator<JournalRows> {
  const reading = newReading(options.codec);
  for await (const rows of pages(options, domainRows, reading)) yield { domains: rows };
  for await (const rows of pages(options, cellRows, reading)) yield { cells: rows };
  for await (const rows of pages(options, desiredLrpRows, reading)) yield { desiredLrps: rows };
  for await (const rows of pages(options, actualLrpRows, reading)) yield { actualLrps: rows };
  for await (const rows of pages(options, taskRows, reading)) yield { tasks: rows };
}

/** Keys in one statement. */
const KEYS_PER_STATEMENT = 1_000;

/** The rows that have these keys. @throws when one of them can't be decoded */
export async function readRows(
  options: Omit<SnapshotOptions, 'onUndecodable'>,
  keys: ChangedKeys,
): Promise<JournalRows> {
  const reading = newReading(options.codec);
  const named = (names: readonly string[]) => names.map((name) => [sqlString(name)]);
  const slots = keys.actualLrps.map(([processGuid, index, generation]) => [
    sqlString(processGuid),
    sqlInteger(index),
    sqlString(generation),
  ]);
  return {
    domains: await rowsWith(options, domainRows, { reading, keys: named(keys.domains) }),
    cells: await rowsWith(options, cellRows, { reading, keys: named(keys.cells) }),
    desiredLrps: await rowsWith(options, desiredLrpRows, { reading, keys: named(keys.desiredLrps) }),
    actualLrps: await rowsWith(options, actualLrpRows, { reading, keys: slots }),
    tasks: await rowsWith(options, taskRows, { reading, keys: named(keys.tasks) }),
  };
}

async function rowsWith<Row>(
  { database, connection }: Omit<SnapshotOptions, 'onUndecodable'>,
  rows: RowCodec<Row>,
  { reading, keys }: { reading: Reading; keys: readonly (readonly string[])[] },
): Promise<Row[]> {
  const found: Row[] = [];
  const columns = rows.keyColumns.map(sqlName).join(',');
  for (let start = 0; start < keys.length; start += KEYS_PER_STATEMENT) {
    const some = keys.slice(start, start + KEYS_PER_STATEMENT);
    const sql = `${selectOf(rows)} WHERE (${columns}) IN (${some.map((key) => `(${key.join(',')})`).join(',')})`;
    for (const cells of await database.rows(connection, sql)) found.push(rows.read(cells, reading));
  }
  return found;
}

function selectOf<Row>(rows: RowCodec<Row>): string {
  return `SELECT ${rows.columns.map(sqlName).join(',')} FROM ${sqlName(rows.table)}`;
}

async function* pages<Row>(
  { database, connection, onUndecodable }: SnapshotOptions,
  rows: RowCodec<Row>,
  reading: Reading,
): AsyncGenerator<Row[]> {
  const head = selectOf(rows);
  const order = `ORDER BY ${rows.keyColumns.map(sqlName).join(',')} LIMIT ${PAGE_ROWS}`;
  const fetch = (condition: string) => {
    const page = database.rows(connection, `${head} ${condition} ${order}`);
    // Whether it failed is learned when its turn comes.
    page.catch(() => undefined);
    return page;
  };
  let next: ReturnType<typeof fetch> | undefined = fetch('');
  try {
    while (next !== undefined) {
      const page: unknown[][] = await next;
      const last = page.at(-1);
      const more = last !== undefined && page.length === PAGE_ROWS;
      // The database finds the next page while this one is read.
      next = more ? fetch(`WHERE ${behind(rows.keyColumns, keyLiterals(rows, last))}`) : undefined;
      const parsed: Row[] = [];
      for (const cells of page) {
        try {
          parsed.push(rows.read(cells, reading));
        } catch (error) {
          onUndecodable(undecodableRow(rows, cells, error));
        }
      }
      if (parsed.length > 0) yield parsed;
    }
  } finally {
    // Whoever stops early has the connection to himself again.
    await next?.catch(() => undefined);
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
