import { expect, test } from 'vitest';
import { Outgoing } from './outgoing.js';

const text = (maxBytes: number, capacity = 100) =>
  new Outgoing<string>(capacity, { maxBytes, weigh: (item) => item.length });

/** What can be read without waiting for more: the stream must have ended. */
async function rest<T>(outgoing: Outgoing<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of outgoing) items.push(item);
  return items;
}

test('what is pushed is read in order, and the end comes behind it', async () => {
  const outgoing = new Outgoing<number>(3);
  expect([outgoing.push(1), outgoing.push(2)]).toEqual([true, true]);
  outgoing.end();
  expect(await rest(outgoing)).toEqual([1, 2]);
});

test('a reader that waits gets what comes next', async () => {
  const outgoing = new Outgoing<string>(1);
  const reader = outgoing[Symbol.asyncIterator]();
  const next = reader.next();
  outgoing.push('a');
  expect(await next).toEqual({ done: false, value: 'a' });
  const last = reader.next();
  outgoing.end();
  expect((await last).done).toBe(true);
});

test('there is room for so many items, and again once some are read', async () => {
  const outgoing = new Outgoing<number>(2);
  expect([1, 2, 3].map((item) => outgoing.push(item))).toEqual([true, true, false]);
  const reader = outgoing[Symbol.asyncIterator]();
  expect((await reader.next()).value).toBe(1);
  expect([4, 5].map((item) => outgoing.push(item))).toEqual([true, false]);
  outgoing.end();
  expect(await rest(outgoing)).toEqual([2, 4]);
});

test('there is room for so many bytes, and again once some are read', async () => {
  const outgoing = text(10);
  expect(['12345', '12345', '1'].map((item) => outgoing.push(item))).toEqual([true, true, false]);
  const reader = outgoing[Symbol.asyncIterator]();
  await reader.next();
  expect(['123456', '1234', 'x'].map((item) => outgoing.push(item))).toEqual([false, true, true]);
});

test('an item that is larger than all the room passes when nothing else waits', async () => {
  const outgoing = text(10);
  expect(outgoing.push('x'.repeat(50))).toBe(true);
  expect(outgoing.push('y')).toBe(false);
  const reader = outgoing[Symbol.asyncIterator]();
  await reader.next();
  expect(outgoing.push('y')).toBe(true);
  expect(outgoing.push('x'.repeat(50))).toBe(false);
});

test('the count holds beside the bytes', () => {
  expect(['', '', ''].map((item) => text(10, 2).push(item))).toEqual([true, true, true]);
  const outgoing = text(10, 2);
  expect(['', '', ''].map((item) => outgoing.push(item))).toEqual([true, true, false]);
});

test('an item is weighed once, though it may change while it waits', async () => {
  const outgoing = new Outgoing<{ bytes: number }>(100, { maxBytes: 10, weigh: ({ bytes }) => bytes });
  const item = { bytes: 4 };
  outgoing.push(item);
  item.bytes = 400;
  const reader = outgoing[Symbol.asyncIterator]();
  await reader.next();
  expect([{ bytes: 10 }, { bytes: 1 }].map((next) => outgoing.push(next))).toEqual([true, false]);
});

test('the room stays the same however many items pass', async () => {
  const outgoing = text(3_000, 3_000);
  const reader = outgoing[Symbol.asyncIterator]();
  let pushed = 0;
  let read = 0;
  while (outgoing.push('x')) pushed++;
  expect(pushed).toBe(3_000);
  for (let round = 0; round < 5; round++) {
    for (; read < (round + 1) * 1_700; read++) expect((await reader.next()).value).toBe('x');
    while (outgoing.push('x')) pushed++;
    expect(pushed - read).toBe(3_000);
  }
});

test('a failure comes at once, in place of what waits', async () => {
  const outgoing = text(10);
  outgoing.push('a');
  outgoing.end(new Error('over'));
  outgoing.end();
  expect(outgoing.push('b')).toBe(false);
  await expect(rest(outgoing)).rejects.toThrow('over');
});
