import { afterAll, beforeAll, expect, test } from 'vitest';
import { serverStream } from './dial.js';
import { TestBed } from './test-bed.js';

const MESSAGES = 2_000;

let bed: TestBed;
beforeAll(async () => {
  bed = await TestBed.create();
});
afterAll(() => bed.close());

/** Counts turns of the event loop. */
function turns(): { readonly count: number; stop(): void } {
  let count = 0;
  let counting = true;
  const turn = (): void => {
    count++;
    if (counting) setImmediate(turn);
  };
  setImmediate(turn);
  return {
    get count() {
      return count;
    },
    stop: () => {
      counting = false;
    },
  };
}

test('small answers leave together, in order, and not one in a turn of the event loop', async () => {
  const { client } = await bed.echo({
    async *listen() {
      for (let i = 0; i < MESSAGES; i++) yield String(i);
    },
  });
  const meanwhile = turns();
  const received: string[] = [];
  for await (const message of serverStream(() => client.listen('hi'))) received.push(message);
  meanwhile.stop();
  expect(received).toEqual(Array.from({ length: MESSAGES }, (_, i) => String(i)));
  expect(meanwhile.count).toBeLessThan(MESSAGES / 8);
});

test('a client that reads nothing stops the answers all the same', async () => {
  let taken = 0;
  const { client } = await bed.echo({
    async *listen() {
      for (;;) {
        taken++;
        yield 'x'.repeat(1_000);
      }
    },
  });
  const responses = serverStream(() => client.listen('hi'));
  await responses.next();
  let before = 0;
  await expect
    .poll(() => {
      const still = taken === before;
      before = taken;
      return still;
    })
    .toBe(true);
  // What fits into the windows of HTTP/2 and into sockets, and 64 KiB.
  expect(taken).toBeLessThan(20_000);
  await responses.return(undefined);
});
