import type { PoolConnection } from 'mysql2/promise';
import type { Database } from '../../database/pool.js';
import { sqlInteger } from '../../database/sql-text.js';
import { JournalError } from './journal.js';

/** How far the only row of `bbs_term` has come. */
export interface Term {
  readonly epoch: number;
  /** Counts openings: two of the same epoch are two writers as well. */
  readonly opening: number;
  readonly revision: number;
}

/** @throws JournalError `unavailable` when there is no such row */
export async function readTerm(database: Database, connection: PoolConnection): Promise<Term> {
  const sql = 'SELECT epoch, opening, revision FROM bbs_term WHERE id = 1';
  const [term] = await database.run<Term[]>(connection, sql);
  if (term === undefined)
    throw new JournalError('unavailable', 'the database has no row in bbs_term; has it been migrated?');
  return term;
}

/**
 * Moves the term's revision forward and takes the row's lock. Where another epoch, opening or revision stands there, it fails with
 * `isFenceError`, as the column takes no NULL: an error, and not a count of rows, ends everything that was sent in one text with it.
 */
export function fenceStatement(from: Term, toRevision: number): string {
  const same =
    `epoch = ${sqlInteger(from.epoch)} AND opening = ${sqlInteger(from.opening)} ` +
    `AND revision = ${sqlInteger(from.revision)}`;
  return `UPDATE bbs_term SET revision = IF(${same}, ${sqlInteger(toRevision)}, NULL) WHERE id = 1`;
}

/** ER_BAD_NULL_ERROR. Rows that are written can cause it too: whoever meets it reads the term. */
export function isFenceError(error: unknown): boolean {
  return error instanceof Error && 'errno' in error && error.errno === 1048;
}

export function requireOpened(term: Term | undefined): Term {
  if (term === undefined) throw new JournalError('unavailable', 'the journal has not been opened');
  return term;
}

/** What a term begins with is read before its first commit, and by nobody else. */
export function requireSame(found: Term, expected: Term): void {
  if (found.epoch !== expected.epoch || found.opening !== expected.opening) throw fenced('another term has begun');
  if (found.revision !== expected.revision) throw new Error('a term is read before its first commit');
}

export function fenced(why: string): JournalError {
  return new JournalError('fenced', why);
}
