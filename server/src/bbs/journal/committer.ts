import type { PoolConnection } from 'mysql2/promise';
import type { DetailCodec } from '../../database/detail-codec.js';
import { classifyDatabaseError, isDatabaseError } from '../../database/errors.js';
import type { Database } from '../../database/pool.js';
import { begin, withConflictRetries } from '../../database/transaction.js';
import { batchStatements } from './batch-statements.js';
import type { BulkLimits } from './bulk-statements.js';
import { joined } from './joined.js';
import type { JournalBatch } from './journal.js';
import type { Quarantine } from './quarantine.js';
import { fenced, fenceStatement, isFenceError, readTerm, type Term } from './term.js';

const DEFAULT_TARGET_CHARS = 256 * 1024;
/** Statements are made in memory, so a server that takes gigabytes is not asked to. */
const MAX_STATEMENT_BYTES = 64 * 1024 * 1024;

export interface CommitterOptions {
  readonly database: Database;
  readonly codec: DetailCodec;
  readonly quarantine: Quarantine;
  readonly now: () => number;
  /** Size of a text that is sent; default 256 Ki characters. */
  readonly targetStatementChars: number | undefined;
}

/**
 * Makes batches durable: each is one transaction that begins by moving `bbs_term` forward. All of its statements, COMMIT
 * included, go to the server in as few texts as their size allows, usually one: a busy program waits for each answer as long as for
 * the database itself. Nodes of Galera get them one by one.
 */
export class Committer {
  private limits: BulkLimits | undefined;
  /** Whether several statements go in one text. */
  private joins = true;

  constructor(private readonly options: CommitterOptions) {}

  /** Finds out what the server takes. @returns whether several statements in one text are among it; some proxies take one */
  async open(connection: PoolConnection): Promise<boolean> {
    const takesSeveral = await this.takesSeveral(connection);
    this.joins = takesSeveral && !(await this.isGaleraNode(connection));
    return takesSeveral;
  }

  private async takesSeveral(connection: PoolConnection): Promise<boolean> {
    try {
      await this.options.database.run(connection, 'DO 0; DO 0');
      return true;
    } catch (error) {
      if (classifyDatabaseError(error) !== 'fatal') throw error;
      return false;
    }
  }

  /**
   * A node of Galera throws a transaction away for one of another node at any moment. Between two statements of one text that goes
   * unsaid: those that follow are carried out all the same, each for itself, and COMMIT succeeds. Between two texts it is an error.
   */
  private async isGaleraNode(connection: PoolConnection): Promise<boolean> {
    const sql = "SHOW VARIABLES LIKE 'wsrep_on'";
    const [variable] = await this.options.database.run<{ Value: string }[]>(connection, sql);
    return variable?.Value === 'ON';
  }

  /** @throws JournalError `fenced`; RangeError for what is too large; errors of the database */
  async commit(batch: JournalBatch, opening: number): Promise<void> {
    const { database, quarantine } = this.options;
    const limits = await this.bulkLimits();
    const superseding = quarantine.superseding(batch.desiredLrps);
    const from: Term = { epoch: batch.epoch, opening, revision: batch.baseRevision };
    await withConflictRetries(database, async (connection) => {
      // A node of a cluster may be behind, which has to be told from locks that are taken.
      if (database.clustered) await begin(database, connection);
      try {
        await this.send(connection, this.texts({ batch, from, limits, superseding }));
      } catch (error) {
        // After other errors of the database the connection is destroyed, and the transaction with it.
        if (isDatabaseError(error) && !isFenceError(error)) throw error;
        await database.run(connection, 'ROLLBACK');
        if (!isFenceError(error)) throw error;
        requireRepeated(await readTerm(database, connection), { batch, from, cause: error });
      }
    });
    quarantine.superseded(superseding);
  }

  async bulkLimits(): Promise<BulkLimits> {
    this.limits ??= await this.readLimits();
    return this.limits;
  }

  private texts(o: {
    batch: JournalBatch;
    from: Term;
    limits: BulkLimits;
    superseding: readonly string[];
  }): Iterable<string> {
    const statements = this.statements(o);
    return this.joins ? joined(statements, o.limits.targetChars) : statements;
  }

  private *statements(o: {
    batch: JournalBatch;
    from: Term;
    limits: BulkLimits;
    superseding: readonly string[];
  }): Generator<string> {
    const { database, codec, quarantine, now } = this.options;
    if (!database.clustered) yield 'START TRANSACTION';
    yield fenceStatement(o.from, o.batch.revision);
    yield* batchStatements(o.batch, codec, o.limits);
    if (o.superseding.length > 0) yield quarantine.supersession(o.superseding, now());
    yield 'COMMIT';
  }

  /** Makes each text while the server works on the one before. */
  private async send(connection: PoolConnection, texts: Iterable<string>): Promise<void> {
    let working: Promise<unknown> = Promise.resolve();
    for (const text of texts) {
      await working;
      working = this.options.database.run(connection, text);
      // Its failure is met at the next await; making the next text may throw before.
      working.catch(() => undefined);
    }
    await working;
  }

  private async readLimits(): Promise<BulkLimits> {
    const rows = await this.options.database.query<{ bytes: number }[]>('SELECT @@max_allowed_packet AS bytes');
    const maxPacketBytes = Math.min(Number(rows[0]?.bytes), MAX_STATEMENT_BYTES);
    const targetChars = this.options.targetStatementChars ?? DEFAULT_TARGET_CHARS;
    // Four bytes a character at worst, and then the statement must still fit, beside as much again that it is joined with.
    return { maxPacketBytes, targetChars: Math.min(targetChars, Math.floor(maxPacketBytes / 16)) };
  }
}

/**
 * For a batch that the fence held off: it is well when it was committed before and the answer was lost, as nobody else writes under
 * this opening, and that never writes two batches to one revision.
 */
function requireRepeated(found: Term, o: { batch: JournalBatch; from: Term; cause: unknown }): void {
  const { batch, from } = o;
  const sameOpening = found.epoch === from.epoch && found.opening === from.opening;
  if (sameOpening && found.revision === batch.revision) return;
  // The fence is open: it was a row that the database refused.
  if (sameOpening && found.revision === from.revision) throw o.cause;
  throw fenced(
    `the database is at revision ${found.revision} of epoch ${found.epoch}.${found.opening}, ` +
      `the batch builds on revision ${from.revision} of epoch ${from.epoch}.${from.opening}`,
  );
}
