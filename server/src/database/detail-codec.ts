import { sqlBytes, sqlString } from './sql-text.js';

/**
 * How the cold part of a row, or a payload, is kept in its column. The first byte of what is stored names the format, so that rows
 * of several formats live side by side, and rotation rewrites them in the background. Every content has a place, the table and key
 * of its row (`placeOf`): an encrypted one can be read at no other.
 */
export interface DetailCodec {
  /** Label of the key that is written under; '' for plain. */
  readonly activeLabel: string;
  /** Labels of all keys that can be read under. */
  readonly labels: readonly string[];
  /** An SQL literal of a document. */
  writeText(text: string, place: Place): string;
  /** @throws UndecodableError */
  readText(stored: Buffer, place: Place): string;
  /** An SQL literal of a payload. */
  writeBytes(bytes: Uint8Array, place: Place): string;
  /** @throws UndecodableError */
  readBytes(stored: Buffer, place: Place): Uint8Array;
  /** What tells later whether a label still stands for the same key. */
  keyCheck(label: string): Buffer;
  /** False when the label now stands for another key than the one that made the check. */
  holdsKey(label: string, check: Buffer): boolean;
}

/** Why stored bytes can't be read. The message never holds any of them, so it can be shown. */
export class UndecodableError extends Error {
  override readonly name = 'UndecodableError';
}

/** Format 1: the plain content behind the format byte. */
export const PLAIN = 1;
/** Formats 2 and 3: see `encrypted-detail-codec.ts`. */
export const ENCRYPTED_BYTES = 2;
export const ENCRYPTED_TEXT = 3;
export const MAX_LABEL_BYTES = 127;
/** So much of what is stored tells its label. */
export const LABEL_PREFIX_BYTES = 2 + MAX_LABEL_BYTES;

const PLAIN_PREFIX = String.fromCharCode(PLAIN);

/** Stores content as it is. */
export const plainDetailCodec: DetailCodec = {
  activeLabel: '',
  labels: [],
  writeText: (text) => sqlString(PLAIN_PREFIX + text),
  readText: (stored) => plainContent(stored).toString('utf8'),
  writeBytes: (bytes) => `x'0${PLAIN}${sqlBytes(bytes).slice(2)}`,
  // A copy of its own: a view would keep the whole network packet in memory.
  readBytes: (stored) => new Uint8Array(plainContent(stored)),
  keyCheck: () => Buffer.alloc(0),
  holdsKey: () => true,
};

/** By the first byte of what is stored. */
export function isEncrypted(stored: Buffer): boolean {
  return stored[0] === ENCRYPTED_BYTES || stored[0] === ENCRYPTED_TEXT;
}

/** @throws UndecodableError for any other format */
export function plainContent(stored: Buffer): Buffer {
  if (stored[0] === PLAIN) return stored.subarray(1);
  if (isEncrypted(stored)) throw new UndecodableError('it is encrypted, and no key is configured');
  throw new UndecodableError(`it is stored in format ${stored[0] ?? 'none'}, which this program can't read`);
}

/** Where a content stands: its table and the key of its row. */
export interface Place {
  readonly table: string;
  readonly key: readonly (string | number)[];
}

export function placeOf(table: string, key: readonly (string | number)[]): Place {
  return { table, key };
}

/** No two places give the same text, whatever is in the keys. What is stored depends on it, so it never changes. */
export function placeText({ table, key }: Place): string {
  let place = table;
  for (const part of key) {
    const text = `${part}`;
    place += `\n${text.length}:${text}`;
  }
  return place;
}

/**
 * Under which key content is stored, from its beginning (`LABEL_PREFIX_BYTES`) and its length: a label; '' for plain; `empty` when there
 * is nothing to encrypt; `unknown` for what no codec has written.
 */
export function storedUnder(prefix: Buffer, bytes: number): { label: string } | 'empty' | 'unknown' {
  if (prefix[0] === PLAIN) return bytes === 1 ? 'empty' : { label: '' };
  const end = 2 + (prefix[1] ?? 0);
  if (!isEncrypted(prefix) || end === 2 || end > prefix.length) return 'unknown';
  return { label: prefix.toString('utf8', 2, end) };
}
