import type { ReadLogsResponse } from '@rivera/gen/rivera/access/v1/access_service';
import type { LogEntry } from '@rivera/gen/rivera/rep/v1/container';

/** Bounds of one message. */
export const MAX_PART_LINES = 1_000;
export const MAX_PART_BYTES = 1024 * 1024;

/** Guids, times and the like of a line. */
const LINE_BYTES = 256;

/** About what a line takes in a message, in bytes; never much less. */
export function weightOf({ payload, tags }: LogEntry): number {
  let bytes = LINE_BYTES + payload.length;
  for (const name in tags) bytes += name.length + (tags[name]?.length ?? 0);
  return bytes;
}

/** Cuts lines into messages; the first one says what is missing, and comes even without lines. */
export function* inParts(
  entries: readonly LogEntry[],
  gap: Pick<ReadLogsResponse, 'dropped' | 'unreachableCells'>,
): Generator<ReadLogsResponse> {
  let { dropped, unreachableCells } = gap;
  let start = 0;
  do {
    let end = start;
    let bytes = 0;
    while (end < entries.length && end - start < MAX_PART_LINES) {
      bytes += weightOf(entries[end] as LogEntry);
      if (bytes > MAX_PART_BYTES && end > start) break;
      end++;
    }
    yield { entries: entries.slice(start, end), dropped, unreachableCells };
    dropped = 0;
    unreachableCells = {};
    start = end;
  } while (start < entries.length);
}
