import { RestartPolicy } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import { WorkRequirements } from '@rivera/gen/rivera/bbs/v1/placement';
import { MetricTagValue } from '@rivera/gen/rivera/recipe/v1/container';
import { placeOf } from '../../database/detail-codec.js';
import { desiredLrps } from '../../database/schema.js';
import { sqlInteger, sqlString } from '../../database/sql-text.js';
import type { DesiredLrpRow } from '../core/model.js';
import {
  type Detail,
  entriesMember,
  hasMembers,
  readDocument,
  readMessage,
  textMember,
  writeDocument,
  writeMessage,
} from './detail.js';
import { bytesCell, numberCell, type RowCodec, tableNames, textCell } from './row-codec.js';

const names = tableNames(desiredLrps);

export const desiredLrpRows: RowCodec<DesiredLrpRow> = {
  ...names,
  keyColumns: ['process_guid'],

  write: (row, codec) =>
    `${sqlString(row.processGuid)},${sqlString(row.domain)},${sqlInteger(row.instances)},` +
    `${sqlInteger(row.updateStrategy)},${sqlString(row.tagEpoch)},${sqlInteger(row.tagIndex)},` +
    `${sqlInteger(row.createdAtMs)},${sqlString(row.definitionDigest)},${codec.writeText(writeDetail(row), placeOf(names.table, [row.processGuid]))}`,

  key: (row) => [sqlString(row.processGuid)],

  read(cells, reading) {
    const detail = readDocument(
      reading.codec.readText(bytesCell(cells[8]), placeOf(names.table, [textCell(cells[0])])),
    );
    return {
      processGuid: textCell(cells[0]),
      domain: reading.shared(textCell(cells[1])),
      instances: numberCell(cells[2]),
      logGuid: textMember(detail.logGuid),
      requirements: readMessage(WorkRequirements, detail.requirements),
      routes: Object.fromEntries(entriesMember(detail.routes).map(([name, value]) => [name, textMember(value)])),
      annotation: textMember(detail.annotation),
      metricTags: Object.fromEntries(
        entriesMember(detail.metricTags).map(([name, value]) => [name, readMessage(MetricTagValue, value)]),
      ),
      updateStrategy: numberCell(cells[3]),
      restartPolicy: detail.restartPolicy === undefined ? undefined : readMessage(RestartPolicy, detail.restartPolicy),
      tagEpoch: textCell(cells[4]),
      tagIndex: numberCell(cells[5]),
      createdAtMs: numberCell(cells[6]),
      definitionDigest: textCell(cells[7]),
    };
  },
};

function writeDetail(row: DesiredLrpRow): string {
  const detail: Detail = { requirements: writeMessage(WorkRequirements, row.requirements) };
  if (row.logGuid !== '') detail.logGuid = row.logGuid;
  if (row.annotation !== '') detail.annotation = row.annotation;
  if (hasMembers(row.routes)) detail.routes = row.routes;
  if (hasMembers(row.metricTags)) {
    detail.metricTags = Object.fromEntries(
      Object.entries(row.metricTags).map(([name, value]) => [name, writeMessage(MetricTagValue, value)]),
    );
  }
  if (row.restartPolicy !== undefined) detail.restartPolicy = writeMessage(RestartPolicy, row.restartPolicy);
  return writeDocument(detail);
}
