import { createHash, randomBytes } from 'node:crypto';
import { RiveraError } from '@rivera/kit/errors';
import type { Database } from '../database/pool.js';

/** By the database's clock, which all proxies share. */
const NOW_MS = 'CAST(FLOOR(UNIX_TIMESTAMP(NOW(6)) * 1000) AS SIGNED)';
/** Public keys of an installation. */
const MAX_KEYS = 10_000;
/** Codes that may wait for their login. */
const MAX_CODES = 100_000;

/** A public key that may log in. */
export interface StoredKey {
  readonly fingerprint: string;
  readonly publicKey: string;
  readonly name: string;
  /** Empty: every LRP that lets SSH in. */
  readonly processGuids: readonly string[];
  /** 0: never. */
  readonly expiresAtMs: number;
}

interface KeyRow {
  fingerprint: Buffer;
  public_key: Buffer;
  name: Buffer;
  process_guids: Buffer;
  expires_at_ms: number;
}

/** Codes and public keys, in the database: what one server gives out, every proxy knows. */
export class SshStore {
  constructor(private readonly database: Database) {}

  /** A password that opens an LRP once. */
  async makeCode(o: {
    processGuid: string;
    madeBy: string;
    ttlMs: number;
  }): Promise<{ code: string; expiresAtMs: number }> {
    await this.database.query(`DELETE FROM ssh_codes WHERE expires_at_ms <= ${NOW_MS}`);
    const [{ n } = { n: 0 }] = await this.database.query<{ n: number }[]>('SELECT COUNT(*) AS n FROM ssh_codes');
    if (n >= MAX_CODES) throw new RiveraError('TOO_MANY_REQUESTS', `${MAX_CODES} codes wait for their login already`);
    const code = randomBytes(24).toString('base64url');
    await this.database.query(
      `INSERT INTO ssh_codes (digest, process_guid, made_by, expires_at_ms) VALUES (?, ?, ?, ${NOW_MS} + ?)`,
      [digestOf(code), o.processGuid, o.madeBy, o.ttlMs],
    );
    const [row] = await this.database.query<{ expires_at_ms: number }[]>(
      'SELECT expires_at_ms FROM ssh_codes WHERE digest = ?',
      [digestOf(code)],
    );
    return { code, expiresAtMs: Number(row?.expires_at_ms ?? 0) };
  }

  /** Uses a code up. Of several who come with one code at once only one gets in. Undefined: it opens nothing here. */
  async takeCode(code: string, processGuid: string): Promise<{ madeBy: string } | undefined> {
    const digest = digestOf(code);
    const rows = await this.database.query<{ made_by: Buffer }[]>(
      `SELECT made_by FROM ssh_codes WHERE digest = ? AND process_guid = ? AND expires_at_ms > ${NOW_MS}`,
      [digest, processGuid],
    );
    if (rows[0] === undefined) return undefined;
    const { affectedRows } = await this.database.query<{ affectedRows: number }>(
      'DELETE FROM ssh_codes WHERE digest = ?',
      [digest],
    );
    return affectedRows === 1 ? { madeBy: rows[0].made_by.toString() } : undefined;
  }

  async addKey(key: Omit<StoredKey, 'expiresAtMs'>, ttlMs: number): Promise<StoredKey> {
    await this.database.query(`DELETE FROM ssh_keys WHERE expires_at_ms > 0 AND expires_at_ms <= ${NOW_MS}`);
    const [{ n } = { n: 0 }] = await this.database.query<{ n: number }[]>('SELECT COUNT(*) AS n FROM ssh_keys');
    if (n >= MAX_KEYS) throw new RiveraError('SSH_KEYS_EXHAUSTED', `${MAX_KEYS} public keys are registered already`);
    const expiry = ttlMs > 0 ? `${NOW_MS} + ${Math.round(ttlMs)}` : '0';
    await this.database.query(
      `REPLACE INTO ssh_keys (fingerprint, public_key, name, process_guids, expires_at_ms) VALUES (?, ?, ?, ?, ${expiry})`,
      [key.fingerprint, key.publicKey, key.name, Buffer.from(JSON.stringify(key.processGuids))],
    );
    const stored = await this.findKey(key.fingerprint);
    if (!stored) throw new RiveraError('INTERNAL', 'the key was not stored');
    return stored;
  }

  async findKey(fingerprint: string): Promise<StoredKey | undefined> {
    return (await this.keys('fingerprint = ?', [fingerprint], 1))[0];
  }

  listKeys(afterFingerprint: string, limit: number): Promise<StoredKey[]> {
    return this.keys('fingerprint > ?', [afterFingerprint], limit);
  }

  /** @returns whether there was one */
  async removeKey(fingerprint: string): Promise<boolean> {
    const { affectedRows } = await this.database.query<{ affectedRows: number }>(
      'DELETE FROM ssh_keys WHERE fingerprint = ?',
      [fingerprint],
    );
    return affectedRows > 0;
  }

  private async keys(where: string, values: unknown[], limit: number): Promise<StoredKey[]> {
    const rows = await this.database.query<KeyRow[]>(
      `SELECT fingerprint, public_key, name, process_guids, expires_at_ms FROM ssh_keys
       WHERE ${where} AND (expires_at_ms = 0 OR expires_at_ms > ${NOW_MS}) ORDER BY fingerprint LIMIT ?`,
      [...values, limit],
    );
    return rows.map((row) => ({
      fingerprint: row.fingerprint.toString(),
      publicKey: row.public_key.toString(),
      name: row.name.toString(),
      processGuids: JSON.parse(row.process_guids.toString()) as string[],
      expiresAtMs: Number(row.expires_at_ms),
    }));
  }
}

function digestOf(code: string): string {
  return createHash('sha256').update(code).digest('hex');
}
