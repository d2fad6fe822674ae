import { CellPresence } from '@rivera/gen/rivera/bbs/v1/cell';
import { placeOf } from '../../database/detail-codec.js';
import { cells as cellsTable, domains } from '../../database/schema.js';
import { sqlBoolean, sqlInteger, sqlString } from '../../database/sql-text.js';
import type { CellRow, DomainRow } from '../core/model.js';
import { type Detail, readDocument, readMessage, writeDocument, writeMessage } from './detail.js';
import { booleanCell, bytesCell, numberCell, type RowCodec, tableNames, textCell } from './row-codec.js';

export const domainRows: RowCodec<DomainRow> = {
  ...tableNames(domains),
  keyColumns: ['domain'],
  write: (row) => `${sqlString(row.domain)},${sqlInteger(row.expiresAtMs)}`,
  key: (row) => [sqlString(row.domain)],
  read: (cells) => ({ domain: textCell(cells[0]), expiresAtMs: numberCell(cells[1]) }),
};

const cellNames = tableNames(cellsTable);

export const cellRows: RowCodec<CellRow> = {
  ...cellNames,
  keyColumns: ['cell_id'],

  write: (row, codec) =>
    `${sqlString(row.cellId)},${sqlString(row.incarnation)},${sqlBoolean(row.evacuating)},${sqlBoolean(row.missing)},` +
    `${sqlInteger(row.sinceMs)},${codec.writeText(writeDetail(row), placeOf(cellNames.table, [row.cellId]))}`,

  key: (row) => [sqlString(row.cellId)],

  read(cells, reading) {
    const detail = readDocument(
      reading.codec.readText(bytesCell(cells[5]), placeOf(cellNames.table, [textCell(cells[0])])),
    );
    return {
      cellId: reading.shared(textCell(cells[0])),
      presence: readMessage(CellPresence, detail.presence),
      incarnation: textCell(cells[1]),
      evacuating: booleanCell(cells[2]),
      missing: booleanCell(cells[3]),
      silent: detail.silent === true,
      sinceMs: numberCell(cells[4]),
    };
  },
};

function writeDetail(row: CellRow): string {
  const detail: Detail = { presence: writeMessage(CellPresence, row.presence) };
  if (row.silent) detail.silent = true;
  return writeDocument(detail);
}
