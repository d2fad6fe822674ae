import type { LogEntry, LogFilter } from '@rivera/gen/rivera/rep/v1/container';

/** The log lines that a cell keeps: bounded per LRP or Task, for a while after the last container has gone. */
export interface LogStore {
  append(entry: Omit<LogEntry, 'sequence' | 'cellId' | '_unknownFields'>): void;
  /**
   * What is kept and matches, oldest first; with `follow` it goes on until the signal. A reader that falls behind loses
   * lines and learns how many.
   */
  read(filter: LogFilter, signal: AbortSignal): AsyncIterable<{ entries: LogEntry[]; dropped: number }>;
  /** A line was over the rate of its container; `notice`: it is the first of a row, and the container is told. */
  refused?(notice: boolean): void;
  /** Since the agent began. */
  counts?(): LogCounts;
}

/** Of all lines of a cell. */
export interface LogCounts {
  /** Kept. */
  lines: number;
  /** Dropped, as their container exceeded its rate. */
  rate: number;
  /** Dropped, as a reader had fallen too far behind; once for each of its readers. */
  reader: number;
  /** Times that a container exceeded its rate. */
  excesses: number;
}
