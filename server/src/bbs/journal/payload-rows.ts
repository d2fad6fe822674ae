import { placeOf } from '../../database/detail-codec.js';
import { lrpRunInfos, taskDefinitions } from '../../database/schema.js';
import { sqlString } from '../../database/sql-text.js';
import { bytesCell, type RowCodec, tableNames, textCell } from './row-codec.js';

/** A payload that is not kept in the heap: a guid and opaque bytes. */
export interface PayloadRow {
  readonly guid: string;
  readonly payload: Uint8Array;
}

export const taskDefinitionRows = payloadRows(tableNames(taskDefinitions));
export const runInfoRows = payloadRows(tableNames(lrpRunInfos));

function payloadRows(names: { table: string; columns: string[] }): RowCodec<PayloadRow> {
  return {
    ...names,
    keyColumns: names.columns.slice(0, 1),
    write: (row, codec) => `${sqlString(row.guid)},${codec.writeBytes(row.payload, placeOf(names.table, [row.guid]))}`,
    key: (row) => [sqlString(row.guid)],
    read(cells, reading) {
      const guid = textCell(cells[0]);
      return { guid, payload: reading.codec.readBytes(bytesCell(cells[1]), placeOf(names.table, [guid])) };
    },
  };
}
