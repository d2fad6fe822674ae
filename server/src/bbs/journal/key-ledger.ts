import type { PoolConnection } from 'mysql2/promise';
import type { DetailCodec } from '../../database/detail-codec.js';
import type { Database } from '../../database/pool.js';
import { sqlBytes, sqlInteger, sqlString } from '../../database/sql-text.js';
import { withConflictRetries } from '../../database/transaction.js';
import { JournalError, type KeyStatus } from './journal.js';
import { booleanCell, bytesCell, textCell } from './row-codec.js';

interface Entry extends KeyStatus {
  readonly keyCheck: Buffer;
}

/** Rows under each label; `unknown` for what no codec has written. */
export interface Survey {
  readonly labels: ReadonlyMap<string, number>;
  readonly unknown: number;
}

/** The keys that this server has are not the ones that the database needs. `fenced`: it may not write. */
export class WrongKeysError extends JournalError {
  constructor(message: string) {
    super('fenced', message);
    this.name = 'WrongKeysError';
  }
}

/**
 * Which labels rows may be stored under: the table `encryption_status`. A label is entered in the transaction that opens a term, before
 * anything is written under it, and is needed until a survey of all tables within a term has found no row. So a start need not look
 * at rows to know which keys it needs.
 */
export class KeyLedger {
  constructor(
    private readonly database: Database,
    private readonly codec: DetailCodec,
  ) {}

  /** @throws WrongKeysError naming the label and the remedy */
  async requireKeys(connection: PoolConnection): Promise<void> {
    this.check(await this.read(connection));
  }

  /**
   * Enters the active label, in the transaction that opens a term.
   * @returns whether rows may be stored under others
   * @throws WrongKeysError
   */
  async enter(connection: PoolConnection, nowMs: number): Promise<boolean> {
    const entries = await this.read(connection);
    this.check(entries);
    const { activeLabel } = this.codec;
    const known = entries.find(({ label }) => label === activeLabel);
    if (known?.active !== true || known.finishedAtMs > 0) {
      await this.database.run(connection, 'UPDATE encryption_status SET active = 0 WHERE active <> 0');
      await this.database.run(
        connection,
        'INSERT INTO encryption_status (label,key_check,active,rows_left,rows_rewritten,entered_at_ms,surveyed_at_ms,finished_at_ms) ' +
          `VALUES (${sqlString(activeLabel)},${sqlBytes(this.codec.keyCheck(activeLabel))},1,-1,0,${sqlInteger(nowMs)},0,0) ` +
          // A label that is still needed has been checked; one that was done with may stand for another key by now.
          'ON DUPLICATE KEY UPDATE active=1, key_check=VALUES(key_check), finished_at_ms=0',
      );
    }
    return entries.some(({ label, finishedAtMs }) => label !== activeLabel && finishedAtMs === 0);
  }

  async status(): Promise<KeyStatus[]> {
    const entries = await withConflictRetries(this.database, (connection) => this.read(connection));
    return entries.map(({ keyCheck: _, ...status }) => status);
  }

  /** Moves counts from labels to the active one, in the transaction that rewrote the rows. */
  async rewritten(connection: PoolConnection, counts: ReadonlyMap<string, number>): Promise<void> {
    for (const [label, count] of counts) {
      await this.database.run(
        connection,
        `UPDATE encryption_status SET rows_left = GREATEST(rows_left - ${sqlInteger(count)}, 0), ` +
          `rows_rewritten = rows_rewritten + ${sqlInteger(count)} WHERE label = ${sqlString(label)}`,
      );
    }
  }

  /**
   * Keeps what a survey found. When it met nothing that it could not attribute, labels without rows are done with.
   * @returns labels that this survey has proven not to be needed any more
   */
  async surveyed(connection: PoolConnection, survey: Survey, nowMs: number): Promise<string[]> {
    const finished: string[] = [];
    for (const { label, finishedAtMs } of await this.read(connection)) {
      const left = survey.labels.get(label) ?? 0;
      const done = left === 0 && survey.unknown === 0 && label !== this.codec.activeLabel;
      if (done && finishedAtMs === 0) finished.push(label);
      await this.database.run(
        connection,
        `UPDATE encryption_status SET rows_left = ${sqlInteger(left)}, surveyed_at_ms = ${sqlInteger(nowMs)}, ` +
          `finished_at_ms = ${sqlInteger(done ? finishedAtMs || nowMs : 0)} WHERE label = ${sqlString(label)}`,
      );
    }
    return finished;
  }

  private check(entries: readonly Entry[]): void {
    const { labels } = this.codec;
    for (const { label, finishedAtMs, keyCheck, active } of entries) {
      if (label === '' || finishedAtMs > 0) continue;
      const use = active ? 'rows are encrypted' : 'rows may still be encrypted';
      if (!labels.includes(label)) {
        throw new WrongKeysError(
          `${use} under the key "${label}", which is not configured: add it to encryption.keys with its passphrase, ` +
            'and remove it only when the log says that no row needs it',
        );
      }
      if (!this.codec.holdsKey(label, keyCheck)) {
        throw new WrongKeysError(
          `${use} under another key "${label}" than the one that is configured: restore the passphrase that ` +
            `encryption.keys.${label} had, and give a new passphrase a new label`,
        );
      }
    }
  }

  private async read(connection: PoolConnection): Promise<Entry[]> {
    const found = await this.database.rows(
      connection,
      'SELECT label,key_check,active,rows_left,rows_rewritten,finished_at_ms FROM encryption_status ORDER BY label',
    );
    return found.map((cells) => ({
      label: textCell(cells[0]),
      keyCheck: bytesCell(cells[1]),
      active: booleanCell(cells[2]),
      rowsLeft: Number(cells[3]) < 0 ? undefined : Number(cells[3]),
      rowsRewritten: Number(cells[4]),
      finishedAtMs: Number(cells[5]),
    }));
  }
}
