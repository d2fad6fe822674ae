import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PoolConnection } from 'mysql2/promise';
import type { Database } from './pool.js';
import { Statements } from './statements.js';

/** Pause between two tries to take the guard. */
const RETRY_MS = 200;
/** What a holder may take beyond its statement. */
const MARGIN_MS = 5_000;
const NOW_MS = 'CAST(FLOOR(UNIX_TIMESTAMP(NOW(6)) * 1000) AS SIGNED)';

/** Somebody else migrates, and has not come to an end. */
export class MigrationGuardError extends Error {
  override name = 'MigrationGuardError';
}

/**
 * Holds starters apart that would migrate one database at the same time. A lease in a row, as the named locks of MySQL belong to one
 * server each and hold nobody apart in a cluster, and as the locks of rows end with every change of a table. The holder renews it
 * before each statement for longer than that may take, so nobody takes it over while one is under way; that of a holder which died
 * is free after `ttlMs`. Like all leases it is judged by the clocks of the database's servers.
 */
export class MigrationGuard {
  private readonly owner = randomBytes(12).toString('hex');
  private readonly statements: Statements;
  readonly ttlMs: number;

  constructor(database: Database, connection: PoolConnection) {
    this.statements = new Statements(database, connection);
    this.ttlMs = database.queryTimeoutMs + MARGIN_MS;
  }

  /** @throws MigrationGuardError when others have held it for `timeoutMs` */
  async take(timeoutMs: number): Promise<void> {
    await this.statements.run(
      'CREATE TABLE IF NOT EXISTS schema_guard (id TINYINT NOT NULL, owner VARBINARY(1020) NOT NULL, expires_at_ms BIGINT NOT NULL, ' +
        'PRIMARY KEY (id)) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin',
    );
    const deadline = performance.now() + timeoutMs;
    while (!(await this.tryToTake())) {
      if (performance.now() >= deadline) {
        throw new MigrationGuardError(`another program has been migrating this database for over ${timeoutMs} ms`);
      }
      await sleep(RETRY_MS);
    }
  }

  /** Before each statement. @throws MigrationGuardError when another one has taken the guard over */
  async renew(): Promise<void> {
    const renewed = await this.statements.run<{ affectedRows: number }>(
      `UPDATE schema_guard SET expires_at_ms = ${NOW_MS} + ? WHERE id = 1 AND owner = ?`,
      [this.ttlMs, this.owner],
    );
    if (renewed.affectedRows !== 1) {
      throw new MigrationGuardError(
        'another program took over the migration of this database, as this one was away for too long',
      );
    }
  }

  async release(): Promise<void> {
    await this.statements.run("UPDATE schema_guard SET owner = '', expires_at_ms = 0 WHERE id = 1 AND owner = ?", [
      this.owner,
    ]);
  }

  private async tryToTake(): Promise<boolean> {
    await this.statements.run("INSERT IGNORE INTO schema_guard (id, owner, expires_at_ms) VALUES (1, '', 0)");
    // Where two nodes of a cluster give it away at once, one of the two is undone, and finds it taken when it looks again.
    const taken = await this.statements.run<{ affectedRows: number }>(
      `UPDATE schema_guard SET owner = ?, expires_at_ms = ${NOW_MS} + ? WHERE id = 1 AND expires_at_ms <= ${NOW_MS}`,
      [this.owner, this.ttlMs],
    );
    return taken.affectedRows === 1;
  }
}
