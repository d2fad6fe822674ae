import type { PoolConnection } from 'mysql2/promise';
import { repeatOnConflict } from './conflicts.js';
import { classifyDatabaseError, isDatabaseError } from './errors.js';
import type { Database } from './pool.js';

export interface TransactionOptions {
  /** How often to try when other transactions are in the way; default 5. */
  attempts?: number;
}

/**
 * Runs `body` between BEGIN and COMMIT, again from its start when the server undid it in favour of another transaction. A connection on
 * which anything failed is destroyed, which makes the server roll back; it is never lent out again. When this throws a database error
 * of the class `transient`, the transaction may have been committed.
 */
export function withTransaction<T>(
  database: Database,
  body: (connection: PoolConnection) => Promise<T>,
  options: TransactionOptions = {},
): Promise<T> {
  return withConflictRetries(database, (connection) => once(database, connection, body), options);
}

/** The same for work that begins and ends its transaction itself, and leaves none behind that failed for a reason of its own. */
export function withConflictRetries<T>(
  database: Database,
  work: (connection: PoolConnection) => Promise<T>,
  options: TransactionOptions = {},
): Promise<T> {
  return repeatOnConflict(() => database.withConnection(work), options.attempts);
}

async function once<T>(
  database: Database,
  connection: PoolConnection,
  body: (connection: PoolConnection) => Promise<T>,
): Promise<T> {
  await begin(database, connection);
  let result: T;
  try {
    result = await body(connection);
  } catch (error) {
    // The body's own verdict: the connection is fine, the transaction must go. A failing rollback destroys the connection.
    if (!isDatabaseError(error)) await database.run(connection, 'ROLLBACK');
    throw error;
  }
  await database.run(connection, 'COMMIT');
  return result;
}

/** A node of a cluster could not get what the others have committed. */
export class NodeBehindError extends Error {
  readonly code = 'NODE_BEHIND';
  override name = 'NodeBehindError';
}

/**
 * A node of a cluster begins when it has everything that was committed before. Where it gives up on that, it says that a lock was
 * not to be had: no conflict with anybody, and another try here would wait as long again.
 */
export async function begin(database: Database, connection: PoolConnection): Promise<void> {
  try {
    await database.run(connection, 'START TRANSACTION');
  } catch (cause) {
    if (classifyDatabaseError(cause) !== 'conflict') throw cause;
    throw new NodeBehindError('this node of the database is behind the others', { cause });
  }
}

/**
 * A connection on which everything that is read comes from one moment. For reading only; the caller destroys it.
 * The reader may pause for up to a minute before the server gives up on it.
 */
export async function openSnapshot(database: Database): Promise<PoolConnection> {
  const connection = await database.connection();
  try {
    await database.run(connection, 'SET SESSION wait_timeout = 60');
    await database.run(connection, 'SET TRANSACTION ISOLATION LEVEL REPEATABLE READ');
    await database.run(connection, 'START TRANSACTION WITH CONSISTENT SNAPSHOT');
    return connection;
  } catch (error) {
    connection.destroy();
    throw error;
  }
}
