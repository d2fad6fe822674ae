import type { PoolConnection } from 'mysql2/promise';
import type { Database } from '../database/pool.js';
import { withTransaction } from '../database/transaction.js';
import { acquiredLease, isHeld, leaseOf, type StoredLease } from './lease-rules.js';
import { type Lease, LeaseHeldError, type LeaseRequest, type LeaseStore, type LeaseType } from './lease-store.js';

/** Columns as `toStored` takes them. Connections are in UTC, so NOW never jumps with a time zone. */
const NOW_MS = 'CAST(FLOOR(UNIX_TIMESTAMP(NOW(6)) * 1000) AS SIGNED)';
const COLUMNS = `lease_key, owner, type, epoch, expires_at_ms, value, ${NOW_MS}`;

const TYPE_CODES = { lock: 1, presence: 2 } as const satisfies Record<LeaseType, number>;

/**
 * Leases in the database, on the database's clock. That is read when a statement begins, so what waited for a lock judges by an
 * earlier time: a lease seems to live longer to others, and never to its owner.
 */
export class MysqlLeaseStore implements LeaseStore {
  /** The database belongs to the caller and outlives the store. */
  constructor(private readonly database: Database) {}

  acquire(request: LeaseRequest): Promise<Lease> {
    return withTransaction(this.database, async (connection) => {
      const found = (await this.lock(connection, request.key)) ?? (await this.makeAndLock(connection, request));
      const lease = acquiredLease(found.stored, request, found.nowMs);
      await this.database.run(
        connection,
        `UPDATE leases SET owner = ?, type = ?, epoch = ?, expires_at_ms = ${NOW_MS} + ?, value = ? WHERE lease_key = ?`,
        [lease.owner, TYPE_CODES[lease.type], lease.epoch, request.ttlMs, Buffer.from(lease.value), request.key],
      );
      return leaseOf(request.key, lease, found.nowMs);
    });
  }

  async release(key: string, owner: string): Promise<void> {
    const released = await this.database.query<{ affectedRows: number }>(
      "UPDATE leases SET owner = '', expires_at_ms = 0, value = '' WHERE lease_key = ? AND owner = ?",
      [key, owner],
    );
    if (released.affectedRows > 0) return;
    const lease = await this.fetch(key);
    if (lease !== undefined) throw new LeaseHeldError(lease);
  }

  async fetch(key: string): Promise<Lease | undefined> {
    const rows = await this.database.queryRows(`SELECT ${COLUMNS} FROM leases WHERE lease_key = ?`, [key]);
    const found = rows[0] === undefined ? undefined : toStored(rows[0]);
    return found !== undefined && isHeld(found.stored, found.nowMs)
      ? leaseOf(key, found.stored, found.nowMs)
      : undefined;
  }

  async list(options: { type?: LeaseType; afterKey?: string; limit: number }): Promise<Lease[]> {
    const conditions = [`owner <> ''`, `expires_at_ms > ${NOW_MS}`];
    const values: unknown[] = [];
    if (options.afterKey !== undefined) {
      conditions.push('lease_key > ?');
      values.push(options.afterKey);
    }
    if (options.type !== undefined) {
      conditions.push('type = ?');
      values.push(TYPE_CODES[options.type]);
    }
    const rows = await this.database.queryRows(
      `SELECT ${COLUMNS} FROM leases WHERE ${conditions.join(' AND ')} ORDER BY lease_key LIMIT ?`,
      [...values, options.limit],
    );
    return rows.map(toStored).map((found) => leaseOf(found.key, found.stored, found.nowMs));
  }

  async close(): Promise<void> {}

  /** The row, locked until the end of the transaction. */
  private async lock(connection: PoolConnection, key: string): Promise<FoundLease | undefined> {
    const sql = `SELECT ${COLUMNS} FROM leases WHERE lease_key = ? FOR UPDATE`;
    const rows = await this.database.rows(connection, sql, [key]);
    return rows[0] === undefined ? undefined : toStored(rows[0]);
  }

  /** A key's first time: makes its row, free, unless somebody else does at this moment; then locks it. */
  private async makeAndLock(connection: PoolConnection, request: LeaseRequest): Promise<FoundLease> {
    // Refused before it is stored, as IGNORE would cut what is too long.
    acquiredLease(undefined, request, 0);
    await this.database.run(
      connection,
      "INSERT IGNORE INTO leases (lease_key, owner, type, epoch, expires_at_ms, value) VALUES (?, '', ?, 0, 0, '')",
      [request.key, TYPE_CODES[request.type]],
    );
    const found = await this.lock(connection, request.key);
    if (found === undefined)
      throw new Error(`the row of the lease "${request.key}" vanished; rows of leases are never deleted`);
    return found;
  }
}

interface FoundLease {
  key: string;
  stored: StoredLease;
  /** The database's time when it answered. */
  nowMs: number;
}

function toStored(cells: unknown[]): FoundLease {
  const [key, owner, type, epoch, expiresAtMs, value, nowMs] = cells;
  return {
    key: String(key),
    stored: {
      owner: String(owner),
      type: Number(type) === TYPE_CODES.lock ? 'lock' : 'presence',
      value: String(value),
      epoch: Number(epoch),
      expiresAtMs: Number(expiresAtMs),
    },
    nowMs: Number(nowMs),
  };
}
