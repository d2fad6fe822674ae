import { closeSync, copyFileSync, fstatSync, openSync, readSync, statSync, truncateSync } from 'node:fs';
import { cut } from '../terminal/text.js';

/** A log larger than this moves aside; one older part is kept, so a log takes at most about twice this. */
const MOST_BYTES = 32 * 1024 * 1024;

/**
 * Moves a log that has grown too large to `FILE.1`. It is copied and cut rather than renamed, as its writer keeps it open;
 * writers append, so they go on at the new end.
 */
export function boundLog(file: string, mostBytes = MOST_BYTES): void {
  if (sizeOf(file) <= mostBytes) return;
  copyFileSync(file, `${file}.1`);
  truncateSync(file);
}

/** Longest line of a log that is quoted. */
const QUOTED_CHARACTERS = 400;

/** Size of a file in bytes; 0 when there is none. */
export function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}

/** The last lines of a log behind a position, for a message about what went wrong; empty when there is none. */
export function tailOf(file: string, lines: number, fromByte = 0): string[] {
  let fd: number;
  try {
    fd = openSync(file, 'r');
  } catch {
    return [];
  }
  try {
    const size = fstatSync(fd).size;
    const buffer = Buffer.alloc(Math.min(Math.max(0, size - fromByte), 16 * 1024));
    readSync(fd, buffer, 0, buffer.length, size - buffer.length);
    return buffer
      .toString('utf8')
      .split('\n')
      .filter((line) => line !== '')
      .slice(-lines)
      .map((line) => cut(line, QUOTED_CHARACTERS));
  } finally {
    closeSync(fd);
  }
}
