import { type Clock, systemClock } from '@rivera/kit/clock';
import { type Logger, silentLogger } from '@rivera/kit/log';
import type { PoolConnection } from 'mysql2/promise';
import { type DetailCodec, plainDetailCodec } from '../../database/detail-codec.js';
import { classifyDatabaseError } from '../../database/errors.js';
import type { Database } from '../../database/pool.js';
import { withConflictRetries, withTransaction } from '../../database/transaction.js';
import { Committer } from './committer.js';
import type { ChangedKeys, Handover } from './handover.js';
import {
  type Journal,
  type JournalBatch,
  JournalError,
  type JournalPreview,
  type JournalRows,
  type KeyStatus,
  type Quarantined,
  type QuarantinedRow,
} from './journal.js';
import { KeyLedger, WrongKeysError } from './key-ledger.js';
import { type PayloadRow, runInfoRows, taskDefinitionRows } from './payload-rows.js';
import { Quarantine, type UndecodableRow } from './quarantine.js';
import { Reader } from './reader.js';
import { DEFAULT_ROTATION_LIMITS, Rotation, type RotationLimits } from './rotation.js';
import type { RowCodec } from './row-codec.js';
import { fenced, readTerm, requireOpened, type Term } from './term.js';

export interface MysqlJournalOptions {
  /** Default: plain. */
  codec?: DetailCodec;
  /** Size of a bulk statement; default 256 Ki characters. */
  targetStatementChars?: number;
  clock?: Clock;
  log?: Logger;
  rotation?: Partial<RotationLimits>;
}

/** More undecodable rows than this, and than the share, are no accidents but a mistake: nothing is moved then. */
const MAX_UNDECODABLE = 100;
const MAX_UNDECODABLE_SHARE = 0.1;
/** Never more than this, whatever the share: they are kept in memory until the end of the load. */
const MAX_KEPT_UNDECODABLE = 50_000;
/** Rows moved in one transaction. */
const MOVED_PER_TRANSACTION = 100;

/**
 * The journal in MySQL. A batch is one transaction that begins by moving `bbs_term` forward: that statement takes the row's lock, so
 * commits and openings stand in one line, and it fails unless epoch, opening and revision are the ones that the batch builds on.
 */
export class MysqlJournal implements Journal {
  private readonly codec: DetailCodec;
  private readonly clock: Clock;
  private readonly log: Logger;
  private readonly ledger: KeyLedger;
  private readonly quarantine: Quarantine;
  private readonly committer: Committer;
  private readonly reader: Reader;
  private rotation: Rotation | undefined;
  private term: Term | undefined;
  /** The commit before this one; they are made one after the other. */
  private previous: Promise<unknown> = Promise.resolve();

  /** The database belongs to the caller and outlives the journal. */
  constructor(
    private readonly database: Database,
    private readonly options: MysqlJournalOptions = {},
  ) {
    this.codec = options.codec ?? plainDetailCodec;
    this.clock = options.clock ?? systemClock;
    this.log = options.log ?? silentLogger;
    this.ledger = new KeyLedger(database, this.codec);
    this.quarantine = new Quarantine(database);
    this.reader = new Reader(database, this.codec);
    this.committer = new Committer({
      database,
      codec: this.codec,
      quarantine: this.quarantine,
      now: () => this.clock.now(),
      targetStatementChars: options.targetStatementChars,
    });
  }

  /**
   * For a start: whether this server could lead.
   * @throws WrongKeysError naming the label of the key that is missing or another one, and the remedy
   */
  async requireKeys(): Promise<void> {
    await this.guarded(() => withConflictRetries(this.database, (connection) => this.ledger.requireKeys(connection)));
  }

