import type { ReadLogsResponse } from '@rivera/gen/rivera/access/v1/access_service';
import type { LogEntry } from '@rivera/gen/rivera/rep/v1/container';
import type { Bound } from './limits.js';
import { MAX_PART_BYTES, MAX_PART_LINES, weightOf } from './parts.js';

/** What a follower has not read yet. When it falls behind, the oldest lines are given up, and it is told how many. */
export class WaitingLines {
  private entries: LogEntry[] = [];
  /** Entries before this one have been read or given up. */
  private head = 0;
  private bytes = 0;
  private dropped = 0;
  private unreachable: Record<string, string> = {};
  private news = false;
  private wake: (() => void) | undefined;

  constructor(private readonly bound: Bound) {}

  add(entries: readonly LogEntry[], dropped: number): void {
    for (const entry of entries) {
      this.entries.push(entry);
      this.bytes += weightOf(entry);
    }
    this.dropped += dropped;
    while (this.entries.length - this.head > this.bound.lines || this.bytes > this.bound.bytes) {
      this.shift();
      this.dropped++;
    }
    this.shorten();
    if (entries.length > 0 || dropped > 0) this.ring();
  }

  /** A cell that can't be read at the moment. */
  miss(cellId: string, why: string): void {
    this.unreachable[cellId] = why;
    this.ring();
  }

  /** What is missing since the last take, and the next lines behind the gap; waits for either. @throws the signal's reason */
  async take(signal: AbortSignal): Promise<ReadLogsResponse> {
    while (!this.news && this.head === this.entries.length) await this.rung(signal);
    signal.throwIfAborted();
    const gap = this.takeGap();
    const entries: LogEntry[] = [];
    for (let bytes = 0; this.head < this.entries.length && entries.length < MAX_PART_LINES; ) {
      bytes += weightOf(this.entries[this.head] as LogEntry);
      if (bytes > MAX_PART_BYTES && entries.length > 0) break;
      entries.push(this.shift());
    }
    this.shorten();
    return { entries, ...gap };
  }

  /** What is missing since the last take. */
  takeGap(): Pick<ReadLogsResponse, 'dropped' | 'unreachableCells'> {
    const { dropped, unreachable: unreachableCells } = this;
    this.dropped = 0;
    this.unreachable = {};
    this.news = false;
    return { dropped, unreachableCells };
  }

  private shift(): LogEntry {
    const entry = this.entries[this.head] as LogEntry;
    this.bytes -= weightOf(entry);
    this.head++;
    return entry;
  }

  /** Moves the list only when half of it has been read, so that each line costs the same. */
  private shorten(): void {
    if (this.head * 2 < this.entries.length) return;
    this.entries = this.entries.slice(this.head);
    this.head = 0;
  }

  private ring(): void {
    this.news = true;
    this.wake?.();
  }

  private async rung(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await new Promise<void>((resolve) => {
      this.wake = resolve;
      signal.addEventListener('abort', this.wake, { once: true });
    });
    if (this.wake !== undefined) signal.removeEventListener('abort', this.wake);
    this.wake = undefined;
    signal.throwIfAborted();
  }
}
