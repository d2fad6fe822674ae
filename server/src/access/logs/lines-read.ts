import { crc32 } from 'node:zlib';
import type { LogEntry, LogFilter } from '@rivera/gen/rivera/rep/v1/container';

/** How far before its last line a cell is asked again: lines of several containers do not come in strict order of time. */
const OVERLAP_MS = 5_000;
/** Lines that are remembered; about as many as a cell keeps of one LRP. */
const MAX_REMEMBERED = 4_096;
/** Not worth a look at which of them may be forgotten. */
const FEW = 64;

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
  private forgetAt = FEW;

  /** A new stream begins; its filter. */
  resume(filter: LogFilter): LogFilter {
    this.expected = new Map();
    if (this.lastMs === undefined) return filter;
    this.forget();
    for (const { key } of this.remembered) this.expected.set(key, (this.expected.get(key) ?? 0) + 1);
    // What was forgotten would come twice, so the stream begins with the last of it at the earliest.
    const sinceMs = Math.max(this.lastMs - OVERLAP_MS, Math.min(this.forgotten?.timeMs ?? 0, this.lastMs));
    return { ...filter, since: new Date(Math.max(sinceMs, filter.since?.getTime() ?? 0)), tail: 0 };
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
    if (repeats === 1) this.expected.delete(key);
    else if (repeats > 1) this.expected.set(key, repeats - 1);
    if (repeats > 0) return false;
    const { forgotten } = this;
    if (forgotten && timeOf(entry) <= forgotten.timeMs && entry.sequence <= forgotten.sequence) return false;
    this.remember(entry, key);
    return true;
  }

  private remember(entry: LogEntry, key: number): void {
    this.lastMs = timeOf(entry);
    this.remembered.push({ key, timeMs: this.lastMs, sequence: entry.sequence });
    if (this.remembered.length >= this.forgetAt) this.forget();
  }

  /** Lines that are too old to be repeated, and those that are too many. */
  private forget(): void {
    const horizonMs = (this.lastMs ?? 0) - OVERLAP_MS;
    const recent = this.remembered.filter(({ timeMs }) => timeMs >= horizonMs);
    const excess = Math.max(0, recent.length - MAX_REMEMBERED);
    for (const { timeMs, sequence } of recent.slice(0, excess)) {
      this.forgotten ??= { timeMs, sequence };
      this.forgotten.timeMs = Math.max(this.forgotten.timeMs, timeMs);
      this.forgotten.sequence = Math.max(this.forgotten.sequence, sequence);
    }
    this.remembered = recent.slice(excess);
    this.forgetAt = Math.max(FEW, 2 * this.remembered.length);
  }
}

function timeOf({ time }: LogEntry): number {
  return time?.getTime() ?? 0;
}

/** Time and content of a line in one number: 21 bits of the one, a checksum of the other. */
function keyOf(entry: LogEntry): number {
  const timeMs = timeOf(entry);
  const origin = crc32(`${timeMs}/${entry.containerGuid}/${entry.index}/${entry.source}/${entry.stream}`);
  return (timeMs % 2 ** 21) * 2 ** 32 + crc32(entry.payload, origin);
}
