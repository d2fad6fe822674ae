import { readFileSync } from 'node:fs';
import { createPool, type Pool, type PoolConnection, type PoolOptions, type RowDataPacket } from 'mysql2/promise';
import { repeatOnConflict } from './conflicts.js';
import { classifyDatabaseError, isDatabaseError } from './errors.js';
import { CLUSTER_STATE, HostWatch, takesPart } from './host-watch.js';
import { DatabaseHosts, HostFailedError, splitHosts } from './hosts.js';

/** Where the database is and how patient to be with it. */
export interface DatabaseOptions {
  /**
   * `mysql://user:password@host:port/database`. `?socketPath=/path` goes over a unix socket; `?tls=on` wants a certificate that the
   * system trusts, `?tlsCa=/path` one of that authority. `?multipleStatements=off` is for a proxy that refuses connections which may send
   * several statements in one text. The nodes of a cluster are all named, `mysql://user:password@one:3306,
   * two:3306/database`: the first is used, and when it fails the next.
   */
  url: string;
  /** Most connections at a time; default 8. Who asks for more waits. */
  connections?: number;
  /** Default 5 s; 2 s where there are several hosts, as then another one can be asked. */
  connectTimeoutMs?: number;
  /** For one statement; default 30 s. */
  queryTimeoutMs?: number;
  /** Default 5 s, whole seconds. */
  lockWaitMs?: number;
  /**
   * After this silence the server ends a connection and undoes its transaction, so that a writer which froze in the middle of one
   * doesn't keep its locks. Shorter than any lease. Default 10 s, whole seconds.
   */
  idleTransactionMs?: number;
}

/** Statements that waited for a connection, at most; more is an error. */
const QUEUE_LIMIT = 10_000;
/** How long `close` waits for a polite end. */
const CLOSE_GRACE_MS = 2_000;

/** A bounded set of connections to one database, every one in the same strict mode. */
export class Database {
  readonly name: string;
  readonly queryTimeoutMs: number;
  private readonly pool: Pool;
  private readonly open = new Set<{ destroy(): void }>();
  private readonly hosts: DatabaseHosts;
  private readonly watch: HostWatch | undefined;
  /** Connections to one of several hosts that have been found to take part in their cluster. */
  private readonly admitted = new WeakSet<object>();
  private readonly connectTimeoutMs: number;
  private closing: Promise<void> | undefined;

  constructor(options: DatabaseOptions) {
    const target = parseDatabaseUrl(options.url);
    const idleMs = options.idleTransactionMs ?? 10_000;
    const connections = options.connections ?? 8;
    this.name = target.database ?? '';
    this.queryTimeoutMs = options.queryTimeoutMs ?? 30_000;
    this.hosts = new DatabaseHosts(splitHosts(options.url).hosts);
    const several = this.hosts.count > 1;
    this.connectTimeoutMs = options.connectTimeoutMs ?? (several ? 2_000 : 5_000);
    this.pool = createPool({
      ...target,
      ...(several ? { stream: this.hosts.open } : {}),
      connectionLimit: connections,
      // An idle connection goes before the server ends it, else a statement could meet the end of its connection. mysql2 only looks
      // for idle ones where fewer may be idle than open.
      maxIdle: Math.max(0, connections - 1),
      idleTimeout: Math.floor(idleMs / 2),
      queueLimit: QUEUE_LIMIT,
      connectTimeout: this.connectTimeoutMs,
      charset: 'utf8mb4',
      timezone: 'Z',
      supportBigNumbers: true,
      flags: ['-LOCAL_FILES', 'FOUND_ROWS'],
    });
    const settings = sessionSettings(idleMs, options.lockWaitMs ?? 5_000);
    this.pool.pool.on('connection', (connection) => {
      this.open.add(connection);
      connection.on('end', () => this.open.delete(connection));
      connection.on('error', () => this.open.delete(connection));
      // Queued on the connection before anything that its first user sends.
      for (const sql of settings) {
        connection.query(sql, (error: Error | null) => {
          if (error) connection.destroy();
        });
      }
      // Refused by servers that know no Galera.
      connection.query(SEE_THE_WHOLE_CLUSTER, () => undefined);
    });
    if (several) {
      this.watch = new HostWatch({
        target,
        current: () => this.hosts.current,
        inUse: () => this.hosts.connected,
        patienceMs: this.connectTimeoutMs,
        onFailed: (host) => this.hosts.failed(host),
      });
    }
  }

  /** Whether it was given as several hosts: the nodes of a cluster. */
  get clustered(): boolean {
    return this.hosts.count > 1;
  }

  /** One statement on its own, again when the server undid it in favour of another one. @returns rows, or the header of a change */
  query<T>(sql: string, values?: unknown[]): Promise<T> {
    return repeatOnConflict(() => this.withConnection((connection) => this.run<T>(connection, sql, values)));
  }

  /** The same, with rows as `rows` gives them. */
  queryRows(sql: string, values?: unknown[]): Promise<unknown[][]> {
    return repeatOnConflict(() => this.withConnection((connection) => this.rows(connection, sql, values)));
  }

  /** One statement on a connection that the caller holds, bounded in time. Rows come as objects. */
  async run<T>(connection: PoolConnection, sql: string, values?: unknown[]): Promise<T> {
    // Null, not undefined: only then does the driver not look through the whole text for placeholders, a microsecond a row.
    const [result] = await connection.query({ sql, values: values ?? null, timeout: this.queryTimeoutMs });
    return result as T;
  }

