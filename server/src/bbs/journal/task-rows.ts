import { WorkRequirements } from '@rivera/gen/rivera/bbs/v1/placement';
import { placeOf } from '../../database/detail-codec.js';
import { tasks } from '../../database/schema.js';
import { sqlBoolean, sqlInteger, sqlString } from '../../database/sql-text.js';
import type { TaskRow } from '../core/model.js';
import {
  type Detail,
  numberMember,
  readDocument,
  readMessage,
  textMember,
  writeDocument,
  writeMessage,
} from './detail.js';
import { booleanCell, bytesCell, numberCell, type RowCodec, tableNames, textCell } from './row-codec.js';

const names = tableNames(tasks);

export const taskRows: RowCodec<TaskRow> = {
  ...names,
  keyColumns: ['guid'],

  write: (row, codec) =>
    `${sqlString(row.guid)},${sqlString(row.domain)},${sqlInteger(row.state)},${sqlInteger(row.createdAtMs)},` +
    `${sqlInteger(row.updatedAtMs)},${sqlInteger(row.firstCompletedAtMs)},${sqlString(row.cellId)},` +
    `${sqlString(row.executionGuid)},${sqlBoolean(row.failed)},${sqlInteger(row.rejectionCount)},` +
    `${sqlInteger(row.nextAttemptAtMs)},${sqlInteger(row.callbackAttempts)},${sqlInteger(row.nextCallbackAtMs)},` +
    `${sqlString(row.definitionDigest)},${codec.writeText(writeDetail(row), placeOf(names.table, [row.guid]))}`,

  key: (row) => [sqlString(row.guid)],

  read(cells, reading) {
    const detail = readDocument(
      reading.codec.readText(bytesCell(cells[14]), placeOf(names.table, [textCell(cells[0])])),
    );
    return {
      guid: textCell(cells[0]),
      domain: reading.shared(textCell(cells[1])),
      state: numberCell(cells[2]),
      createdAtMs: numberCell(cells[3]),
      updatedAtMs: numberCell(cells[4]),
      firstCompletedAtMs: numberCell(cells[5]),
      cellId: reading.shared(textCell(cells[6])),
      executionGuid: textCell(cells[7]),
      failed: booleanCell(cells[8]),
      failureReason: textMember(detail.failureReason),
      result: textMember(detail.result),
      rejectionCount: numberCell(cells[9]),
      rejectionReason: textMember(detail.rejectionReason),
      nextAttemptAtMs: numberCell(cells[10]),
      requirements: readMessage(WorkRequirements, detail.requirements),
      annotation: textMember(detail.annotation),
      callbackUrl: textMember(detail.callbackUrl),
      callbackAttempts: numberCell(cells[11]),
      nextCallbackAtMs: numberCell(cells[12]),
      callbackError: textMember(detail.callbackError),
      callbackRetriedAtMs: numberMember(detail.callbackRetriedAtMs),
      callbackGivenUpAtMs: numberMember(detail.callbackGivenUpAtMs),
      definitionDigest: textCell(cells[13]),
    };
  },
};

function writeDetail(row: TaskRow): string {
  const detail: Detail = { requirements: writeMessage(WorkRequirements, row.requirements) };
  if (row.failureReason !== '') detail.failureReason = row.failureReason;
  if (row.result !== '') detail.result = row.result;
  if (row.rejectionReason !== '') detail.rejectionReason = row.rejectionReason;
  if (row.annotation !== '') detail.annotation = row.annotation;
  if (row.callbackUrl !== '') detail.callbackUrl = row.callbackUrl;
  if (row.callbackError !== '') detail.callbackError = row.callbackError;
  if (row.callbackRetriedAtMs !== 0) detail.callbackRetriedAtMs = row.callbackRetriedAtMs;
  if (row.callbackGivenUpAtMs !== 0) detail.callbackGivenUpAtMs = row.callbackGivenUpAtMs;
  return writeDocument(detail);
}
