import type { LogEntry, LogFilter } from '@rivera/gen/rivera/rep/v1/container';
import { RiveraError } from '@rivera/kit/errors';
import type { LinesRead } from './lines-read.js';
import { type CellReading, partOfCell } from './part-of-cell.js';

/** Where the lines of cells go. */
export interface LineSink {
  add(entries: readonly LogEntry[], dropped: number): void;
  /** A cell that can't be read at the moment, and why. */
  miss(cellId: string, why: string): void;
}

export interface CellFollowing {
  readonly reading: CellReading;
  readonly cellId: string;
  readonly read: LinesRead;
  readonly sink: LineSink;
  readonly retryMs: number;
  /** What to ask of a cell that has said nothing yet. */
  filter(): LogFilter;
  /** Where the cell is now; undefined: it is gone. */
  address(): string | undefined;
}

/** Follows one cell over any number of streams, until it is gone. Each line is passed on once. @throws the signal's reason */
export async function followCell(
  { reading, cellId, read, sink, retryMs, filter, address }: CellFollowing,
  signal: AbortSignal,
): Promise<void> {
  let told: string | undefined;
  for (let at = address(); at !== undefined; at = address()) {
    try {
      for await (const part of partOfCell(reading, { cellId, address: at }, read.resume(filter()), signal)) {
        told = undefined;
        sink.add(read.fresh(part.entries), part.dropped);
      }
    } catch (error) {
      if (signal.aborted || !(error instanceof RiveraError)) throw error;
      // Once is enough, as long as nothing changes.
      if (told !== error.message) sink.miss(cellId, error.message);
      told = error.message;
    }
    await reading.clock.sleep(retryMs, signal);
  }
}
