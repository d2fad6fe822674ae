import { getTableColumns, getTableName } from 'drizzle-orm';
import type { MySqlTable } from 'drizzle-orm/mysql-core';
import { type DetailCodec, type Place, placeOf } from '../../database/detail-codec.js';
import { sqlBytes, sqlInteger } from '../../database/sql-text.js';

/** A table as its rows are moved and rewritten, whatever they mean. */
export interface Table {
  readonly table: string;
  /** In the order of schema.ts, which is also the order of what `write` returns: the key first, what a `DetailCodec` made last. */
  readonly columns: readonly string[];
  readonly keyColumns: readonly string[];
}

/** How the rows of one kind stand in their table: literals on the way in, cells of a result on the way out. */
export interface RowCodec<Row> extends Table {
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

/** The literals of a key as it was read, byte for byte. */
export function keyLiterals({ keyColumns }: Table, cells: readonly unknown[]): string[] {
  return keyColumns.map((_, position) => literalOf(cells[position]));
}

/** A key as texts and numbers, in the order of its columns. */
export function keyParts({ keyColumns }: Table, cells: readonly unknown[]): (string | number)[] {
  return keyColumns.map((_, position) => {
    const cell = cells[position];
    return Buffer.isBuffer(cell) ? textCell(cell) : numberCell(cell);
  });
}

/** Where the content of a row stands, for its `DetailCodec`. */
export function placeOfCells(table: Table, cells: readonly unknown[]): Place {
  return placeOf(table.table, keyParts(table, cells));
}

export function literalOf(cell: unknown): string {
  return Buffer.isBuffer(cell) ? sqlBytes(cell) : sqlInteger(numberCell(cell));
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
