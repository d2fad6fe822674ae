import type { PoolConnection } from 'mysql2/promise';
import type { DetailCodec } from '../../database/detail-codec.js';
import type { Database } from '../../database/pool.js';
import { sqlName, sqlString } from '../../database/sql-text.js';
import { openSnapshot } from '../../database/transaction.js';
import type { ChangedKeys } from './handover.js';
import { JournalError, type JournalRows } from './journal.js';
import type { PayloadRow } from './payload-rows.js';
import { type UndecodableRow, undecodableRow } from './quarantine.js';
import { newReading, type RowCodec } from './row-codec.js';
import { readRows, readSnapshot } from './snapshot.js';
import { readTerm, requireSame, type Term } from './term.js';

/** Payloads asked for in one statement. */
const PAYLOADS_PER_READ = 100;

/** What the journal reads, each time from one moment. Throws errors of the database and JournalErrors. */
export class Reader {
  constructor(
    private readonly database: Database,
    private readonly codec: DetailCodec,
  ) {}

  /** All rows with which a term begins. @throws JournalError `fenced` when another one has begun */
  async *load(term: Term, onUndecodable: (row: UndecodableRow) => void): AsyncGenerator<JournalRows> {
    const connection = await openSnapshot(this.database);
    try {
      requireSame(await readTerm(this.database, connection), term);
      yield* readSnapshot({ database: this.database, connection, codec: this.codec, onUndecodable });
    } finally {
      connection.destroy();
    }
  }

  /** All rows of whatever term there is; a row that can't be decoded ends it. */
  async preview(): Promise<{ term: Term; rows: AsyncGenerator<JournalRows> }> {
    const connection = await openSnapshot(this.database);
    try {
      return { term: await readTerm(this.database, connection), rows: this.readStrictly(connection) };
    } catch (error) {
      connection.destroy();
      throw error;
    }
  }

  /** The rows with these keys, as a term begins with them. @throws JournalError `fenced` when another one has begun */
  async reread(term: Term, keys: ChangedKeys): Promise<JournalRows> {
    const { database, codec } = this;
    const connection = await openSnapshot(database);
    try {
      requireSame(await readTerm(database, connection), term);
      return await readRows({ database, connection, codec }, keys);
    } finally {
      connection.destroy();
    }
  }

  /** Payloads by guid; those that can't be decoded are told apart. */
  async payloads(
    rows: RowCodec<PayloadRow>,
    guids: readonly string[],
  ): Promise<{ found: Map<string, Uint8Array>; undecodable: UndecodableRow[] }> {
    const found = new Map<string, Uint8Array>();
    const undecodable: UndecodableRow[] = [];
    const reading = newReading(this.codec);
    const select = `SELECT ${rows.columns.map(sqlName).join(',')} FROM ${sqlName(rows.table)}`;
    for (let start = 0; start < guids.length; start += PAYLOADS_PER_READ) {
      const keys = guids.slice(start, start + PAYLOADS_PER_READ).map(sqlString);
      const sql = `${select} WHERE ${sqlName(rows.keyColumns[0] ?? '')} IN (${keys.join(',')})`;
      for (const cells of await this.database.queryRows(sql)) {
        try {
          const { guid, payload } = rows.read(cells, reading);
          found.set(guid, payload);
        } catch (error) {
          undecodable.push(undecodableRow(rows, cells, error));
        }
      }
    }
    return { found, undecodable };
  }

  private async *readStrictly(connection: PoolConnection): AsyncGenerator<JournalRows> {
    const { database, codec } = this;
    const onUndecodable = ({ table, reason }: UndecodableRow) => {
      throw new JournalError('rejected', `a row of ${table.table} can't be decoded: ${reason}`);
    };
    try {
      yield* readSnapshot({ database, connection, codec, onUndecodable });
    } finally {
      connection.destroy();
    }
  }
}
