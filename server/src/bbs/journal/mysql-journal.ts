import type { PoolConnection } from 'mysql2/promise';
import { type DetailCodec, plainDetailCodec } from '../../database/detail-codec.js';
import { classifyDatabaseError } from '../../database/errors.js';
import type { Database } from '../../database/pool.js';
import { sqlName, sqlString } from '../../database/sql-text.js';
import { openSnapshot, withTransaction } from '../../database/transaction.js';
import { batchStatements } from './batch-statements.js';
import type { BulkLimits } from './bulk-statements.js';
import { type Journal, type JournalBatch, JournalError, type JournalRows } from './journal.js';
import { type PayloadRow, runInfoRows, taskDefinitionRows } from './payload-rows.js';
import { newReading, type RowCodec } from './row-codec.js';
import { readSnapshot } from './snapshot.js';

export interface MysqlJournalOptions {
  codec?: DetailCodec;
  /** Size of a bulk statement; default 256 Ki characters. */
  targetStatementChars?: number;
}

/** How far the only row of `bbs_term` has come. */
interface Term {
  epoch: number;
  /** Counts openings: two of the same epoch are two writers as well. */
  opening: number;
  revision: number;
}

const DEFAULT_TARGET_CHARS = 256 * 1024;
/** Statements are made in memory, so a server that takes gigabytes is not asked to. */
const MAX_STATEMENT_BYTES = 64 * 1024 * 1024;
/** Payloads asked for in one statement. */
const PAYLOADS_PER_READ = 100;

/**
 * The journal in MySQL. A batch is one transaction that begins by moving `bbs_term` forward: that statement takes the row's lock, so
 * commits and openings stand in one line, and it changes nothing unless epoch, opening and revision are the ones that the batch
 * builds on.
 */
export class MysqlJournal implements Journal {
  private readonly codec: DetailCodec;
  private readonly targetChars: number;
  private limits: BulkLimits | undefined;
  private term: Term | undefined;
  /** The commit before this one; they are made one after the other. */
  private previous: Promise<unknown> = Promise.resolve();

  /** The database belongs to the caller and outlives the journal. */
  constructor(
    private readonly database: Database,
    options: MysqlJournalOptions = {},
  ) {
    this.codec = options.codec ?? plainDetailCodec;
    this.targetChars = options.targetStatementChars ?? DEFAULT_TARGET_CHARS;
  }

  async open(epoch: number): Promise<{ revision: number }> {
    this.term = await this.guarded(() =>
      withTransaction(this.database, async (connection) => {
        const opened = await this.database.run<{ affectedRows: number }>(
          connection,
          'UPDATE bbs_term SET epoch = ?, opening = opening + 1 WHERE id = 1 AND epoch <= ?',
          [epoch, epoch],
        );
        const term = await this.readTerm(connection);
        if (opened.affectedRows !== 1) throw fenced(`epoch ${term.epoch} has begun, which is higher than ${epoch}`);
        return term;
      }),
    );
    return { revision: this.term.revision };
  }

  async *load(): AsyncGenerator<JournalRows> {
    const expected = opened(this.term);
    const connection = await this.guarded(() => openSnapshot(this.database));
    try {
      const found = await this.guarded(() => this.readTerm(connection));
      if (found.epoch !== expected.epoch || found.opening !== expected.opening) throw fenced('another term has begun');
      if (found.revision !== expected.revision) throw new Error('load() comes before the first commit of a term');
      const parts = readSnapshot(this.database, connection, this.codec);
      for (;;) {
        const part = await this.guarded(() => parts.next());
        if (part.done === true) return;
        yield part.value;
      }
    } finally {
      connection.destroy();
    }
  }

  commit(batch: JournalBatch): Promise<void> {
    // Taken now: a batch that was handed over before another opening belongs to the earlier one.
    const { term } = this;
    const turn = this.previous.then(() => this.guarded(() => this.commitInTurn(batch, term)));
    this.previous = turn.catch(() => undefined);
    return turn;
  }

  readTaskDefinitions(guids: readonly string[]): Promise<Map<string, Uint8Array>> {
    return this.guarded(() => this.readPayloads(taskDefinitionRows, guids));
  }

