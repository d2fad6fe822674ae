import { closeSync, copyFileSync, fstatSync, openSync, readSync, statSync, truncateSync } from 'node:fs';

/** A log larger than this moves aside; one older part is kept, so a log takes at most about twice this. */
const MOST_BYTES = 32 * 1024 * 1024;

/**
 * Moves a log that has grown too large to `FILE.1`. It is copied and cut rather than renamed, as its writer keeps it open;
 * writers append, so they go on at the new end.
 */
export function boundLog(file: string, mostBytes = MOST_BYTES): void {
  const size = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  if (size <= mostBytes) return;
  copyFileSync(file, `${file}.1`);
  truncateSync(file);
}

/** The last lines of a log, for a message about what went wrong; empty when there is none. */
export function tailOf(file: string, lines: number): string[] {
  let fd: number;
  try {
    fd = openSync(file, 'r');
  } catch {
    return [];
  }
  try {
    const size = fstatSync(fd).size;
    const buffer = Buffer.alloc(Math.min(size, 16 * 1024));
    readSync(fd, buffer, 0, buffer.length, size - buffer.length);
    return buffer
      .toString('utf8')
      .split('\n')
      .filter((line) => line !== '')
      .slice(-lines);
  } finally {
    closeSync(fd);
  }
}
