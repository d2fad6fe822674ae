import { createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { classifyDatabaseError } from './errors.js';
import { Database, parseDatabaseUrl } from './pool.js';
import { ContendedDatabase, useTestDatabase } from './testing.js';
import { withTransaction } from './transaction.js';

const test = useTestDatabase({ migrated: false });

async function table(name: string): Promise<void> {
  await test.database.query('CREATE TABLE ?? (id INT PRIMARY KEY, short VARCHAR(3) NOT NULL) ENGINE=InnoDB', [name]);
}

async function failureOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => undefined,
    (error: unknown) => error,
  );
}

describe('a database URL', () => {
  it('names host, port, user and database, percent-encoded', () => {
    expect(parseDatabaseUrl('mysql://us%40er:p%2Fw@db.example:3307/rivera')).toEqual({
      user: 'us@er',
      password: 'p/w',
      host: 'db.example',
      port: 3307,
      database: 'rivera',
      multipleStatements: true,
    });
  });

  it('may name a unix socket instead', () => {
    expect(parseDatabaseUrl('mysql://root@localhost/x?socketPath=%2Frun%2Fdb.sock')).toMatchObject({
      socketPath: '/run/db.sock',
      database: 'x',
    });
  });

  it('may say that only one statement at a time is to be sent', () => {
    expect(parseDatabaseUrl('mysql://root@db/x?multipleStatements=off')).toMatchObject({ multipleStatements: false });
  });

  it.each([
    ['nonsense', 'is not a URL'],
    ['postgres://a@b/c', 'begins with "postgres://"'],
    ['mysql://a@b/c?sockets=1', 'unknown parameter "sockets"; known: socketPath'],
  ])('is refused when it reads %s', (url, message) => {
    expect(() => parseDatabaseUrl(url)).toThrow(message);
  });
});

describe('a connection', () => {
  it('is strict, in UTC, READ COMMITTED, impatient with locks and with silence', async () => {
    const rows = await test.database.query<Record<string, unknown>[]>(
      `SELECT @@sql_mode AS mode, @@time_zone AS zone, @@innodb_lock_wait_timeout AS patience, @@wait_timeout AS silence,
       @@character_set_connection AS charset`,
    );
    expect(rows[0]).toMatchObject({ zone: '+00:00', patience: 5, silence: 10, charset: 'utf8mb4' });
    expect(rows[0]?.mode).toContain('STRICT_ALL_TABLES');
    expect(rows[0]?.mode).not.toContain('NO_BACKSLASH_ESCAPES');
    expect(await test.database.query("SHOW VARIABLES LIKE 'tx_isolation'")).toEqual([
      { Variable_name: 'tx_isolation', Value: 'READ-COMMITTED' },
    ]);
  });

  it('refuses what it can not hold instead of cutting it', async () => {
    await table('strict');
    const error = await failureOf(test.database.query("INSERT INTO strict VALUES (1, 'long')"));
    expect(classifyDatabaseError(error)).toBe('rejected');
  });

  it('gives up on a server that does not answer', async () => {
    const silent = createServer(() => undefined);
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const address = silent.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const database = new Database({ url: `mysql://x@127.0.0.1:${port}/x`, connectTimeoutMs: 200 });
    const error = await failureOf(database.query('SELECT 1'));
    expect(classifyDatabaseError(error)).toBe('transient');
    await database.close();
    await new Promise((resolve) => silent.close(resolve));
  });

  it('gives up on a statement that takes too long, and is not used again', async () => {
    const database = test.connect({ connections: 1, queryTimeoutMs: 200 });
    const first = await database.query<{ id: number }[]>('SELECT CONNECTION_ID() AS id');
    expect(classifyDatabaseError(await failureOf(database.query('SELECT SLEEP(20)')))).toBe('transient');
    const second = await database.query<{ id: number }[]>('SELECT CONNECTION_ID() AS id');
    expect(second[0]?.id).not.toBe(first[0]?.id);
  });

  it('that is wrongly set up is fatal, one that meets nobody is transient', async () => {
    expect(classifyDatabaseError(await failureOf(test.database.query('SELECT * FROM missing')))).toBe('fatal');
    const nowhere = new Database({ url: 'mysql://root@localhost/x?socketPath=/nowhere.sock' });
    expect(classifyDatabaseError(await failureOf(nowhere.query('SELECT 1')))).toBe('transient');
    await nowhere.close();
  });
});

describe('a statement on its own', () => {
  it('is made again when the server undid it in favour of another one', async () => {
    await table('alone');
    const contended = new ContendedDatabase({ url: test.url });
    try {
      await contended.query("INSERT INTO alone VALUES (1, 'a')");
      expect(await contended.queryRows('SELECT id, short FROM alone')).toEqual([[1, 'a']]);
      expect(contended.conflicts).toBe(2);
    } finally {
      await contended.close();
    }
  });
});

describe('a transaction', () => {
  it('is undone as a whole when its body throws, and the connection goes on', async () => {
    await table('undone');
    const database = test.connect({ connections: 1 });
    const failure = withTransaction(database, async (connection) => {
      await database.run(connection, "INSERT INTO undone VALUES (1, 'a')");
      throw new Error('changed my mind');
    });
    await expect(failure).rejects.toThrow('changed my mind');
    expect(await database.query('SELECT * FROM undone')).toEqual([]);
  });

  it('is run again from its start when it was the victim of a deadlock', async () => {
    await table('deadlock');
    await test.database.query("INSERT INTO deadlock VALUES (1, 'a'), (2, 'b')");
    let runs = 0;
    let arrived = 0;
    let open = () => {};
    const both = new Promise<void>((resolve) => {
      open = resolve;
    });
    const cross = (first: number, second: number) =>
      withTransaction(test.database, async (connection) => {
        runs += 1;
        await test.database.run(connection, "UPDATE deadlock SET short = CONCAT(LEFT(short, 1), 'x') WHERE id = ?", [
          first,
        ]);
        arrived += 1;
        if (arrived === 2) open();
        await both;
        await test.database.run(connection, "UPDATE deadlock SET short = CONCAT(LEFT(short, 1), 'y') WHERE id = ?", [
          second,
        ]);
      });
    await Promise.all([cross(1, 2), cross(2, 1)]);
    expect(runs).toBe(3);
  });

  it('is not run again for any other error', async () => {
    await table('once');
    let runs = 0;
    const error = await failureOf(
      withTransaction(test.database, async (connection) => {
        runs += 1;
        await test.database.run(connection, "INSERT INTO once VALUES (1, 'a'), (1, 'b')");
      }),
    );
    expect(classifyDatabaseError(error)).toBe('rejected');
    expect(runs).toBe(1);
  });

  it('loses its locks when its holder falls silent', async () => {
    await table('silent');
    await test.database.query("INSERT INTO silent VALUES (1, 'a')");
    const frozen = test.connect({ connections: 1, idleTransactionMs: 1000 });
    let thaw = () => {};
    const frost = new Promise<void>((resolve) => {
      thaw = resolve;
    });
    let locked = () => {};
    const holding = new Promise<void>((resolve) => {
      locked = resolve;
    });
    const late = failureOf(
      withTransaction(frozen, async (connection) => {
        await frozen.run(connection, "UPDATE silent SET short = 'old' WHERE id = 1");
        locked();
        await frost;
      }),
    );
    await holding;
    await test.database.query("UPDATE silent SET short = 'new' WHERE id = 1");
    thaw();
    expect(classifyDatabaseError(await late)).toBe('transient');
    expect(await test.database.query('SELECT short FROM silent')).toEqual([{ short: 'new' }]);
  });
});
