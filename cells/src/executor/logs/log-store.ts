import type { LogEntry, LogFilter } from '@rivera/gen/rivera/rep/v1/container';

/** The log lines that a cell keeps: bounded per LRP or Task, for a while after the last container has gone. */
export interface LogStore {
  append(entry: Omit<LogEntry, 'sequence' | 'cellId' | '_unknownFields'>): void;
  /**
   * What is kept and matches, oldest first; with `follow` it goes on until the signal. A reader that falls behind loses
   * lines and learns how many.
   */
  read(filter: LogFilter, signal: AbortSignal): AsyncIterable<{ entries: LogEntry[]; dropped: number }>;
}
