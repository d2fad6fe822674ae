import { NetInfo } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { PlacementObstacle } from '@rivera/gen/rivera/bbs/v1/placement';
import { placeOf } from '../../database/detail-codec.js';
import { actualLrps } from '../../database/schema.js';
import { sqlBoolean, sqlInteger, sqlString } from '../../database/sql-text.js';
import type { ActualLrpRow, CrashRecord } from '../core/model.js';
import {
  type Detail,
  entriesMember,
  hasMembers,
  listMember,
  numberMember,
  readDocument,
  readMessage,
  textMember,
  writeDocument,
  writeMessage,
} from './detail.js';
import { booleanCell, bytesCell, numberCell, type RowCodec, tableNames, textCell } from './row-codec.js';

const names = tableNames(actualLrps);

/** The hot one: each transition of each instance writes such a row. */
export const actualLrpRows: RowCodec<ActualLrpRow> = {
  ...names,
  keyColumns: ['process_guid', 'instance_index', 'generation'],

  write: (row, codec) =>
    `${sqlString(row.processGuid)},${sqlInteger(row.index)},${sqlString(row.generation)},${sqlInteger(row.presence)},` +
    `${sqlString(row.domain)},${sqlInteger(row.state)},${sqlString(row.instanceGuid)},${sqlString(row.cellId)},` +
    `${sqlInteger(row.sinceMs)},${sqlInteger(row.startedAtMs)},${sqlInteger(row.crashCount)},` +
    `${sqlInteger(row.nextRestartAtMs)},${sqlBoolean(row.retired)},${sqlBoolean(row.routable)},${sqlString(row.tagEpoch)},` +
    `${sqlInteger(row.tagIndex)},${codec.writeText(writeDetail(row), placeOf(names.table, [row.processGuid, row.index, row.generation]))}`,

  key: (row) => [sqlString(row.processGuid), sqlInteger(row.index), sqlString(row.generation)],

  read(cells, reading) {
    const detail = readDocument(
      reading.codec.readText(
        bytesCell(cells[16]),
        placeOf(names.table, [textCell(cells[0]), numberCell(cells[1]), textCell(cells[2])]),
      ),
    );
    return {
      processGuid: reading.shared(textCell(cells[0])),
      index: numberCell(cells[1]),
      generation: textCell(cells[2]),
      presence: numberCell(cells[3]),
      domain: reading.shared(textCell(cells[4])),
      state: numberCell(cells[5]),
      instanceGuid: textCell(cells[6]),
      cellId: reading.shared(textCell(cells[7])),
      sinceMs: numberCell(cells[8]),
      startedAtMs: numberCell(cells[9]),
      crashCount: numberCell(cells[10]),
      crashReason: textMember(detail.crashReason),
      crashes: listMember(detail.crashes).map(readCrash),
      placementError: textMember(detail.placementError),
      obstacles: listMember(detail.obstacles).map((stored) => readMessage(PlacementObstacle, stored)),
      nextRestartAtMs: numberCell(cells[11]),
      retired: booleanCell(cells[12]),
      routable: booleanCell(cells[13]),
      availabilityZone: reading.shared(textMember(detail.zone)),
      netInfo: detail.netInfo === undefined ? undefined : readMessage(NetInfo, detail.netInfo),
      internalRoutes: listMember(detail.internalRoutes).map(textMember),
      metricTags: Object.fromEntries(
        entriesMember(detail.metricTags).map(([name, value]) => [name, textMember(value)]),
      ),
      tagEpoch: textCell(cells[14]),
      tagIndex: numberCell(cells[15]),
    };
  },
};

function writeDetail(row: ActualLrpRow): string {
  const detail: Detail = {};
  if (row.crashReason !== '') detail.crashReason = row.crashReason;
  if (row.crashes.length > 0) detail.crashes = row.crashes;
  if (row.placementError !== '') detail.placementError = row.placementError;
  if (row.obstacles.length > 0) detail.obstacles = row.obstacles.map((each) => writeMessage(PlacementObstacle, each));
  if (row.availabilityZone !== '') detail.zone = row.availabilityZone;
  if (row.netInfo !== undefined) detail.netInfo = writeMessage(NetInfo, row.netInfo);
  if (row.internalRoutes.length > 0) detail.internalRoutes = row.internalRoutes;
  if (hasMembers(row.metricTags)) detail.metricTags = row.metricTags;
  return writeDocument(detail);
}

function readCrash(stored: unknown): CrashRecord {
  const crash = Object.fromEntries(entriesMember(stored));
  return {
    atMs: numberMember(crash.atMs),
    reason: textMember(crash.reason),
    cellId: textMember(crash.cellId),
    instanceGuid: textMember(crash.instanceGuid),
    uptimeMs: numberMember(crash.uptimeMs),
  };
}
