import type { Event } from '@rivera/gen/rivera/bbs/v1/event';
import type { Clock } from '@rivera/kit/clock';
import { RiveraError } from '@rivera/kit/errors';
import type { RowChange } from '../core/draft.js';
import type { Commit } from '../engine/batch.js';
import { eventsOf } from './events.js';

/** A durable change, with its events made once for all watchers, when the first one wants them. */
export class LoggedChange {
  private cached: Event[] | undefined;

  constructor(
    readonly revision: number,
    readonly change: RowChange,
    private readonly timeMs: number,
  ) {}

  get events(): Event[] {
    this.cached ??= eventsOf(this.change, { revision: this.revision, timeMs: this.timeMs });
    return this.cached;
  }
}

/** How long to wait for news, and by which timers. */
export interface Patience {
  readonly timeoutMs: number;
  readonly time: Pick<Clock, 'setTimer'>;
}

/**
 * The latest durable changes, shared by all watchers: each reads at its own pace, none can slow another, and the memory is
 * bounded by the log and not by the watchers. One that falls out of it is cut off.
 */
export class ChangeLog {
  private entries: LoggedChange[] = [];
  /** Position of `entries[0]` since the term began. */
  private firstPosition = 0;
  private revision: number;
  private readonly waiters = new Set<() => void>();

  constructor(
    /** Everything up to here was durable when the log began. */
    readonly startRevision: number,
    private readonly capacity: number,
  ) {
    this.revision = startRevision;
  }

  append(commits: readonly Commit[]): void {
    const end = this.endPosition;
    for (const commit of commits) {
      for (const change of commit.changes) this.entries.push(new LoggedChange(commit.revision, change, commit.timeMs));
      this.revision = commit.revision;
    }
    // Trimmed by halves, so that appending costs the same at any capacity.
    if (this.entries.length > 2 * this.capacity) {
      const surplus = this.entries.length - this.capacity;
      this.entries = this.entries.slice(surplus);
      this.firstPosition += surplus;
    }
    if (this.endPosition === end) return;
    for (const wake of [...this.waiters]) wake();
  }

  get lastRevision(): number {
    return this.revision;
  }

  get endPosition(): number {
    return this.firstPosition + this.entries.length;
  }

  /**
   * Where to read on behind a revision.
   * @throws RESUME_TOKEN_TOO_OLD when changes behind it are not kept any more
   */
  positionAfter(revision: number): number {
    const oldestKept = this.firstPosition === 0 ? this.startRevision : (this.entries[0] as LoggedChange).revision;
    if (revision < oldestKept || revision > this.revision) throw tooOld(revision);
    let low = 0;
    let high = this.entries.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.entries[middle] as LoggedChange).revision <= revision) low = middle + 1;
      else high = middle;
    }
    return this.firstPosition + low;
  }

  /** Up to `limit` entries from a position. @throws WATCHER_TOO_SLOW when they are gone */
  read(position: number, limit: number): LoggedChange[] {
    const offset = position - this.firstPosition;
    if (offset < 0) {
      throw new RiveraError(
        'WATCHER_TOO_SLOW',
        'this watcher fell too far behind: resume, or start again with a snapshot',
      );
    }
    return this.entries.slice(offset, offset + limit);
  }

  /** Everything up to this revision lies before a position: what a token may claim. A revision may be cut by it. */
  revisionBefore(position: number): number {
    const next = this.entries[position - this.firstPosition];
    return next === undefined ? this.revision : next.revision - 1;
  }

  /** Resolves when there is something behind `position`, after `timeoutMs`, or when the signal is aborted. */
  wait(position: number, { timeoutMs, time }: Patience, signal: AbortSignal): Promise<void> {
    if (this.endPosition > position || signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const done = () => {
        cancelTimer();
        signal.removeEventListener('abort', done);
        this.waiters.delete(done);
        resolve();
      };
      const cancelTimer = time.setTimer(timeoutMs, done);
      signal.addEventListener('abort', done, { once: true });
      this.waiters.add(done);
    });
  }
}

function tooOld(revision: number): RiveraError {
  return new RiveraError(
    'RESUME_TOKEN_TOO_OLD',
    `changes behind revision ${revision} are not kept here any more: start again with a snapshot`,
  );
}
