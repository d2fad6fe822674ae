import { CellPresence } from '@rivera/gen/rivera/bbs/v1/cell';
import { cells as cellsTable, domains } from '../../database/schema.js';
import { sqlBoolean, sqlInteger, sqlString } from '../../database/sql-text.js';
import type { CellRow, DomainRow } from '../core/model.js';
import { type Detail, readMessage, writeMessage } from './detail.js';
import { booleanCell, bytesCell, numberCell, type RowCodec, tableNames, textCell } from './row-codec.js';

export const domainRows: RowCodec<DomainRow> = {
  ...tableNames(domains),
  keyColumns: ['domain'],
  write: (row) => `${sqlString(row.domain)},${sqlInteger(row.expiresAtMs)}`,
  key: (row) => [sqlString(row.domain)],
  read: (cells) => ({ domain: textCell(cells[0]), expiresAtMs: numberCell(cells[1]) }),
};

export const cellRows: RowCodec<CellRow> = {
  ...tableNames(cellsTable),
  keyColumns: ['cell_id'],

  write: (row, codec) =>
    `${sqlString(row.cellId)},${sqlString(row.incarnation)},${sqlBoolean(row.evacuating)},${sqlBoolean(row.missing)},` +
    `${sqlInteger(row.sinceMs)},${codec.writeText(JSON.stringify({ presence: writeMessage(CellPresence, row.presence) }))}`,

  key: (row) => [sqlString(row.cellId)],

  read(cells, reading) {
    const detail = JSON.parse(reading.codec.readText(bytesCell(cells[5]))) as Detail;
    return {
      cellId: reading.shared(textCell(cells[0])),
      presence: readMessage(CellPresence, detail.presence),
      incarnation: textCell(cells[1]),
      evacuating: booleanCell(cells[2]),
      missing: booleanCell(cells[3]),
      sinceMs: numberCell(cells[4]),
    };
  },
};
