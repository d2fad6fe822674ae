import { once } from 'node:events';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { classifyDatabaseError } from './errors.js';
import { takesPart } from './host-watch.js';
import { DatabaseHosts, splitHosts } from './hosts.js';
import { Database, parseDatabaseUrl } from './pool.js';
import { useTestDatabase } from './testing.js';

const test = useTestDatabase({ migrated: false });

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** A TCP address of the test's database, which can fall silent or go away like a server's. */
class Address {
  private readonly sockets = new Set<Socket>();
  private server: Server | undefined;
  connections = 0;
  silent = false;
  port = 0;

  static async open(): Promise<Address> {
    const address = new Address();
    await address.listen();
    cleanups.push(() => address.close());
    return address;
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    const { server } = this;
    this.server = undefined;
    if (server === undefined) return;
    server.close();
    await once(server, 'close');
  }

  private async listen(): Promise<void> {
    const path = new URL(test.url).searchParams.get('socketPath') ?? '';
    this.server = createServer((client) => {
      this.connections += 1;
      const behind = createConnection(path);
      for (const socket of [client, behind]) {
        this.sockets.add(socket);
        socket.on('error', () => socket.destroy());
        socket.on('close', () => this.sockets.delete(socket));
      }
      client.on('data', (chunk) => this.silent || behind.write(chunk));
      behind.on('data', (chunk) => this.silent || client.write(chunk));
      client.on('close', () => behind.destroy());
      behind.on('close', () => client.destroy());
    }).listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    const bound = this.server.address();
    this.port = typeof bound === 'object' && bound !== null ? bound.port : 0;
  }
}

function databaseOn(addresses: Address[], options: { connections?: number } = {}): Database {
  const hosts = addresses.map((each) => `127.0.0.1:${each.port}`).join(',');
  const database = new Database({ url: `mysql://root@${hosts}${new URL(test.url).pathname}`, ...options });
  cleanups.push(() => database.close());
  return database;
}

describe('the hosts of a database', () => {
  it('are taken out of the URL, of which the first one remains', () => {
    expect(splitHosts('mysql://us%40er:p%2Fw@one:3307,two,[::1]:3308/rivera?tls=on')).toEqual({
      url: 'mysql://us%40er:p%2Fw@one:3307/rivera?tls=on',
      hosts: [
        { host: 'one', port: 3307 },
        { host: 'two', port: 3306 },
        { host: '::1', port: 3308 },
      ],
    });
    expect(parseDatabaseUrl('mysql://a:b@one:1,two:2/c')).toEqual({
      user: 'a',
      password: 'b',
      host: 'one',
      port: 1,
      database: 'c',
      multipleStatements: true,
    });
    expect(() => parseDatabaseUrl('mysql://a:secret@one:1,two:x/c')).toThrow(/^.*host that can't be read: "two:x"$/);
  });

  it('are moved on from once for each failure, however many report it', () => {
    const [one, two] = [
      { host: 'one', port: 1 },
      { host: 'two', port: 2 },
    ];
    const hosts = new DatabaseHosts([one, two]);
    hosts.failed(one);
    hosts.failed(one);
    expect(hosts.current).toBe(two);
    hosts.failed(two);
    expect(hosts.current).toBe(one);
  });

  it('are tried in turn, so that one which is away is not noticed', async () => {
    const [first, second] = [await Address.open(), await Address.open()];
    await first.close();
    const database = databaseOn([first, second]);
    expect(await database.query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
    const nobody = databaseOn([first, first]);
    expect(classifyDatabaseError(await nobody.query('SELECT 1').catch((error: unknown) => error))).toBe('transient');
  });

  it('are kept to: the second is left alone while the first one answers', async () => {
    const [first, second] = [await Address.open(), await Address.open()];
    const database = databaseOn([first, second]);
    await Promise.all(Array.from({ length: 20 }, () => database.query('SELECT 1')));
    expect(first.connections).toBeGreaterThan(0);
    expect(second.connections).toBe(0);
  });

  it('end what waits for one that fell silent, long before the statement may time out', async () => {
    const [first, second] = [await Address.open(), await Address.open()];
    const database = databaseOn([first, second], { connections: 2 });
    await database.query('SELECT 1');
    first.silent = true;
    const startedAt = performance.now();
    const failures = await Promise.all(
      [1, 2, 3].map(() => database.query('SELECT 1').then(String, (error: unknown) => classifyDatabaseError(error))),
    );
    expect(failures).toContain('transient');
    expect(await database.query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
    expect(second.connections).toBeGreaterThan(0);
    expect(performance.now() - startedAt).toBeLessThan(10_000);
  });
});

describe('a node of a cluster', () => {
  const rows = (state: Record<string, string>) =>
    Object.entries(state).map(([Variable_name, Value]) => ({ Variable_name, Value }));

  it.each([
    ['is ready', { wsrep_provider_name: 'Galera', wsrep_ready: 'ON' }, true],
    ['has lost the majority', { wsrep_provider_name: 'Galera', wsrep_ready: 'OFF' }, false],
    ['is MariaDB without a cluster', { wsrep_provider_name: '', wsrep_ready: 'OFF' }, true],
    ['is MySQL', {}, true],
  ])('that %s: is it of use?', (_, state, expected) => {
    expect(takesPart(rows(state))).toBe(expected);
  });
});
