/**
 * What a failure of the database means to the caller.
 *
 * - `conflict`: the server undid the transaction in favour of another one; running it again as a whole is right.
 * - `transient`: the server could not be asked, or its answer was lost. What was asked may or may not have happened.
 * - `rejected`: the server refused the content (too long, out of range, duplicate). Repeating it is pointless.
 * - `fatal`: the database is not the one that the program expects (no such table, access denied). Somebody has to look.
 */
export type DatabaseErrorClass = 'conflict' | 'transient' | 'rejected' | 'fatal';

/** Deadlock, lock wait timeout, changed since read (MariaDB snapshot isolation), TiDB write conflicts. */
const CONFLICTS: ReadonlySet<number> = new Set([1213, 1205, 1020, 8002, 8022, 9007]);

/** Duplicate key, null, unknown character, truncated, out of range, too long, packet too large, check failed, and their like. */
const REJECTIONS: ReadonlySet<number> = new Set([
  1022, 1048, 1062, 1118, 1136, 1153, 1162, 1264, 1265, 1292, 1300, 1364, 1366, 1367, 1406, 1411, 1690, 3140, 3819,
  4025,
]);

/** Unknown database, table or column, syntax, access denied, missing privilege, unknown variable. */
const FATALS: ReadonlySet<number> = new Set([
  1044, 1045, 1049, 1054, 1064, 1103, 1109, 1142, 1143, 1146, 1149, 1193, 1227, 1231, 1251, 1698,
]);

/** True for errors that come from the driver or the server, and not from the code that ran inside a transaction. */
export function isDatabaseError(error: unknown): error is Error {
  // The driver marks its own errors `fatal`; the server's and the system's carry a code in letters.
  return error instanceof Error && ('fatal' in error || ('code' in error && typeof error.code === 'string'));
}

/** Everything not known to be the content's or the set-up's fault counts as `transient`: the careful reading. */
export function classifyDatabaseError(error: unknown): DatabaseErrorClass {
  const errno = error instanceof Error && 'errno' in error ? error.errno : undefined;
  if (typeof errno === 'number') {
    if (CONFLICTS.has(errno)) return 'conflict';
    if (REJECTIONS.has(errno)) return 'rejected';
    if (FATALS.has(errno)) return 'fatal';
  }
  return 'transient';
}