  async open(epoch: number): Promise<{ revision: number }> {
    await this.rotation?.stop();
    let rotates = false;
    const joins = await this.guarded(() =>
      this.database.withConnection((connection) => this.committer.open(connection)),
    );
    if (!joins) this.log.warn('the database takes one statement at a time, which makes commits slower');
    const term = await this.guarded(() =>
      withTransaction(this.database, async (connection) => {
        const opened = await this.database.run<{ affectedRows: number }>(
          connection,
          'UPDATE bbs_term SET epoch = ?, opening = opening + 1 WHERE id = 1 AND epoch <= ?',
          [epoch, epoch],
        );
        const term = await readTerm(this.database, connection);
        if (opened.affectedRows !== 1) throw fenced(`epoch ${term.epoch} has begun, which is higher than ${epoch}`);
        await this.database.run(connection, 'UPDATE bbs_turn SET opening = ?, turn = turn + 1 WHERE id = 1', [
          term.opening,
        ]);
        rotates = await this.ledger.enter(connection, this.clock.now());
        await this.quarantine.open(connection);
        return term;
      }),
    );
    this.term = term;
    this.rotation = rotates ? this.newRotation(term) : undefined;
    return { revision: term.revision };
  }

  async *load(): AsyncGenerator<JournalRows> {
    const term = requireOpened(this.term);
    const { rotation } = this;
    const undecodable: UndecodableRow[] = [];
    let rows = 0;
    const parts = this.reader.load(term, (row) => {
      if (undecodable.length < MAX_KEPT_UNDECODABLE) undecodable.push(row);
    });
    for await (const part of this.guardedParts(parts)) {
      for (const list of Object.values(part)) rows += list.length;
      yield part;
    }
    await this.setAside(undecodable, { rows, term });
    rotation?.start();
  }

  async preview(): Promise<JournalPreview> {
    const { term, rows } = await this.guarded(() => this.reader.preview());
    return { epoch: term.epoch, revision: term.revision, rows: this.guardedParts(rows) };
  }

  async reread(keys: ChangedKeys): Promise<JournalRows> {
    const term = requireOpened(this.term);
    const { rotation } = this;
    const rows = await this.guarded(() => this.reader.reread(term, keys));
    rotation?.start();
    return rows;
  }

  readHandover(): Promise<Handover | undefined> {
    // A transaction begins with all that was committed before, also on another node of a cluster.
    return this.guarded(() =>
      withTransaction(this.database, async (connection) => {
        const sql = 'SELECT record FROM bbs_handover WHERE id = 1';
        const [row] = await this.database.run<{ record: Buffer }[]>(connection, sql);
        const text = row?.record.toString('utf8') ?? '';
        return text === '' ? undefined : (JSON.parse(text) as Handover);
      }),
    );
  }

  async writeHandover(handover: Handover): Promise<void> {
    const record = Buffer.from(JSON.stringify(handover));
    const sql = 'INSERT INTO bbs_handover (id, record) VALUES (1, ?) ON DUPLICATE KEY UPDATE record = VALUES(record)';
    await this.guarded(() => this.database.query(sql, [record]));
  }

  commit(batch: JournalBatch): Promise<void> {
    // Taken now: a batch that was handed over before another opening belongs to the earlier one.
    const { term } = this;
    const turn = this.previous.then(() =>
      this.guarded(() => this.committer.commit(batch, requireOpened(term).opening)),
    );
    this.previous = turn.catch(() => undefined);
    return turn;
  }

  readTaskDefinitions(guids: readonly string[]): Promise<Map<string, Uint8Array>> {
    return this.guarded(() => this.readPayloads(taskDefinitionRows, guids));
  }

  readRunInfos(processGuids: readonly string[]): Promise<Map<string, Uint8Array>> {
    return this.guarded(() => this.readPayloads(runInfoRows, processGuids));
  }

  quarantined(): Quarantined {
    return this.quarantine.summary;
  }

  quarantinedRows(limit: number): Promise<QuarantinedRow[]> {
    return this.guarded(() => this.quarantine.list(limit));
  }

  encryptionStatus(): Promise<KeyStatus[]> {
    return this.guarded(() => this.ledger.status());
  }

  async close(): Promise<void> {
    await this.rotation?.stop();
    await this.previous;
    this.term = undefined;
  }

  /** A transaction of a term between its commits; nothing of it is done once another term has begun. */
  private inTurn<T>(term: Term, work: (connection: PoolConnection) => Promise<T>): Promise<T> {
    const transaction = () =>
      withTransaction(this.database, async (connection) => {
        const taken = await this.database.run<{ affectedRows: number }>(
          connection,
          'UPDATE bbs_turn SET turn = turn + 1 WHERE id = 1 AND opening = ?',
          [term.opening],
        );
        if (taken.affectedRows !== 1) throw fenced('another term has begun');
        return work(connection);
      });
    const turn = this.previous.then(() => this.guarded(transaction));
    this.previous = turn.catch(() => undefined);
    return turn;
  }

