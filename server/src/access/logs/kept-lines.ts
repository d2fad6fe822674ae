import type { LogEntry } from '@rivera/gen/rivera/rep/v1/container';
import type { Bound } from './limits.js';
import { weightOf } from './parts.js';

/** Gathers what cells keep: the newest lines, as many as are wanted and fit. */
export class KeptLines {
  private entries: LogEntry[] = [];
  private bytes = 0;
  private seen = 0;
  private readonly wanted: number;

  /** @param tail lines that are wanted; 0: all */
  constructor(
    tail: number,
    private readonly bound: Bound,
  ) {
    this.wanted = tail > 0 ? tail : Number.POSITIVE_INFINITY;
  }

  add(entries: readonly LogEntry[]): void {
    for (const entry of entries) {
      this.entries.push(entry);
      this.bytes += weightOf(entry);
    }
    this.seen += entries.length;
    // Sorting costs, so it is done once as much again has come: for a moment this holds twice its bound.
    if (this.entries.length > 2 * this.mostLines || this.bytes > 2 * this.bound.bytes) this.cut();
  }

  /** In order of time, and lines of one time as they were written. */
  inOrder(): LogEntry[] {
    this.cut();
    return this.entries;
  }

  /** Lines that were wanted and did not fit. */
  get dropped(): number {
    this.cut();
    return Math.min(this.wanted, this.seen) - this.entries.length;
  }

  private get mostLines(): number {
    return Math.min(this.wanted, this.bound.lines);
  }

  private cut(): void {
    this.entries.sort(byTime);
    let start = this.entries.length;
    let bytes = 0;
    while (start > 0 && this.entries.length - start < this.mostLines) {
      const weight = weightOf(this.entries[start - 1] as LogEntry);
      if (bytes + weight > this.bound.bytes) break;
      bytes += weight;
      start--;
    }
    if (start > 0) this.entries = this.entries.slice(start);
    this.bytes = bytes;
  }
}

function byTime(a: LogEntry, b: LogEntry): number {
  return (a.time?.getTime() ?? 0) - (b.time?.getTime() ?? 0) || a.sequence - b.sequence;
}
