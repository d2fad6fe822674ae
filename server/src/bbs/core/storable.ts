import type { RowChange } from './draft.js';

/** What a column of identifiers holds. */
export const MAX_IDENTIFIER_BYTES = 1020;
/** Columns of counts are INT. */
const MAX_COUNT = 2 ** 31 - 1;

/**
 * Why no database could hold a row; undefined when one can. One row that is refused would take the whole batch with it, and
 * everybody else's changes: so nothing of this kind is let in.
 */
export function unstorable(change: RowChange): string | undefined {
  if (change.after === undefined) return undefined;
  switch (change.kind) {
    case 'task': {
      const row = change.after;
      return (
        identifiers(row.guid, row.domain, row.cellId, row.executionGuid, row.definitionDigest) ??
        counts(row.rejectionCount, row.callbackAttempts) ??
        integers(row.createdAtMs, row.updatedAtMs, row.firstCompletedAtMs, row.nextAttemptAtMs, row.nextCallbackAtMs) ??
        integers(row.callbackRetriedAtMs, row.callbackGivenUpAtMs)
      );
    }
    case 'desired-lrp': {
      const row = change.after;
      return (
        identifiers(row.processGuid, row.domain, row.tagEpoch, row.definitionDigest) ??
        counts(row.instances) ??
        integers(row.tagIndex, row.createdAtMs)
      );
    }
    case 'actual-lrp': {
      const row = change.after;
      return (
        identifiers(row.processGuid, row.generation, row.domain, row.instanceGuid, row.cellId, row.tagEpoch) ??
        counts(row.index, row.crashCount) ??
        integers(row.sinceMs, row.startedAtMs, row.nextRestartAtMs, row.tagIndex)
      );
    }
    case 'domain':
      return identifiers(change.after.domain) ?? integers(change.after.expiresAtMs);
    case 'cell':
      return identifiers(change.after.cellId, change.after.incarnation) ?? integers(change.after.sinceMs);
  }
}

/** Whether texts fit columns of identifiers. */
export function identifiers(...texts: string[]): string | undefined {
  for (const text of texts) {
    // A character has at most three bytes of UTF-8 per UTF-16 unit, so most texts need not be measured.
    if (text.length * 3 > MAX_IDENTIFIER_BYTES && utf8Bytes(text) > MAX_IDENTIFIER_BYTES) {
      return `an identifier has more than ${MAX_IDENTIFIER_BYTES} bytes: ${text.slice(0, 80)}…`;
    }
  }
  return undefined;
}

function counts(...values: number[]): string | undefined {
  for (const value of values) {
    if (Math.abs(value) > MAX_COUNT) return `${value} does not fit a count's column`;
  }
  return integers(...values);
}

function integers(...values: number[]): string | undefined {
  for (const value of values) {
    if (!Number.isSafeInteger(value)) return `${value} is not a whole number`;
  }
  return undefined;
}

function utf8Bytes(text: string): number {
  return new TextEncoder().encode(text).length;
}
