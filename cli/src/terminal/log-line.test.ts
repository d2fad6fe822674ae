import { LogEntry, LogStream } from '@rivera/gen/rivera/rep/v1/container';
import { describe, expect, it } from 'vitest';
import { formatLogLine, SeenLines } from './log-line.js';
import { coloursFor } from './output.js';

const entry = LogEntry.fromPartial({
  time: new Date(2026, 2, 24, 1, 33, 50, 410),
  source: 'APP',
  index: 0,
  stream: LogStream.STDOUT,
  payload: Buffer.from('Dora started'),
  cellId: 'cell-1',
  containerGuid: 'c1',
  sequence: 7,
});

describe('a log line', () => {
  it('has the time, the source with its index, the stream and the text', () => {
    expect(formatLogLine(entry, coloursFor(false))).toMatch(
      /^ {3}2026-03-24T01:33:50\.41[+-]\d{4} \[APP\/0\] {6}OUT Dora started$/,
    );
  });

  it('is red when it came from standard error, on a terminal', () => {
    const error = { ...entry, stream: LogStream.STDERR };
    expect(formatLogLine(error, coloursFor(false))).toContain(' ERR Dora started');
    const red = coloursFor(true).red(formatLogLine(error, coloursFor(false)));
    expect(formatLogLine(error, coloursFor(true))).toBe(red);
    expect(red.length).toBeGreaterThan(formatLogLine(error, coloursFor(false)).length);
  });
});

describe('lines that were seen', () => {
  it('are shown once, however often they are read', () => {
    const seen = new SeenLines();
    expect(seen.add(entry)).toBe(true);
    expect(seen.add({ ...entry })).toBe(false);
    expect(seen.add({ ...entry, sequence: 8 })).toBe(true);
    expect(seen.add({ ...entry, containerGuid: 'c2' })).toBe(true);
  });

  it('are told apart after the agent started to count anew', () => {
    const seen = new SeenLines();
    seen.add(entry);
    expect(seen.add({ ...entry, time: new Date(2026, 2, 24, 2) })).toBe(true);
  });
});
