import type { LogEntry } from '@rivera/gen/rivera/rep/v1/container';
import { expect, test } from 'vitest';
import { DAY_MS, filter, line, texts } from './lines-for-tests.js';
import { LinesRead } from './lines-read.js';

/** Opens a stream to a cell that keeps these lines, and returns what of them is new. */
function stream(read: LinesRead, kept: LogEntry[]): string[] {
  const sinceMs = read.resume(filter()).since?.getTime() ?? 0;
  return texts(read.fresh(kept.filter(({ time }) => (time?.getTime() ?? 0) >= sinceMs)));
}

test('the first stream is as the reader wants it', () => {
  const wanted = filter({ tail: 7, since: new Date(5) });
  expect(new LinesRead().resume(wanted)).toEqual(wanted);
});

test('a later stream begins a little before the last line, and has no tail', () => {
  const read = new LinesRead();
  read.resume(filter({ tail: 7 }));
  read.fresh([line('a', 20_000, 1)]);
  expect(read.resume(filter({ tail: 7 }))).toMatchObject({ tail: 0, since: new Date(DAY_MS + 15_000) });
  expect(read.resume(filter({ since: new Date(DAY_MS + 19_000) })).since).toEqual(new Date(DAY_MS + 19_000));
});

test('what is read again is left out, however often', () => {
  const read = new LinesRead();
  const kept = [line('a', 1, 1), line('b', 2, 2)];
  expect(stream(read, kept)).toEqual(['a', 'b']);
  expect(stream(read, kept)).toEqual([]);
  kept.push(line('c', 3, 3));
  expect(stream(read, kept)).toEqual(['c']);
  expect(stream(read, kept)).toEqual([]);
});

test('lines of the same millisecond as the last one are not lost', () => {
  const read = new LinesRead();
  expect(stream(read, [line('a', 5, 1)])).toEqual(['a']);
  expect(stream(read, [line('a', 5, 1), line('b', 5, 2), line('c', 5, 3)])).toEqual(['b', 'c']);
});

test('equal lines of one millisecond count each', () => {
  const read = new LinesRead();
  expect(stream(read, [line('x', 5, 1), line('x', 5, 2)])).toEqual(['x', 'x']);
  expect(stream(read, [line('x', 5, 1), line('x', 5, 2), line('x', 5, 3)])).toEqual(['x']);
});

test('lines of other containers and streams are others', () => {
  const read = new LinesRead();
  expect(stream(read, [line('x', 5, 1)])).toEqual(['x']);
  const others = [
    line('x', 5, 2, { containerGuid: 'i-2' }),
    line('x', 5, 3, { stream: 2 }),
    line('x', 5, 4, { source: 'S' }),
  ];
  expect(stream(read, others)).toEqual(['x', 'x', 'x']);
});

test('a line that comes late with an earlier time is not lost', () => {
  const read = new LinesRead();
  expect(stream(read, [line('b', 4_000, 1)])).toEqual(['b']);
  expect(stream(read, [line('b', 4_000, 1), line('a', 1_000, 2, { containerGuid: 'i-2' })])).toEqual(['a']);
});

test('an agent that starts anew counts anew: only lines that were not read are new', () => {
  const read = new LinesRead();
  expect(stream(read, [line('a', 1, 70), line('b', 2, 71), line('b', 2, 72)])).toEqual(['a', 'b', 'b']);
  const again = [line('a', 1, 1), line('b', 2, 2), line('b', 2, 3), line('b', 2, 4), line('c', 9, 5)];
  expect(stream(read, again)).toEqual(['b', 'c']);
});

test('while a stream lasts nothing is left out, whatever the clock of the cell does', () => {
  const read = new LinesRead();
  read.resume(filter());
  expect(texts(read.fresh([line('a', 900_000, 1), line('b', 3, 2), line('b', 3, 3)]))).toEqual(['a', 'b', 'b']);
  expect(stream(read, [line('c', 4, 4)])).toEqual(['c']);
});

test('of a burst that is too long to be remembered nothing comes twice, and nothing is lost', () => {
  const read = new LinesRead();
  const kept = Array.from({ length: 20_000 }, (_, index) => line(`${index}`, Math.floor(index / 5_000), index));
  expect(stream(read, kept)).toHaveLength(20_000);
  kept.push(line('next', 3, 20_000), line('later', 4, 20_001));
  expect(stream(read, kept)).toEqual(['next', 'later']);
  expect(stream(read, kept)).toEqual([]);
});
