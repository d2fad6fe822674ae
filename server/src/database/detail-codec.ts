import { sqlBytes, sqlString } from './sql-text.js';

/**
 * How the cold part of a row, or a payload, is kept in its column. The first byte of what is stored names the format, so that rows
 * of several formats can live side by side: encryption is a further format, and re-encryption a rewriting of rows in the background.
 */
export interface DetailCodec {
  /** An SQL literal of a document. */
  writeText(text: string): string;
  readText(stored: Buffer): string;
  /** An SQL literal of a payload. */
  writeBytes(bytes: Uint8Array): string;
  readBytes(stored: Buffer): Uint8Array;
}

/** Format 1: the plain content behind the format byte. */
const PLAIN = 1;
const PLAIN_PREFIX = String.fromCharCode(PLAIN);

/** Stores content as it is. */
export const plainDetailCodec: DetailCodec = {
  writeText: (text) => sqlString(PLAIN_PREFIX + text),
  readText: (stored) => plain(stored).toString('utf8'),
  writeBytes: (bytes) => `x'0${PLAIN}${sqlBytes(bytes).slice(2)}`,
  // A copy of its own: a view would keep the whole network packet in memory.
  readBytes: (stored) => new Uint8Array(plain(stored)),
};

function plain(stored: Buffer): Buffer {
  if (stored[0] !== PLAIN) {
    throw new Error(`a row is stored in format ${stored[0] ?? 'none'}, which this program can't read`);
  }
  return stored.subarray(1);
}
