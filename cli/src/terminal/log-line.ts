import { type LogEntry, LogStream } from '@rivera/gen/rivera/rep/v1/container';
import type { Colours } from './output.js';
import { formatTimestamp } from './time.js';

/** Wide enough for `[HEALTH/10]`, so that the streams of an application's usual sources stand in one column. */
const SOURCE_WIDTH = 12;

/**
 * `   2026-03-24T01:33:50.41-0700 [APP/0]      OUT Dora started`: the reference's shape (spec access §9.5).
 * The text itself is passed as it is: colours of an application are its own.
 */
export function formatLogLine(entry: LogEntry, colours: Colours): string {
  const time = entry.time === undefined ? '-' : formatTimestamp(entry.time);
  const source = `[${entry.source || 'LOG'}/${entry.index}]`.padEnd(SOURCE_WIDTH);
  const text = Buffer.from(entry.payload).toString('utf8');
  const isError = entry.stream === LogStream.STDERR;
  const line = `   ${time} ${source} ${isError ? 'ERR' : 'OUT'} ${text}`;
  return isError ? colours.red(line) : line;
}

/** Lines of one container that are remembered; a cell keeps fewer, so an older one is not sent again. */
const REMEMBERED_LINES = 20_000;

/**
 * Log lines that come from several reads of the same log, each once: a cell's agent numbers its lines, so a line that was
 * seen before is known by its cell, container, number and time (an agent that was started anew counts from the beginning).
 */
export class SeenLines {
  readonly #seen = new Map<string, Set<string>>();

  /** Whether this line is new. */
  add(entry: LogEntry): boolean {
    const stream = `${entry.cellId}/${entry.containerGuid}`;
    const lines = this.#seen.get(stream) ?? new Set<string>();
    this.#seen.set(stream, lines);
    const line = `${entry.sequence}@${entry.time?.getTime() ?? 0}`;
    if (lines.has(line)) return false;
    lines.add(line);
    if (lines.size > REMEMBERED_LINES) {
      const oldest = lines.values().next();
      if (!oldest.done) lines.delete(oldest.value);
    }
    return true;
  }
}
