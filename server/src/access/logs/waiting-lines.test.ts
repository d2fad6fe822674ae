import { getEventListeners } from 'node:events';
import { ReadLogsResponse } from '@rivera/gen/rivera/access/v1/access_service';
import { describe, expect, it } from 'vitest';
import { line, texts } from './lines-for-tests.js';
import { inParts, MAX_PART_BYTES, MAX_PART_LINES } from './parts.js';
import { WaitingLines } from './waiting-lines.js';

const ROOM = { lines: 10_000, bytes: 64 * 1024 * 1024 };
const numbered = (from: number, count: number, text = '') =>
  Array.from({ length: count }, (_, index) => line(`${from + index}${text}`, from + index, from + index));
const { signal } = new AbortController();

describe('lines that wait', () => {
  it('are taken in order, in bounded messages', async () => {
    const waiting = new WaitingLines(ROOM);
    waiting.add(numbered(0, 1_500), 0);
    waiting.add(numbered(1_500, 1_000), 0);
    const parts = [await waiting.take(signal), await waiting.take(signal), await waiting.take(signal)];
    expect(parts.map(({ entries }) => entries.length)).toEqual([MAX_PART_LINES, MAX_PART_LINES, 500]);
    expect(texts(parts.flatMap(({ entries }) => entries))).toEqual(texts(numbered(0, 2_500)));
  });

  it('that are too many go from the oldest on, and the gap is told before what follows it', async () => {
    const waiting = new WaitingLines({ lines: 3, bytes: 1_000_000 });
    waiting.add(numbered(0, 5), 0);
    waiting.add(numbered(5, 1), 4);
    const part = await waiting.take(signal);
    expect(texts(part.entries)).toEqual(['3', '4', '5']);
    expect(part.dropped).toBe(3 + 4);
    waiting.add(numbered(6, 1), 0);
    expect(await waiting.take(signal)).toMatchObject({ dropped: 0 });
  });

  it('that are too heavy go from the oldest on', async () => {
    const waiting = new WaitingLines({ lines: 1_000, bytes: 10_000 });
    waiting.add(numbered(0, 30, 'x'.repeat(1_000)), 0);
    const { entries, dropped } = await waiting.take(signal);
    expect(entries.length).toBeGreaterThan(5);
    expect(entries.length + dropped).toBe(30);
    expect(entries.at(-1)?.sequence).toBe(29);
  });

  it('are not needed for a gap to be told', async () => {
    const waiting = new WaitingLines(ROOM);
    waiting.add([], 2);
    expect(await waiting.take(signal)).toEqual({ entries: [], dropped: 2, unreachableCells: {} });
    waiting.miss('c1', 'no route');
    expect(await waiting.take(signal)).toEqual({ entries: [], dropped: 0, unreachableCells: { c1: 'no route' } });
  });

  it('wake their reader, and so does the end', async () => {
    const waiting = new WaitingLines(ROOM);
    const stop = new AbortController();
    const taken = waiting.take(stop.signal);
    waiting.add([], 0);
    waiting.add(numbered(1, 1), 0);
    expect(texts((await taken).entries)).toEqual(['1']);
    const never = waiting.take(stop.signal);
    stop.abort(new Error('enough'));
    await expect(never).rejects.toThrow('enough');
    expect(getEventListeners(stop.signal, 'abort')).toEqual([]);
  });
});

describe('lines in parts', () => {
  it('are a part even when there are none', () => {
    expect([...inParts([], { dropped: 3, unreachableCells: { c: 'gone' } })]).toEqual([
      { entries: [], dropped: 3, unreachableCells: { c: 'gone' } },
    ]);
  });

  it('say once what is missing', () => {
    const parts = [...inParts(numbered(0, 2_001), { dropped: 3, unreachableCells: { c: 'gone' } })];
    expect(parts.map(({ entries, dropped }) => [entries.length, dropped])).toEqual([
      [1_000, 3],
      [1_000, 0],
      [1, 0],
    ]);
    expect(parts.map(({ unreachableCells }) => Object.keys(unreachableCells).length)).toEqual([1, 0, 0]);
  });

  it('fit into messages', () => {
    const tags = Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`tag-${index}`, 'v'.repeat(100)]));
    const guids = { containerGuid: 'g'.repeat(36), logGuid: 'g'.repeat(36), cellId: 'c'.repeat(30) };
    const heavy = numbered(0, 900, 'x'.repeat(3_000)).map((entry) => ({ ...entry, ...guids, tags }));
    const parts = [...inParts(heavy, { dropped: 0, unreachableCells: {} })];
    expect(parts.flatMap(({ entries }) => entries)).toEqual(heavy);
    for (const part of parts) expect(ReadLogsResponse.encode(part).finish().length).toBeLessThan(1.1 * MAX_PART_BYTES);
    expect(parts.length).toBeLessThan(8);
  });

  it('hold a line that is larger than a part', () => {
    const parts = [
      ...inParts([line('x'.repeat(2 * MAX_PART_BYTES), 1, 1), line('y', 2, 2)], { dropped: 0, unreachableCells: {} }),
    ];
    expect(parts.map(({ entries }) => entries.length)).toEqual([1, 1]);
  });
});
