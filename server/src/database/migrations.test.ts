import { getTableColumns, getTableName } from 'drizzle-orm';
import { getTableConfig, type MySqlTable } from 'drizzle-orm/mysql-core';
import { describe, expect, it } from 'vitest';
import { MigrationGuard } from './migration-guard.js';
import { MIGRATIONS, type Migration } from './migration-list.js';
import { DatabaseTooNewError, migrate } from './migrations.js';
import { ALL_TABLES } from './schema.js';
import { ContendedDatabase, useTestDatabase } from './testing.js';

const test = useTestDatabase({ migrated: false });

async function tables(): Promise<string[]> {
  const rows = await test.database.query<{ name: string }[]>(
    'SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE()',
  );
  return rows.map((row) => row.name).sort();
}

async function empty(): Promise<void> {
  for (const name of await tables()) await test.database.query('DROP TABLE ??', [name]);
}

/** The columns, keys and indexes that schema.ts promises, in the words of information_schema. */
function promised(table: MySqlTable) {
  const config = getTableConfig(table);
  const ownKey = config.columns.filter((column) => column.primary).map((column) => column.name);
  const jointKey = config.primaryKeys.flatMap((key) => key.columns.map((column) => column.name));
  return {
    columns: Object.values(getTableColumns(table)).map((column) => ({
      name: column.name,
      type: column.getSQLType() === 'boolean' ? 'tinyint(1)' : column.getSQLType(),
      nullable: column.notNull ? 'NO' : 'YES',
    })),
    key: [...ownKey, ...jointKey],
    indexes: config.indexes.map((each) => each.config.name),
  };
}

async function found(name: string) {
  const columns = await test.database.query<{ name: string; type: string; nullable: string }[]>(
    `SELECT column_name AS name, column_type AS type, is_nullable AS nullable FROM information_schema.columns
     WHERE table_schema = DATABASE() AND table_name = ? ORDER BY ordinal_position`,
    [name],
  );
  const indexes = await test.database.query<{ name: string; column: string }[]>(
    `SELECT index_name AS name, column_name AS \`column\` FROM information_schema.statistics
     WHERE table_schema = DATABASE() AND table_name = ? ORDER BY index_name, seq_in_index`,
    [name],
  );
  return {
    // MariaDB adds display widths to whole numbers, MySQL 8 doesn't; only tinyint(1) means something.
    columns: columns.map((row) => ({
      ...row,
      type: row.type.replace(/^(bigint|int|smallint|tinyint)\((?!1\))\d+\)/, '$1'),
    })),
    key: indexes.filter((row) => row.name === 'PRIMARY').map((row) => row.column),
    indexes: [...new Set(indexes.map((row) => row.name))].filter((each) => each !== 'PRIMARY'),
  };
}

describe('migrations', () => {
  it('are numbered without gaps', () => {
    expect(MIGRATIONS.map((migration) => migration.version)).toEqual(MIGRATIONS.map((_, position) => position + 1));
  });

  it('lead to the schema of schema.ts, and to nothing else', async () => {
    await empty();
    expect(await migrate(test.database)).toEqual({ from: 0, to: MIGRATIONS.length });
    expect(await tables()).toEqual(ALL_TABLES.map((table) => getTableName(table)).sort());
    for (const table of ALL_TABLES) {
      expect({ table: getTableName(table), ...(await found(getTableName(table))) }).toEqual({
        table: getTableName(table),
        ...promised(table),
      });
    }
  });

  it('have nothing to do the second time', async () => {
    await migrate(test.database);
    const steps: number[] = [];
    await migrate(test.database, { onStep: (step) => steps.push(step.version) });
    expect(steps).toEqual([]);
  });

  it('are made once when several start at the same time', async () => {
    await empty();
    const steps: number[] = [];
    const starters = Array.from({ length: 4 }, () => test.connect({ connections: 1 }));
    const results = await Promise.all(
      starters.map((database) => migrate(database, { onStep: (step) => steps.push(step.version) })),
    );
    expect(steps).toEqual(MIGRATIONS.map((migration) => migration.version));
    expect(results.filter((result) => result.from === 0)).toHaveLength(1);
  });

  it('go on where the server undoes each statement once, as a cluster may while others migrate', async () => {
    await empty();
    const contended = new ContendedDatabase({ url: test.url });
    try {
      expect(await migrate(contended)).toEqual({ from: 0, to: MIGRATIONS.length });
      expect(contended.conflicts).toBeGreaterThan(MIGRATIONS.length);
    } finally {
      await contended.close();
    }
    expect(await migrate(test.database)).toEqual({ from: MIGRATIONS.length, to: MIGRATIONS.length });
  });

  it('are taken up again where a starter died half-way', async () => {
    await empty();
    const broken: Migration[] = MIGRATIONS.map((migration) => ({
      ...migration,
      statements: [...migration.statements.slice(0, 3), 'SELECT * FROM no_such_table'],
    }));
    await expect(migrate(test.database, { migrations: broken })).rejects.toThrow('no_such_table');
    expect(await migrate(test.database)).toEqual({ from: 0, to: MIGRATIONS.length });
    expect(await tables()).toHaveLength(ALL_TABLES.length);
  });

  it('give up on a starter that never ends, with a clear message', async () => {
    await empty();
    await test.database.withConnection(async (connection) => {
      const guard = new MigrationGuard(test.database, connection);
      await guard.take(0);
      const impatient = migrate(test.connect(), { lockTimeoutMs: 100 });
      await expect(impatient).rejects.toThrow('another program has been migrating');
      await guard.release();
      expect(await migrate(test.connect())).toMatchObject({ from: 0 });
    });
  });

  it('pass over a starter that died, when its time is up', async () => {
    await empty();
    await test.database.withConnection((connection) => new MigrationGuard(test.database, connection).take(0));
    const next = test.connect();
    await expect(migrate(next, { lockTimeoutMs: 0 })).rejects.toThrow('another program has been migrating');
    await test.database.query('UPDATE schema_guard SET expires_at_ms = expires_at_ms - 60000');
    expect(await migrate(next)).toMatchObject({ from: 0 });
  });

  it('stop a starter that slept until another one had taken over', async () => {
    await empty();
    await test.database.withConnection(async (connection) => {
      const sleeper = new MigrationGuard(test.database, connection);
      await sleeper.take(0);
      await test.database.query('UPDATE schema_guard SET expires_at_ms = 0');
      await test.database.withConnection((other) => new MigrationGuard(test.database, other).take(0));
      await expect(sleeper.renew()).rejects.toThrow('another program took over');
      await sleeper.release();
      expect(await test.database.query('SELECT owner <> ? AS held FROM schema_guard', [''])).toEqual([{ held: 1 }]);
    });
  });

  it('refuse a database that a later program has written', async () => {
    await empty();
    await migrate(test.database);
    await test.database.query('INSERT INTO schema_version VALUES (?, 0)', [MIGRATIONS.length + 1]);
    const failure = migrate(test.database);
    await expect(failure).rejects.toThrow(DatabaseTooNewError);
    await expect(failure).rejects.toThrow(`schema version ${MIGRATIONS.length + 1}`);
  });
});