  /** Moves what a load could not decode, unless it is so much that something else must be wrong. */
  private async setAside(undecodable: readonly UndecodableRow[], load: { rows: number; term: Term }): Promise<void> {
    if (undecodable.length > 0) {
      const share = undecodable.length / (undecodable.length + load.rows);
      if (
        share > MAX_UNDECODABLE_SHARE
          ? undecodable.length > MAX_UNDECODABLE
          : undecodable.length >= MAX_KEPT_UNDECODABLE
      ) {
        throw fenced(
          `${undecodable.length} of ${undecodable.length + load.rows} rows can't be decoded, which is no accident; nothing was changed. ` +
            `First of them: ${undecodable[0]?.table.table} ${JSON.stringify(undecodable[0]?.key)}, ${undecodable[0]?.reason}`,
        );
      }
      for (let start = 0; start < undecodable.length; start += MOVED_PER_TRANSACTION) {
        const some = undecodable.slice(start, start + MOVED_PER_TRANSACTION);
        this.noteMoved(await this.inTurn(load.term, (connection) => this.move(connection, some)));
      }
    }
    const { rows, processGuids } = this.quarantine.summary;
    if (rows > 0)
      this.log.warn({ rows, processGuids: processGuids.size }, 'rows that could not be decoded are in quarantine');
  }

  private async move(connection: PoolConnection, rows: readonly UndecodableRow[]): Promise<UndecodableRow[]> {
    const moved: UndecodableRow[] = [];
    for (const row of rows) if (await this.quarantine.move(connection, row, this.clock.now())) moved.push(row);
    return moved;
  }

  private noteMoved(rows: readonly UndecodableRow[]): void {
    this.quarantine.moved(rows);
    for (const { table, key, reason } of rows)
      this.log.error({ table: table.table, key, reason }, 'row moved to quarantine');
  }

  private newRotation(term: Term): Rotation {
    return new Rotation({
      database: this.database,
      codec: this.codec,
      ledger: this.ledger,
      inTurn: (work) => this.inTurn(term, work),
      bulkLimits: () => this.committer.bulkLimits(),
      move: (connection, rows) => this.move(connection, rows),
      noteMoved: (rows) => this.noteMoved(rows),
      clock: this.clock,
      log: this.log,
      limits: { ...DEFAULT_ROTATION_LIMITS, ...this.options.rotation },
    });
  }

  private async readPayloads(rows: RowCodec<PayloadRow>, guids: readonly string[]): Promise<Map<string, Uint8Array>> {
    const { found, undecodable } = await this.reader.payloads(rows, guids);
    if (undecodable.length > 0) await this.setAsidePayloads(undecodable);
    return found;
  }

  /** A reader gets on without them: when they can't be moved now, whoever reads them next tries again. */
  private async setAsidePayloads(undecodable: readonly UndecodableRow[]): Promise<void> {
    const { term } = this;
    if (term === undefined) return;
    try {
      this.noteMoved(await this.inTurn(term, (connection) => this.move(connection, undecodable)));
    } catch (error) {
      this.log.warn(
        { err: error, rows: undecodable.length },
        'rows that could not be decoded stay where they are for now',
      );
    }
  }

  private async *guardedParts(parts: AsyncGenerator<JournalRows>): AsyncGenerator<JournalRows> {
    try {
      for (;;) {
        const part = await this.guarded(() => parts.next());
        if (part.done === true) return;
        yield part.value;
      }
    } finally {
      // Whoever stops early ends the reading, and with it its connection.
      await parts.return(undefined);
    }
  }

  /** Every failure of the database leaves as a JournalError. */
  private async guarded<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof WrongKeysError) this.log.error(`this server can't lead: ${error.message}`);
      if (error instanceof JournalError) throw error;
      const message = error instanceof Error ? error.message : String(error);
      const refused = error instanceof RangeError || classifyDatabaseError(error) === 'rejected';
      throw new JournalError(refused ? 'rejected' : 'unavailable', message, { cause: error });
    }
  }
}
