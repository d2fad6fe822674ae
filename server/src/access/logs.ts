import type { ReadLogsResponse } from '@rivera/gen/rivera/access/v1/access_service';
import type { LogFilter } from '@rivera/gen/rivera/rep/v1/container';
import { type Clock, systemClock } from '@rivera/kit/clock';
import type { CellClients } from './cell-clients.js';
import type { Directory } from './directory.js';
import { Follow } from './logs/follow.js';
import { gatherHistory } from './logs/history.js';
import { DEFAULT_LOG_LIMITS, type LogLimits } from './logs/limits.js';
import type { CellReading } from './logs/part-of-cell.js';
import { inParts } from './logs/parts.js';
import { Places } from './logs/places.js';

/** Reads from every cell at once: instances come and go, and what they wrote stays where they ran. */
export class LogReader {
  private readonly limits: LogLimits;
  private readonly gathering: Places;
  private readonly reading: CellReading;

  constructor(
    private readonly directory: Directory,
    clients: CellClients,
    { limits, clock = systemClock }: { limits?: Partial<LogLimits>; clock?: Clock } = {},
  ) {
    this.limits = { ...DEFAULT_LOG_LIMITS, ...limits };
    this.gathering = new Places(this.limits.gathering, this.limits.waiting);
    this.reading = { clients, clock, streams: new Places(this.limits.streams, 0) };
  }

  /**
   * What the cells keep, in order of time; with `follow` what is written from then on, as it comes, until the signal. What is
   * missing is said where it is missing. @throws RiveraError
   */
  async *read(filter: LogFilter, signal: AbortSignal): AsyncGenerator<ReadLogsResponse> {
    const leave = await this.gathering.take(signal);
    try {
      if (filter.follow) {
        yield* new Follow(this.directory, this.reading, this.limits, filter).responses(signal, leave);
        return;
      }
      const cells = await this.directory.presentCells(signal);
      const { lines, dropped, unreachableCells } = await gatherHistory(
        this.reading,
        cells,
        filter,
        this.limits,
        signal,
      );
      const entries = lines.inOrder();
      yield* inParts(entries, { dropped: dropped + lines.dropped, unreachableCells });
    } finally {
      leave();
    }
  }
}
