import { getTableColumns, getTableName } from 'drizzle-orm';
import type { MySqlTable } from 'drizzle-orm/mysql-core';
import type { DetailCodec } from '../../database/detail-codec.js';

/** How the rows of one kind stand in their table: literals on the way in, cells of a result on the way out. */
export interface RowCodec<Row> {
  readonly table: string;
  /** In the order of schema.ts, which is also the order of what `write` returns. */
  readonly columns: readonly string[];
  readonly keyColumns: readonly string[];
  /** The literals of a row, separated by commas. @throws RangeError for numbers that are no whole ones */
  write(row: Row, codec: DetailCodec): string;
  /** The literals of its key. */
  key(row: Row): string[];
  read(cells: readonly unknown[], reading: Reading): Row;
}

/** What reading a row needs besides its cells. */
export interface Reading {
  readonly codec: DetailCodec;
  /** One copy of a text that many rows share, such as a cell's id. */
  shared(text: string): string;
}

/** Names of a table and its columns, from the schema. */
export function tableNames(table: MySqlTable): { table: string; columns: string[] } {
  return { table: getTableName(table), columns: Object.values(getTableColumns(table)).map((column) => column.name) };
}

/** Shares at most so many different texts. */
const MAX_SHARED = 100_000;

export function newReading(codec: DetailCodec): Reading {
  const texts = new Map<string, string>();
  return {
    codec,
    shared(text) {
      const known = texts.get(text);
      if (known !== undefined) return known;
      if (texts.size < MAX_SHARED) texts.set(text, text);
      return text;
    },
  };
}

/** Binary columns arrive as bytes. */
export function textCell(cell: unknown): string {
  return (cell as Buffer).toString('utf8');
}

export function bytesCell(cell: unknown): Buffer {
  return cell as Buffer;
}

export function numberCell(cell: unknown): number {
  return Number(cell);
}

export function booleanCell(cell: unknown): boolean {
  return Number(cell) !== 0;
}
