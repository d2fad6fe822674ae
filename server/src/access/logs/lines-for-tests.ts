import { LogEntry, LogFilter, LogStream } from '@rivera/gen/rivera/rep/v1/container';

/** 2030-01-01, in milliseconds. */
export const DAY_MS = Date.UTC(2030, 0, 1);

/** A line of an instance of "web"; its time is in milliseconds of a day. */
export function line(text: string, atMs: number, sequence: number, of: Partial<LogEntry> = {}): LogEntry {
  return {
    ...LogEntry.create({ processGuid: 'web', containerGuid: 'i-1', source: 'APP', stream: LogStream.STDOUT }),
    time: new Date(DAY_MS + atMs),
    sequence,
    payload: Buffer.from(text),
    ...of,
  };
}

/** All of "web". */
export function filter(of: Partial<LogFilter> = {}): LogFilter {
  return { ...LogFilter.create({ processGuid: 'web' }), ...of };
}

export function texts(entries: readonly LogEntry[]): string[] {
  return entries.map(({ payload }) => payload.toString());
}
