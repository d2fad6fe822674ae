import type { LogFilter } from '@rivera/gen/rivera/rep/v1/container';
import { RiveraError } from '@rivera/kit/errors';
import type { CellAddress } from '../directory.js';
import { KeptLines } from './kept-lines.js';
import type { LogLimits } from './limits.js';
import { type CellReading, partOfCell } from './part-of-cell.js';

/** What the cells keep. */
export interface History {
  readonly lines: KeptLines;
  /** Lines that the cells had lost already. */
  readonly dropped: number;
  readonly unreachableCells: Record<string, string>;
}

/** Asks the cells for what they keep, a few at a time. @throws the signal's reason */
export async function gatherHistory(
  reading: CellReading,
  cells: readonly CellAddress[],
  filter: LogFilter,
  limits: LogLimits,
  signal: AbortSignal,
): Promise<History> {
  const lines = new KeptLines(filter.tail, limits.kept);
  const unreachableCells: Record<string, string> = {};
  let dropped = 0;
  const left = cells.values();
  const askSome = async (): Promise<void> => {
    for (const cell of left) {
      try {
        for await (const part of partOfCell(reading, cell, filter, signal, limits.silenceMs)) {
          lines.add(part.entries);
          dropped += part.dropped;
        }
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof RiveraError)) throw error;
        unreachableCells[cell.cellId] = error.message;
      }
    }
  };
  await Promise.all(Array.from({ length: limits.cellsAtOnce }, askSome));
  signal.throwIfAborted();
  return { lines, dropped, unreachableCells };
}