  readRunInfos(processGuids: readonly string[]): Promise<Map<string, Uint8Array>> {
    return this.guarded(() => this.readPayloads(runInfoRows, processGuids));
  }

  async close(): Promise<void> {
    await this.previous;
    this.term = undefined;
  }

  private async commitInTurn(batch: JournalBatch, term: Term | undefined): Promise<void> {
    const { opening } = opened(term);
    this.limits ??= await this.readLimits();
    const limits = this.limits;
    await withTransaction(this.database, async (connection) => {
      const advanced = await this.database.run<{ affectedRows: number }>(
        connection,
        'UPDATE bbs_term SET revision = ? WHERE id = 1 AND epoch = ? AND opening = ? AND revision = ?',
        [batch.revision, batch.epoch, opening, batch.baseRevision],
      );
      if (advanced.affectedRows === 1) {
        await this.write(connection, batch, limits);
        return;
      }
      const found = await this.readTerm(connection);
      // Committed before, and the answer was lost: nobody else writes under this opening, and it never writes two batches to one revision.
      const repeated = found.epoch === batch.epoch && found.opening === opening && found.revision === batch.revision;
      if (!repeated) {
        throw fenced(
          `the database is at revision ${found.revision} of epoch ${found.epoch}.${found.opening}, ` +
            `the batch builds on revision ${batch.baseRevision} of epoch ${batch.epoch}.${opening}`,
        );
      }
    });
  }

  /** Makes each statement while the server works on the one before. */
  private async write(connection: PoolConnection, batch: JournalBatch, limits: BulkLimits): Promise<void> {
    let working: Promise<unknown> = Promise.resolve();
    for (const sql of batchStatements(batch, this.codec, limits)) {
      await working;
      working = this.database.run(connection, sql);
      // Its failure is met at the next await; making the next statement may throw before.
      working.catch(() => undefined);
    }
    await working;
  }

  private async readTerm(connection: PoolConnection): Promise<Term> {
    const rows = await this.database.run<Term[]>(
      connection,
      'SELECT epoch, opening, revision FROM bbs_term WHERE id = 1',
    );
    const [term] = rows;
    if (term === undefined)
      throw new JournalError('unavailable', 'the database has no row in bbs_term; has it been migrated?');
    return term;
  }

  private async readLimits(): Promise<BulkLimits> {
    const rows = await this.database.query<{ bytes: number }[]>('SELECT @@max_allowed_packet AS bytes');
    const maxPacketBytes = Math.min(Number(rows[0]?.bytes), MAX_STATEMENT_BYTES);
    // Four bytes a character at worst, and then the statement must still fit.
    return { maxPacketBytes, targetChars: Math.min(this.targetChars, Math.floor(maxPacketBytes / 16)) };
  }

  private async readPayloads(rows: RowCodec<PayloadRow>, guids: readonly string[]): Promise<Map<string, Uint8Array>> {
    const found = new Map<string, Uint8Array>();
    const reading = newReading(this.codec);
    for (let start = 0; start < guids.length; start += PAYLOADS_PER_READ) {
      const keys = guids
        .slice(start, start + PAYLOADS_PER_READ)
        .map(sqlString)
        .join(',');
      const sql = `SELECT ${rows.columns.map(sqlName).join(',')} FROM ${sqlName(rows.table)} WHERE ${sqlName(rows.keyColumns[0] ?? '')} IN (${keys})`;
      const cells = await this.database.withConnection((connection) => this.database.rows(connection, sql));
      for (const each of cells) {
        const { guid, payload } = rows.read(each, reading);
        found.set(guid, payload);
      }
    }
    return found;
  }

  /** Every failure of the database leaves as a JournalError. */
  private async guarded<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof JournalError) throw error;
      const message = error instanceof Error ? error.message : String(error);
      const refused = error instanceof RangeError || classifyDatabaseError(error) === 'rejected';
      throw new JournalError(refused ? 'rejected' : 'unavailable', message, { cause: error });
    }
  }
}

function opened(term: Term | undefined): Term {
  if (term === undefined) throw new JournalError('unavailable', 'the journal has not been opened');
  return term;
}

function fenced(why: string): JournalError {
  return new JournalError('fenced', why);
}
