import { MAX_IDENTIFIER_BYTES } from '../../database/schema.js';
import { type JournalBatch, JournalError } from './journal.js';

/** Columns of counts are INT. */
const MAX_COUNT = 2 ** 31 - 1;

/**
 * What the memory journal refuses because a database would: identifiers that don't fit their column, counts that don't fit an INT,
 * numbers that are no whole ones.
 * @throws JournalError `rejected`
 */
export function assertStorable(batch: JournalBatch): void {
  for (const row of batch.tasks.values()) {
    if (row === null) continue;
    identifiers(row.guid, row.domain, row.cellId, row.executionGuid, row.definitionDigest);
    counts(row.rejectionCount, row.callbackAttempts);
    integers(row.createdAtMs, row.updatedAtMs, row.firstCompletedAtMs, row.nextAttemptAtMs, row.nextCallbackAtMs);
  }
  for (const row of batch.desiredLrps.values()) {
    if (row === null) continue;
    identifiers(row.processGuid, row.domain, row.tagEpoch, row.definitionDigest);
    counts(row.instances);
    integers(row.tagIndex, row.createdAtMs);
  }
  for (const { row } of batch.actualLrps.values()) {
    identifiers(row.processGuid, row.generation, row.domain, row.instanceGuid, row.cellId, row.tagEpoch);
    counts(row.index, row.crashCount);
    integers(row.sinceMs, row.startedAtMs, row.nextRestartAtMs, row.tagIndex);
  }
  for (const row of batch.domains.values()) {
    if (row === null) continue;
    identifiers(row.domain);
    integers(row.expiresAtMs);
  }
  for (const row of batch.cells.values()) {
    if (row === null) continue;
    identifiers(row.cellId, row.incarnation);
    integers(row.sinceMs);
  }
  identifiers(...batch.taskDefinitions.keys(), ...batch.runInfos.keys());
}

function identifiers(...texts: string[]): void {
  for (const text of texts) {
    if (text.length * 3 > MAX_IDENTIFIER_BYTES && Buffer.byteLength(text) > MAX_IDENTIFIER_BYTES) {
      throw new JournalError(
        'rejected',
        `an identifier has more than ${MAX_IDENTIFIER_BYTES} bytes: ${text.slice(0, 80)}…`,
      );
    }
  }
}

function counts(...values: number[]): void {
  integers(...values);
  for (const value of values) {
    if (Math.abs(value) > MAX_COUNT) throw new JournalError('rejected', `${value} does not fit a count's column`);
  }
}

function integers(...values: number[]): void {
  for (const value of values) {
    if (!Number.isSafeInteger(value)) throw new JournalError('rejected', `${value} is not a whole number`);
  }
}
