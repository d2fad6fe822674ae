import type { ReadLogsResponse } from '@rivera/gen/rivera/access/v1/access_service';
import type { LogEntry, LogFilter } from '@rivera/gen/rivera/rep/v1/container';
import { RiveraError } from '@rivera/kit/errors';
import type { Directory } from '../directory.js';
import { followCell, type LineSink } from './cell-follower.js';
import { KeptLines } from './kept-lines.js';
import type { LogLimits } from './limits.js';
import { LinesRead } from './lines-read.js';
import type { CellReading } from './part-of-cell.js';
import { inParts } from './parts.js';
import { WaitingLines } from './waiting-lines.js';

/** Clocks of cells may differ from ours by so much. */
const SKEW_MS = 30_000;
/** Cells that are gone and whose lines are remembered, should they come back; the one that went first is forgotten. */
const MAX_GONE = 256;

/** One reader of what is kept and then of what is written, on whatever cells. */
export class Follow implements LineSink {
  private readonly waiting: WaitingLines;
  /** While what is kept comes in. */
  private kept: KeptLines | undefined;
  private present = new Map<string, string>();
  private readonly read = new Map<string, LinesRead>();
  private readonly followed = new Set<string>();
  private readonly running = new Set<Promise<void>>();
  private readonly stop = new AbortController();
  private readonly startedMs: number;

  constructor(
    private readonly directory: Directory,
    private readonly reading: CellReading,
    private readonly limits: LogLimits,
    private readonly filter: LogFilter,
  ) {
    this.waiting = new WaitingLines(limits.behind);
    this.startedMs = reading.clock.now();
  }

  /**
   * @param gathered is called when what is kept has been passed on
   * @throws RiveraError; it ends without one when the signal is aborted
   */
  async *responses(signal: AbortSignal, gathered: () => void): AsyncGenerator<ReadLogsResponse, void> {
    const abort = (): void => this.stop.abort(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    if (signal.aborted) abort();
    try {
      const kept = new KeptLines(this.filter.tail, this.limits.kept);
      this.kept = kept;
      await this.look();
      await this.reading.clock.sleep(this.limits.gatherMs, this.stop.signal);
      this.kept = undefined;
      this.run(this.keepLooking());
      const { dropped, unreachableCells } = this.waiting.takeGap();
      yield* inParts(kept.inOrder(), { dropped: dropped + kept.dropped, unreachableCells });
      gathered();
      for (;;) yield await this.waiting.take(this.stop.signal);
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      signal.removeEventListener('abort', abort);
      this.stop.abort();
      await Promise.all(this.running);
    }
  }

  add(entries: readonly LogEntry[], dropped: number): void {
    this.kept?.add(entries);
    this.waiting.add(this.kept === undefined ? entries : [], dropped);
  }

  miss(cellId: string, why: string): void {
    this.waiting.miss(cellId, why);
  }

  /** Finds out which cells there are, and follows those that are new. @throws what the BBS answers */
  private async look(): Promise<void> {
    const cells = await this.directory.presentCells(this.stop.signal);
    this.present = new Map(cells.map(({ cellId, address }) => [cellId, address]));
    for (const { cellId } of cells) if (!this.followed.has(cellId)) this.run(this.followOne(cellId));
  }

  private async keepLooking(): Promise<void> {
    for (;;) {
      await this.reading.clock.sleep(this.limits.lookMs, this.stop.signal);
      try {
        await this.look();
      } catch (error) {
        // A passing failure of the BBS must not end a follower: the next look finds the cells.
        if (this.stop.signal.aborted || !(error instanceof RiveraError)) throw error;
      }
    }
  }

  private async followOne(cellId: string): Promise<void> {
    const read = this.read.get(cellId) ?? new LinesRead();
    this.followed.add(cellId);
    this.read.set(cellId, read);
    try {
      const following = {
        reading: this.reading,
        cellId,
        read,
        sink: this,
        retryMs: this.limits.lookMs,
        filter: () => (this.kept === undefined ? this.laterFilter() : this.filter),
        address: () => this.present.get(cellId),
      };
      await followCell(following, this.stop.signal);
    } finally {
      this.followed.delete(cellId);
      this.read.delete(cellId);
      this.gone(cellId, read);
    }
  }

  /** A tail is of what existed at the beginning; of a cell that comes later every line since then is wanted. */
  private laterFilter(): LogFilter {
    const { filter } = this;
    if (filter.tail === 0) return filter;
    const sinceMs = Math.max(filter.since?.getTime() ?? 0, this.startedMs - SKEW_MS);
    return { ...filter, tail: 0, since: new Date(sinceMs) };
  }

  private gone(cellId: string, read: LinesRead): void {
    this.read.set(cellId, read);
    for (const oldest of this.read.keys()) {
      if (this.read.size <= this.followed.size + MAX_GONE) return;
      if (!this.followed.has(oldest)) this.read.delete(oldest);
    }
  }

  /** Until it is done or this stops; anything else that ends it is a bug, which ends this too. */
  private run(task: Promise<void>): void {
    const running = task.catch((error: unknown) => this.stop.abort(error)).finally(() => this.running.delete(running));
    this.running.add(running);
  }
}
