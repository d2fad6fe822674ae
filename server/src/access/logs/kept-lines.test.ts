import fc from 'fast-check';
import { expect, test } from 'vitest';
import { KeptLines } from './kept-lines.js';
import { line, texts } from './lines-for-tests.js';

const ROOM = { lines: 1_000, bytes: 1_000_000 };

test('lines are in order of time, and those of one time as they were written', () => {
  const kept = new KeptLines(0, ROOM);
  kept.add([line('d', 4, 9), line('b', 2, 5)]);
  kept.add([line('a', 1, 7), line('c', 2, 6)]);
  expect(texts(kept.inOrder())).toEqual(['a', 'b', 'c', 'd']);
  expect(kept.dropped).toBe(0);
});

test('of a tail the newest lines stay, and the others are not missed', () => {
  const kept = new KeptLines(2, ROOM);
  kept.add([line('c', 3, 1)]);
  kept.add([line('a', 1, 1), line('b', 2, 2)]);
  expect(texts(kept.inOrder())).toEqual(['b', 'c']);
  expect(kept.dropped).toBe(0);
});

test('what does not fit is the oldest, and counted', () => {
  const kept = new KeptLines(0, { lines: 3, bytes: 1_000_000 });
  for (let at = 10; at > 0; at--) kept.add([line(`${at}`, at, at)]);
  expect(texts(kept.inOrder())).toEqual(['8', '9', '10']);
  expect(kept.dropped).toBe(7);
});

test('lines are as many as fit by weight', () => {
  const kept = new KeptLines(0, { lines: 1_000, bytes: 10_000 });
  kept.add(Array.from({ length: 30 }, (_, at) => line('x'.repeat(1_000), at, at)));
  expect(kept.inOrder().length).toBeGreaterThan(5);
  expect(kept.inOrder().length).toBeLessThan(10);
  expect(kept.dropped).toBe(30 - kept.inOrder().length);
});

test('a tail that does not fit misses lines', () => {
  const kept = new KeptLines(10, { lines: 4, bytes: 1_000_000 });
  kept.add(Array.from({ length: 20 }, (_, at) => line(`${at}`, at, at)));
  expect(texts(kept.inOrder())).toEqual(['16', '17', '18', '19']);
  expect(kept.dropped).toBe(6);
});

test('however lines come, the newest stay, and every line is kept or counted', () => {
  const batches = fc.array(fc.array(fc.nat(50), { maxLength: 20 }), { maxLength: 20 });
  fc.assert(
    fc.property(batches, fc.integer({ min: 1, max: 30 }), (times, lines) => {
      const kept = new KeptLines(0, { lines, bytes: 1_000_000 });
      for (const batch of times) kept.add(batch.map((at, index) => line('', at, index)));
      const all = times.flat().sort((a, b) => a - b);
      const left = kept.inOrder().map(({ time }) => (time?.getTime() ?? 0) % 86_400_000);
      expect(left).toEqual(all.slice(-lines));
      expect(kept.dropped).toBe(all.length - left.length);
    }),
  );
});
