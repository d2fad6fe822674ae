import type { PoolConnection } from 'mysql2/promise';
import { repeatOnConflict } from './conflicts.js';
import type { Database } from './pool.js';

/**
 * Statements on one connection, each a transaction of its own: one that the server undid in favour of somebody else's is made again.
 * In a cluster a change of a table ends so whatever uses the table at that moment, on every node.
 */
export class Statements {
  constructor(
    private readonly database: Database,
    private readonly connection: PoolConnection,
  ) {}

  run<T>(sql: string, values?: unknown[]): Promise<T> {
    return repeatOnConflict(() => this.database.run<T>(this.connection, sql, values));
  }

  /** Rows come as arrays. */
  rows(sql: string, values?: unknown[]): Promise<unknown[][]> {
    return repeatOnConflict(() => this.database.rows(this.connection, sql, values));
  }
}
