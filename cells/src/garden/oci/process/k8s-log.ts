import type { ProcessOutput } from '../../garden.js';

/** Longest line that the supervisor can have written: its pieces are 8 KiB at most. More means that the file is damaged. */
const MAX_LINE_BYTES = 1024 * 1024;
const NEWLINE = 10;
const SPACE = 32;

/** Reads the supervisor's log, of lines `TIME STREAM F|P DATA`, from chunks cut anywhere. */
export class LogParser {
  private rest: Buffer = Buffer.alloc(0);

  /** Entries that are complete with this chunk. */
  push(chunk: Buffer): ProcessOutput[] {
    const entries: ProcessOutput[] = [];
    let buffer = this.rest.length > 0 ? Buffer.concat([this.rest, chunk]) : chunk;
    for (let end = buffer.indexOf(NEWLINE); end >= 0; end = buffer.indexOf(NEWLINE)) {
      const entry = parseLine(buffer.subarray(0, end));
      if (entry) entries.push(entry);
      buffer = buffer.subarray(end + 1);
    }
    this.rest = buffer.length > MAX_LINE_BYTES ? Buffer.alloc(0) : Buffer.from(buffer);
    return entries;
  }
}

function parseLine(line: Buffer): ProcessOutput | undefined {
  const afterTime = line.indexOf(SPACE);
  const afterStream = line.indexOf(SPACE, afterTime + 1);
  const afterTag = line.indexOf(SPACE, afterStream + 1);
  if (afterTime < 0 || afterStream < 0 || afterTag < 0) return undefined;
  const timeMs = Date.parse(line.toString('latin1', 0, afterTime));
  const stream = line.toString('latin1', afterTime + 1, afterStream);
  if (Number.isNaN(timeMs) || (stream !== 'stdout' && stream !== 'stderr')) return undefined;
  const partial = line.toString('latin1', afterStream + 1, afterTag) === 'P';
  return { timeMs, stream, partial, data: Buffer.from(line.subarray(afterTag + 1)) };
}
