import type { DetailCodec } from '../../database/detail-codec.js';
import { sqlString } from '../../database/sql-text.js';
import { actualLrpRows } from './actual-lrp-rows.js';
import { type BulkLimits, deleteStatements, upsertStatements } from './bulk-statements.js';
import { cellRows, domainRows } from './cell-rows.js';
import { desiredLrpRows } from './desired-lrp-rows.js';
import type { ActualLrpChange, JournalBatch } from './journal.js';
import { runInfoRows, taskDefinitionRows } from './payload-rows.js';
import type { RowCodec } from './row-codec.js';
import { taskRows } from './task-rows.js';

/** All statements of a batch, made as they are asked for. Every kind's deletions go before its upserts. */
export function* batchStatements(batch: JournalBatch, codec: DetailCodec, limits: BulkLimits): Generator<string> {
  yield* keyed(taskRows, batch.tasks, codec, limits);
  yield* payloads(taskDefinitionRows, batch.taskDefinitions, codec, limits);
  yield* keyed(desiredLrpRows, batch.desiredLrps, codec, limits);
  yield* payloads(runInfoRows, batch.runInfos, codec, limits);
  if (batch.actualLrps.size > 0) {
    yield* deleteStatements(actualLrpRows, deletedActualLrps(batch.actualLrps.values()));
    yield* upsertStatements(actualLrpRows, keptActualLrps(batch.actualLrps.values()), codec, limits);
  }
  yield* keyed(domainRows, batch.domains, codec, limits);
  yield* keyed(cellRows, batch.cells, codec, limits);
}

function* keyed<Row>(
  rows: RowCodec<Row>,
  changes: ReadonlyMap<string, Row | null>,
  codec: DetailCodec,
  limits: BulkLimits,
): Generator<string> {
  if (changes.size === 0) return;
  yield* deleteStatements(rows, deletedKeys(changes));
  yield* upsertStatements(rows, kept(changes), codec, limits);
}

function* payloads(
  rows: typeof runInfoRows,
  changes: ReadonlyMap<string, Uint8Array | null>,
  codec: DetailCodec,
  limits: BulkLimits,
): Generator<string> {
  if (changes.size === 0) return;
  yield* deleteStatements(rows, deletedKeys(changes));
  yield* upsertStatements(rows, keptPayloads(changes), codec, limits);
}

function* deletedKeys(changes: ReadonlyMap<string, unknown>): Generator<string[]> {
  for (const [key, change] of changes) if (change === null) yield [sqlString(key)];
}

function* kept<Row>(changes: ReadonlyMap<string, Row | null>): Generator<Row> {
  for (const change of changes.values()) if (change !== null) yield change;
}

function* keptPayloads(changes: ReadonlyMap<string, Uint8Array | null>) {
  for (const [guid, payload] of changes) if (payload !== null) yield { guid, payload };
}

function* deletedActualLrps(changes: Iterable<ActualLrpChange>): Generator<string[]> {
  for (const change of changes) if (change.deleted) yield actualLrpRows.key(change.row);
}

function* keptActualLrps(changes: Iterable<ActualLrpChange>) {
  for (const change of changes) if (!change.deleted) yield change.row;
}
