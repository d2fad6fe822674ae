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

/** Rows as cells, of which only the last one's encryption is ever changed: what stands in it, the program need not understand. */
export function rawRows(table: Table): RowCodec<readonly unknown[]> {
  return {
    ...table,
    write: (cells, codec) => {
      const place = placeOfCells(table, cells);
      const content = codec.readBytes(bytesCell(cells.at(-1)), place);
      return [...cells.slice(0, -1).map(literalOf), codec.writeBytes(content, place)].join(',');
    },
    key: (cells) => keyLiterals(table, cells),
    read: (cells) => cells,
  };
}