  /** One statement whose rows come as arrays, in order of the columns; cheaper than objects. */
  async rows(connection: PoolConnection, sql: string, values?: unknown[]): Promise<unknown[][]> {
    const [result] = await connection.query({ sql, values, rowsAsArray: true, timeout: this.queryTimeoutMs });
    return result as unknown[][];
  }

  /** Lends a connection. It is thrown away after a database error, as nobody knows then what state it is in. */
  async withConnection<T>(use: (connection: PoolConnection) => Promise<T>): Promise<T> {
    const connection = await this.connection();
    try {
      const result = await use(connection);
      connection.release();
      return result;
    } catch (error) {
      if (isDatabaseError(error)) {
        connection.destroy();
        if (classifyDatabaseError(error) === 'transient') this.distrust(connection);
      } else connection.release();
      throw error;
    }
  }

  /** A connection for longer than a callback; the caller releases it, or destroys it when in doubt. */
  async connection(): Promise<PoolConnection> {
    for (let tried = 1; ; tried += 1) {
      const { current } = this.hosts;
      try {
        const connection = await this.pool.getConnection();
        if (this.hosts.count > 1) await this.admit(connection);
        return connection;
      } catch (error) {
        if (!isDatabaseError(error) || classifyDatabaseError(error) !== 'transient') throw error;
        // Nothing has been asked of this host yet, so another one may be.
        this.hosts.failed(current);
        if (tried >= this.hosts.count) throw error;
      }
    }
  }

  /** A host that let somebody down is left for the next one, where there is one. */
  private distrust(connection: PoolConnection): void {
    const host = this.hosts.of(connection.config);
    if (host !== undefined) this.hosts.failed(host);
  }

  /** A new connection to a node that has left its cluster is of no use. */
  private async admit(connection: PoolConnection): Promise<void> {
    if (this.admitted.has(connection.config)) return;
    try {
      const [rows] = await connection.query<RowDataPacket[]>({ sql: CLUSTER_STATE, timeout: this.connectTimeoutMs });
      if (!takesPart(rows)) throw new HostFailedError(this.hosts.of(connection.config) ?? this.hosts.current);
    } catch (error) {
      connection.destroy();
      throw error;
    }
    this.admitted.add(connection.config);
  }

  /** Ends every connection, politely where the server answers. */
  close(): Promise<void> {
    this.closing ??= this.end();
    return this.closing;
  }

  private async end(): Promise<void> {
    this.watch?.close();
    let timer: NodeJS.Timeout | undefined;
    const impatient = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, CLOSE_GRACE_MS);
    });
    // A connection that fails while it says goodbye is closed all the same.
    const polite = this.pool.end().catch(() => undefined);
    await Promise.race([polite, impatient]);
    clearTimeout(timer);
    for (const connection of this.open) connection.destroy();
  }
}

/**
 * Every transaction, and every statement on its own, first waits until its node has all that was committed anywhere before. Without
 * this a new leader on another node could miss what its predecessor acknowledged. Costs a round of the cluster each.
 */
const SEE_THE_WHOLE_CLUSTER = 'SET SESSION wsrep_sync_wait = 7';

/** READ COMMITTED because the only writer needs no gap locks; strict because a value that was cut is a value that was lost. */
function sessionSettings(idleMs: number, lockWaitMs: number): string[] {
  const idleSeconds = Math.max(1, Math.ceil(idleMs / 1000));
  const lockSeconds = Math.max(1, Math.ceil(lockWaitMs / 1000));
  return [
    `SET SESSION sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', SESSION time_zone = '+00:00', ` +
      `SESSION innodb_lock_wait_timeout = ${lockSeconds}, SESSION wait_timeout = ${idleSeconds}, SESSION net_read_timeout = ${idleSeconds}`,
    'SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED',
  ];
}

/** Of several hosts the first. @throws Error that says what is wrong with the URL, without its password */
export function parseDatabaseUrl(text: string): PoolOptions {
  const { url: single } = splitHosts(text);
  let url: URL;
  try {
    url = new URL(single);
  } catch (cause) {
    throw new Error('the database URL is not a URL; expected mysql://user:password@host:port/database', { cause });
  }
  if (url.protocol !== 'mysql:' && url.protocol !== 'mariadb:') {
    throw new Error(`the database URL begins with "${url.protocol}//"; expected mysql://`);
  }
  const known = new Set(['socketPath', 'tls', 'tlsCa', 'multipleStatements']);
  for (const name of url.searchParams.keys()) {
    if (!known.has(name))
      throw new Error(`the database URL has an unknown parameter "${name}"; known: ${[...known].join(', ')}`);
  }
  const socketPath = url.searchParams.get('socketPath');
  const tlsCa = url.searchParams.get('tlsCa');
  const database = decodeURIComponent(url.pathname.slice(1));
  return {
    // One text may hold a whole transaction. Values come into texts through placeholders and `sql-text.ts` alone.
    multipleStatements: url.searchParams.get('multipleStatements') !== 'off',
    user: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
    ...(database === '' ? {} : { database }),
    ...(socketPath === null ? { host: url.hostname, port: url.port === '' ? 3306 : Number(url.port) } : { socketPath }),
    ...(tlsCa !== null
      ? { ssl: { ca: readFileSync(tlsCa, 'utf8') } }
      : url.searchParams.get('tls') === 'on'
        ? { ssl: { rejectUnauthorized: true } }
        : {}),
  };
}
