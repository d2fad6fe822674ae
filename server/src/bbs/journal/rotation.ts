import type { Clock } from '@rivera/kit/clock';
import type { Logger } from '@rivera/kit/log';
import type { PoolConnection } from 'mysql2/promise';
import { type DetailCodec, LABEL_PREFIX_BYTES, storedUnder } from '../../database/detail-codec.js';
import type { Database } from '../../database/pool.js';
import { sqlName } from '../../database/sql-text.js';
import { type BulkLimits, upsertStatements } from './bulk-statements.js';
import { JournalError } from './journal.js';
import type { KeyLedger } from './key-ledger.js';
import { type UndecodableRow, undecodableRow } from './quarantine.js';
import { bytesCell, keyLiterals, newReading, numberCell, type Table } from './row-codec.js';
import { behind } from './snapshot.js';
import { type RawRow, rawRows, STORED_TABLES, storedColumn } from './stored-tables.js';

export interface RotationLimits {
  /** Rows rewritten in one transaction; commits wait for it. */
  readonly batchRows: number;
  /** Bytes of content rewritten in one transaction, unless a single row has more. */
  readonly batchBytes: number;
  /** Rows looked at in one statement. */
  readonly pageRows: number;
  /** It pauses so many times as long as it worked. */
  readonly pauseFactor: number;
  /** Wait after a failure of the database. */
  readonly retryMs: number;
}

export const DEFAULT_ROTATION_LIMITS: RotationLimits = {
  batchRows: 200,
  batchBytes: 1024 * 1024,
  pageRows: 1_000,
  pauseFactor: 3,
  retryMs: 5_000,
};

export interface RotationOptions {
  readonly database: Database;
  readonly codec: DetailCodec;
  readonly ledger: KeyLedger;
  /** A transaction of this term, in line with its commits; fails as `fenced` when the term is over. */
  readonly inTurn: <T>(work: (connection: PoolConnection) => Promise<T>) => Promise<T>;
  readonly bulkLimits: () => Promise<BulkLimits>;
  /** Moves rows that can't be decoded to the quarantine, within a transaction of this term. */
  readonly move: (connection: PoolConnection, rows: readonly UndecodableRow[]) => Promise<UndecodableRow[]>;
  /** Told once that is durable. */
  readonly noteMoved: (rows: readonly UndecodableRow[]) => void;
  readonly clock: Clock;
  readonly log: Logger;
  readonly limits: RotationLimits;
}

/** A row that is not under the active key. */
interface Candidate {
  readonly keyLiterals: string[];
  readonly bytes: number;
}

/** Rounds after which something brings old rows back; one is usual, a second one sees that nothing is left. */
const MAX_ROUNDS = 10;
const PROGRESS_LOG_MS = 10_000;

/**
 * Brings all rows under the active key while the term goes on: surveys all tables, rewrites what is under other labels, and surveys again
 * until nothing is found, which is the proof that the other keys are not needed. What is done is told by the rows themselves, so a
 * rotation that was interrupted goes on where it was.
 */
export class Rotation {
  private readonly end = new AbortController();
  private running: Promise<void> | undefined;
  private lastProgressMs = 0;

  constructor(private readonly options: RotationOptions) {}

  start(): void {
    this.running ??= this.run();
  }

  async stop(): Promise<void> {
    this.end.abort();
    await this.running;
  }

  private async run(): Promise<void> {
    const { log, clock, limits } = this.options;
    while (!this.stopped) {
      try {
        await this.rotate();
        return;
      } catch (error) {
        if (this.stopped || (error instanceof JournalError && error.kind === 'fenced')) return;
        log.warn(
          { err: error, retryMs: limits.retryMs },
          'rotation of encryption keys was interrupted: it goes on later',
        );
        await clock.sleep(limits.retryMs, this.end.signal).catch(() => undefined);
      }
    }
  }

  private async rotate(): Promise<void> {
    const { clock, codec, ledger, log } = this.options;
    for (let round = 1; round <= MAX_ROUNDS; round += 1) {
      const labels = new Map<string, number>();
      let unknown = 0;
      for (const table of STORED_TABLES) {
        unknown += await this.survey(table, labels);
        if (this.stopped) return;
      }
      const finished = await this.options.inTurn((connection) =>
        ledger.surveyed(connection, { labels, unknown }, clock.now()),
      );
      for (const label of finished) log.info({ label, activeKey: codec.activeLabel }, farewell(label));
      const left = [...labels].filter(([label]) => label !== codec.activeLabel);
      if (left.length === 0 && unknown === 0) return;
      log.info(
        {
          rows: Object.fromEntries(left.map(([label, rows]) => [named(label), rows])),
          unreadable: unknown,
          activeKey: codec.activeLabel,
        },
        're-encrypting rows',
      );
      for (const table of STORED_TABLES) await this.rewrite(table);
      if (this.stopped) return;
    }
    log.error(
      { rounds: MAX_ROUNDS },
      'rows under other keys keep coming back: does another program write to this database?',
    );
  }

  /** Counts rows by label. @returns how many have none */
  private async survey(table: Table, labels: Map<string, number>): Promise<number> {
    let unknown = 0;
    for await (const page of this.pages(table)) {
      for (const { under } of page) {
        if (under === 'unknown') unknown += 1;
        else if (under !== 'empty') labels.set(under.label, (labels.get(under.label) ?? 0) + 1);
      }
    }
    return unknown;
  }

