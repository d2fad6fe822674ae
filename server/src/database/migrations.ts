import { MigrationGuard } from './migration-guard.js';
import { MIGRATIONS, type Migration } from './migration-list.js';
import type { Database } from './pool.js';
import { Statements } from './statements.js';

export interface MigrateOptions {
  /** How long to wait for another starter that migrates; default 60 s. */
  lockTimeoutMs?: number;
  /** Told of each step before it is made. */
  onStep?: (migration: Migration) => void;
  /** For tests. */
  migrations?: readonly Migration[];
}

/** The database was written by a later program. */
export class DatabaseTooNewError extends Error {
  constructor(
    readonly found: number,
    readonly supported: number,
  ) {
    super(
      `the database has schema version ${found}, but this program knows only versions up to ${supported}: ` +
        'run the newer Rivera, or restore a backup from before its first start',
    );
    this.name = 'DatabaseTooNewError';
  }
}

/**
 * Brings the database to the newest schema, step by step, forward only. Two starters at once are held apart, also on two nodes of a
 * cluster; who comes second finds nothing to do.
 * @throws DatabaseTooNewError when the database is ahead of the program
 */
export async function migrate(database: Database, options: MigrateOptions = {}): Promise<{ from: number; to: number }> {
  const migrations = options.migrations ?? MIGRATIONS;
  const newest = migrations.at(-1)?.version ?? 0;
  return database.withConnection(async (connection) => {
    const statements = new Statements(database, connection);
    // The usual start: nothing to do, and no reason to stand in line.
    const found = await readVersion(statements);
    if (found > newest) throw new DatabaseTooNewError(found, newest);
    if (found === newest) return { from: found, to: found };
    const guard = new MigrationGuard(database, connection);
    await guard.take(options.lockTimeoutMs ?? 60_000);
    const migrated = await migrateGuarded(statements, guard, migrations, options.onStep).catch(
      async (error: unknown) => {
        // On a connection that failed this fails as well, and the guard expires by itself: what went wrong before is what counts.
        await guard.release().catch(() => undefined);
        throw error;
      },
    );
    await guard.release();
    return migrated;
  });
}

async function migrateGuarded(
  statements: Statements,
  guard: MigrationGuard,
  migrations: readonly Migration[],
  onStep: MigrateOptions['onStep'],
): Promise<{ from: number; to: number }> {
  await statements.run(
    'CREATE TABLE IF NOT EXISTS schema_version (version SMALLINT NOT NULL, migrated_at_ms BIGINT NOT NULL, PRIMARY KEY (version)) ' +
      'ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin',
  );
  const newest = migrations.at(-1)?.version ?? 0;
  // Looked at again: another starter may have migrated while this one waited for the guard.
  const found = await readVersion(statements);
  if (found > newest) throw new DatabaseTooNewError(found, newest);
  for (const migration of migrations) {
    if (migration.version <= found) continue;
    onStep?.(migration);
    for (const statement of migration.statements) {
      await guard.renew();
      await statements.run(statement);
    }
    await guard.renew();
    await statements.run(
      'INSERT IGNORE INTO schema_version (version, migrated_at_ms) VALUES (?, FLOOR(UNIX_TIMESTAMP(NOW(6)) * 1000))',
      [migration.version],
    );
  }
  return { from: found, to: newest };
}

/** 0 for a database without a schema. */
async function readVersion(statements: Statements): Promise<number> {
  const tables = await statements.rows(
    "SELECT 1 FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'schema_version'",
  );
  if (tables.length === 0) return 0;
  const rows = await statements.rows('SELECT COALESCE(MAX(version), 0) FROM schema_version');
  return Number(rows[0]?.[0] ?? 0);
}
