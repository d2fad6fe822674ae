import { actualLrpRows } from './actual-lrp-rows.js';
import { cellRows } from './cell-rows.js';
import { desiredLrpRows } from './desired-lrp-rows.js';
import { runInfoRows, taskDefinitionRows } from './payload-rows.js';
import { bytesCell, keyLiterals, literalOf, placeOfCells, type RowCodec, type Table } from './row-codec.js';
import { taskRows } from './task-rows.js';

/** Every table whose last column a `DetailCodec` makes. */
export const STORED_TABLES: readonly Table[] = [
  taskRows,
  taskDefinitionRows,
  desiredLrpRows,
  runInfoRows,
  actualLrpRows,
  cellRows,
];

/** The column that a `DetailCodec` makes. */
export function storedColumn({ columns }: Table): string {
  return columns.at(-1) ?? '';
}

/** A row as its cells, with its content decoded: what stands in them, the program need not understand. */
export interface RawRow {
  readonly cells: readonly unknown[];
  readonly content: Uint8Array;
}

/** For rewriting the content of rows and nothing else. Reading throws `UndecodableError`. */
export function rawRows(table: Table): RowCodec<RawRow> {
  return {
    ...table,
    write: ({ cells, content }, codec) =>
      [...cells.slice(0, -1).map(literalOf), codec.writeBytes(content, placeOfCells(table, cells))].join(','),
    key: ({ cells }) => keyLiterals(table, cells),
    read: (cells, { codec }) => ({
      cells,
      content: codec.readBytes(bytesCell(cells.at(-1)), placeOfCells(table, cells)),
    }),
  };
}