  private async rewrite(table: Table): Promise<void> {
    const { batchRows, batchBytes } = this.options.limits;
    for await (const page of this.pages(table)) {
      let batch: Candidate[] = [];
      let bytes = 0;
      for (const row of page) {
        if (!this.isOld(row.under)) continue;
        if (batch.length >= batchRows || (batch.length > 0 && bytes + row.bytes > batchBytes)) {
          await this.rewriteBatch(table, batch);
          batch = [];
          bytes = 0;
        }
        batch.push(row);
        bytes += row.bytes;
      }
      if (batch.length > 0) await this.rewriteBatch(table, batch);
      if (this.stopped) return;
    }
  }

  /** Reads the rows again within its transaction, locked: those that have changed or gone meanwhile are as they should be. */
  private async rewriteBatch(table: Table, batch: readonly Candidate[]): Promise<void> {
    if (this.stopped) return;
    const { database, codec, ledger, inTurn, move, noteMoved } = this.options;
    const limits = await this.options.bulkLimits();
    const moved = await this.paced(() =>
      inTurn(async (connection) => {
        const rows = rawRows(table);
        const keys = batch.map(({ keyLiterals: literals }) =>
          table.keyColumns.map((column, position) => `${sqlName(column)}=${literals[position]}`).join(' AND '),
        );
        const columns = table.columns.map(sqlName).join(',');
        const found = await database.rows(
          connection,
          `SELECT ${columns} FROM ${sqlName(table.table)} WHERE (${keys.join(') OR (')}) FOR UPDATE`,
        );
        const reading = newReading(codec);
        const readable: RawRow[] = [];
        const undecodable: UndecodableRow[] = [];
        const counts = new Map<string, number>();
        for (const cells of found) {
          const stored = bytesCell(cells.at(-1));
          const under = storedUnder(stored, stored.length);
          if (!this.isOld(under)) continue;
          try {
            readable.push(rows.read(cells, reading));
          } catch (error) {
            undecodable.push(undecodableRow(table, cells, error));
            continue;
          }
          if (typeof under === 'object') counts.set(under.label, (counts.get(under.label) ?? 0) + 1);
        }
        for (const sql of upsertStatements(rows, readable, codec, limits)) await database.run(connection, sql);
        await ledger.rewritten(connection, counts);
        return move(connection, undecodable);
      }),
    );
    noteMoved(moved);
    await this.reportProgress();
  }

  private isOld(under: ReturnType<typeof storedUnder>): boolean {
    return under === 'unknown' || (under !== 'empty' && under.label !== this.options.codec.activeLabel);
  }

  /** The whole table in order of its key, in bounded statements; without contents. */
  private async *pages(table: Table): AsyncGenerator<(Candidate & { under: ReturnType<typeof storedUnder> })[]> {
    const { database, limits } = this.options;
    const keys = table.keyColumns.map(sqlName).join(',');
    const stored = sqlName(storedColumn(table));
    const head = `SELECT ${keys},LEFT(${stored},${LABEL_PREFIX_BYTES}),LENGTH(${stored}) FROM ${sqlName(table.table)}`;
    let condition = '';
    while (!this.stopped) {
      const sql = `${head} ${condition} ORDER BY ${keys} LIMIT ${limits.pageRows}`;
      const cells = await this.paced(() => database.queryRows(sql));
      const page = cells.map((each) => {
        const bytes = numberCell(each.at(-1));
        return { keyLiterals: keyLiterals(table, each), bytes, under: storedUnder(bytesCell(each.at(-2)), bytes) };
      });
      if (page.length > 0) yield page;
      const last = page.at(-1);
      if (last === undefined || page.length < limits.pageRows) return;
      condition = `WHERE ${behind(table.keyColumns, last.keyLiterals)}`;
    }
  }

  /** Leaves the database to others for some time after each piece of work. */
  private async paced<T>(work: () => Promise<T>): Promise<T> {
    const { clock, limits } = this.options;
    const begun = performance.now();
    const result = await work();
    const pauseMs = Math.ceil((performance.now() - begun) * limits.pauseFactor);
    // Stopping cuts the pause short; whoever works on looks whether it has.
    await clock.sleep(pauseMs, this.end.signal).catch(() => undefined);
    return result;
  }

  private async reportProgress(): Promise<void> {
    const { clock, ledger, log } = this.options;
    if (clock.now() - this.lastProgressMs < PROGRESS_LOG_MS) return;
    this.lastProgressMs = clock.now();
    const left = (await ledger.status()).filter(({ active, finishedAtMs }) => !active && finishedAtMs === 0);
    const rows = Object.fromEntries(
      left.map(({ label, rowsLeft, rowsRewritten }) => [named(label), { rowsLeft, rowsRewritten }]),
    );
    log.info({ rows }, 'rotation of encryption keys goes on');
  }

  private get stopped(): boolean {
    return this.end.signal.aborted;
  }
}

function farewell(label: string): string {
  return label === ''
    ? 'no row is stored in plain any more'
    : `no row needs the key "${label}" any more: it may be removed from encryption.keys of all servers`;
}

function named(label: string): string {
  return label === '' ? '(plain)' : label;
}
