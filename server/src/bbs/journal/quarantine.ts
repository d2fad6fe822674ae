import { createHash } from 'node:crypto';
import type { PoolConnection } from 'mysql2/promise';
import { UndecodableError } from '../../database/detail-codec.js';
import type { Database } from '../../database/pool.js';
import { sqlInteger, sqlName, sqlString } from '../../database/sql-text.js';
import { desiredLrpRows } from './desired-lrp-rows.js';
import type { Quarantined, QuarantinedRow } from './journal.js';
import { bytesCell, keyLiterals, keyParts, type Table, textCell } from './row-codec.js';
import { storedColumn } from './stored-tables.js';

/** A row that could not be decoded, as far as it takes to move it: its content stays in the database. */
export interface UndecodableRow {
  readonly table: Table;
  readonly keyLiterals: readonly string[];
  readonly key: readonly (string | number)[];
  /** JSON of the columns between key and content. */
  readonly otherColumns: string;
  /** SHA-256 of the content: what has been written meanwhile is not moved. */
  readonly digest: string;
  readonly reason: string;
}

/** Rows listed at most. */
const MAX_LISTED = 1_000;

export function undecodableRow(table: Table, cells: readonly unknown[], error: unknown): UndecodableRow {
  const others = table.columns.slice(table.keyColumns.length, -1).map((name, position) => {
    const cell = cells[table.keyColumns.length + position];
    return [name, Buffer.isBuffer(cell) ? textCell(cell) : cell] as const;
  });
  return {
    table,
    keyLiterals: keyLiterals(table, cells),
    key: keyParts(table, cells),
    otherColumns: JSON.stringify(Object.fromEntries(others)),
    digest: createHash('sha256')
      .update(bytesCell(cells.at(-1)))
      .digest('hex'),
    // Other errors' messages may quote what they could not parse, which may be a secret.
    reason: error instanceof UndecodableError ? error.message : 'its content is not what this program writes',
  };
}

/** The table of what nobody can read, and what is known of it in memory. */
export class Quarantine {
  private rows = 0;
  private processGuids = new Set<string>();

  constructor(private readonly database: Database) {}

  get summary(): Quarantined {
    return { rows: this.rows, processGuids: this.processGuids };
  }

  /** Reads what earlier terms have set aside. */
  async open(connection: PoolConnection): Promise<void> {
    const counted = await this.database.rows(connection, 'SELECT COUNT(*) FROM quarantine');
    const guids = await this.database.rows(
      connection,
      `SELECT guid FROM quarantine WHERE source_table = ${sqlString(desiredLrpRows.table)} AND superseded_at_ms = 0`,
    );
    this.rows = Number(counted[0]?.[0]);
    this.processGuids = new Set(guids.map((cells) => textCell(cells[0])));
  }

  /** Moves a row that is still as it was found. The caller's transaction makes a whole of it. @returns whether it was */
  async move(connection: PoolConnection, row: UndecodableRow, nowMs: number): Promise<boolean> {
    const { table, key, reason } = row;
    const stored = sqlName(storedColumn(table));
    const found = [
      ...table.keyColumns.map((column, position) => `${sqlName(column)}=${row.keyLiterals[position]}`),
      `SHA2(${stored},256)=${sqlString(row.digest)}`,
    ].join(' AND ');
    const copied = await this.database.run<{ affectedRows: number }>(
      connection,
      'INSERT INTO quarantine (source_table,guid,row_key,reason,quarantined_at_ms,superseded_at_ms,other_columns,stored) ' +
        `SELECT ${sqlString(table.table)},${sqlName(table.keyColumns[0] ?? '')},${sqlString(JSON.stringify(key))},${sqlString(reason)},` +
        `${sqlInteger(nowMs)},0,${sqlString(row.otherColumns)},${stored} FROM ${sqlName(table.table)} WHERE ${found}`,
    );
    if (copied.affectedRows === 0) return false;
    await this.database.run(connection, `DELETE FROM ${sqlName(table.table)} WHERE ${found}`);
    return true;
  }

  /** Takes note of rows that have been moved, once that is durable. */
  moved(rows: readonly UndecodableRow[]): void {
    this.rows += rows.length;
    for (const { table, key } of rows) {
      if (table.table === desiredLrpRows.table) this.processGuids.add(String(key[0]));
    }
  }

  /** Those of the desired LRPs being written whose predecessor lies here. */
  superseding(desiredLrps: ReadonlyMap<string, unknown>): string[] {
    if (this.processGuids.size === 0) return [];
    return [...this.processGuids].filter((guid) => (desiredLrps.get(guid) ?? null) !== null);
  }

  /** The statement that says so of their predecessors. */
  supersession(processGuids: readonly string[], nowMs: number): string {
    return (
      `UPDATE quarantine SET superseded_at_ms = ${sqlInteger(nowMs)} WHERE superseded_at_ms = 0 ` +
      `AND source_table = ${sqlString(desiredLrpRows.table)} AND guid IN (${processGuids.map(sqlString).join(',')})`
    );
  }

  /** Takes note of a supersession, once it is durable. */
  superseded(processGuids: readonly string[]): void {
    for (const guid of processGuids) this.processGuids.delete(guid);
  }

  async list(limit: number): Promise<QuarantinedRow[]> {
    const sql =
      'SELECT id,source_table,row_key,reason,quarantined_at_ms,superseded_at_ms FROM quarantine ' +
      `ORDER BY id DESC LIMIT ${sqlInteger(Math.min(limit, MAX_LISTED))}`;
    const found = await this.database.queryRows(sql);
    return found.map((cells) => ({
      id: Number(cells[0]),
      table: textCell(cells[1]),
      key: JSON.parse(textCell(cells[2])) as (string | number)[],
      reason: textCell(cells[3]),
      quarantinedAtMs: Number(cells[4]),
      supersededAtMs: Number(cells[5]),
    }));
  }
}
