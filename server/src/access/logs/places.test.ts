import { getEventListeners } from 'node:events';
import { expect, test } from 'vitest';
import { Places } from './places.js';

const { signal } = new AbortController();
const soon = () => new Promise((resolve) => setImmediate(resolve));

test('there are so many places, and one more for each that is left', () => {
  const places = new Places(2, 0);
  const leave = places.tryTake();
  places.tryTake();
  expect(places.tryTake()).toBeUndefined();
  leave?.();
  leave?.();
  expect(places.tryTake()).toBeDefined();
  expect(places.tryTake()).toBeUndefined();
});

test('who waits gets a place in order of coming', async () => {
  const places = new Places(1, 5);
  const leave = await places.take(signal);
  const order: number[] = [];
  const waiting = [1, 2, 3].map(async (who) => {
    const leaveAgain = await places.take(signal);
    order.push(who);
    leaveAgain();
  });
  await soon();
  expect(order).toEqual([]);
  leave();
  await Promise.all(waiting);
  expect(order).toEqual([1, 2, 3]);
});

test('where too many wait the next one is refused', async () => {
  const places = new Places(1, 1);
  const leave = await places.take(signal);
  const second = places.take(signal);
  await expect(places.take(signal)).rejects.toMatchObject({ reason: 'TOO_MANY_REQUESTS', retryDelayMs: 1_000 });
  leave();
  (await second)();
});

test('who gives up waiting leaves the place to the next', async () => {
  const places = new Places(1, 2);
  const leave = await places.take(signal);
  const stop = new AbortController();
  const second = places.take(stop.signal);
  const third = places.take(signal);
  stop.abort(new Error('enough'));
  await expect(second).rejects.toThrow('enough');
  expect(getEventListeners(stop.signal, 'abort')).toEqual([]);
  leave();
  (await third)();
  expect(places.tryTake()).toBeDefined();
});

test('a place whose taker gives up in that very moment is not lost', async () => {
  const places = new Places(1, 2);
  const leave = await places.take(signal);
  const stop = new AbortController();
  const second = places.take(stop.signal);
  const third = places.take(signal);
  leave();
  stop.abort(new Error('enough'));
  await expect(second).rejects.toThrow('enough');
  (await third)();
});
