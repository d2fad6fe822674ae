import { crc32 } from 'node:zlib';
import type { LogEntry, LogFilter } from '@rivera/gen/rivera/rep/v1/container';

/** How far before its last line a cell is asked again: lines of several containers do not come in strict order of time. */
const OVERLAP_MS = 5_000;
/** Lines that are remembered; about as many as a cell keeps of one LRP. */
const MAX_REMEMBERED = 4_096;

interface Remembered {
  readonly key: number;
  readonly timeMs: number;
  readonly sequence: number;
}

/**
 * What one cell has said so far, over any number of streams. A stream after the first begins a little before the last line,
 * and is told which of its lines are repeats. Lines that are equal in all but their sequence count as often as they were read.
 */
export class LinesRead {
  private remembered: Remembered[] = [];
  /** Remembered lines that this stream has not repeated yet, by key. */
  private expected = new Map<number, number>();
  private lastMs: number | undefined;
  /** Of lines that were forgotten: lines up to this time and sequence have been read. */
  private forgotten: { timeMs: number; sequence: number } | undefined;

  /** A new stream begins; its filter. */
  resume(filter: LogFilter): LogFilter {
    this.expected = new Map();
    if (this.lastMs === undefined) return filter;
    this.forget();
    for (const { key } of this.remembered) this.expected.set(key, (this.expected.get(key) ?? 0) + 1);
    return { ...filter, since: new Date(Math.max(this.fromMs(), filter.since?.getTime() ?? 0)), tail: 0 };
  }

  /** The lines that have not been read before. */
  fresh(entries: readonly LogEntry[]): readonly LogEntry[] {
    if (this.expected.size === 0 && this.forgotten === undefined) {
      for (const entry of entries) this.remember(entry, keyOf(entry));
      return entries;
    }
    return entries.filter((entry) => this.isFresh(entry));
  }

  private isFresh(entry: LogEntry): boolean {
    const key = keyOf(entry);
    const repeats = this.expected.get(key) ?? 0;
    if (repeats > 0) {
      if (repeats === 1) this.expected.delete(key);
      else this.expected.set(key, repeats - 1);
      return false;
    }
    this.remember(entry, key);
    return true;
  }

  private remember(entry: LogEntry, key: number): void {
    const timeMs = timeOf(entry);
    this.remembered.push({ key, timeMs, sequence: entry.sequence });
    this.lastMs = timeMs;
    if (this.remembered.length >= 2 * MAX_REMEMBERED) this.forget();
  }

  private forget(): void {
    const excess = this.remembered.length - MAX_REMEMBERED;
  }
}
