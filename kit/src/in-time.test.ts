import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import { inTime } from './in-time.js';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

const aborted = (signal: AbortSignal) =>
  new Promise<string>((resolve) => {
    const tell = () => resolve((signal.reason as Error).name);
    if (signal.aborted) tell();
    else signal.addEventListener('abort', tell);
  });

it('ends work whose time is over, also when the collector was there meanwhile', async () => {
  const collecting = setInterval(collect, 10);
  try {
    expect(await inTime(200, new AbortController().signal, aborted)).toBe('TimeoutError');
  } finally {
    clearInterval(collecting);
  }
});

it('ends it with the other signal, whenever that was aborted', async () => {
  const other = new AbortController();
  const working = inTime(60_000, other.signal, aborted);
  other.abort(new RangeError('enough'));
  expect(await working).toBe('RangeError');
  expect(await inTime(60_000, other.signal, aborted)).toBe('RangeError');
});

it('leaves nothing behind that would end what comes later', async () => {
  const other = new AbortController();
  let seen: AbortSignal | undefined;
  await inTime(1, other.signal, async (signal) => {
    seen = signal;
  });
  other.abort();
  await new Promise((resolve) => setTimeout(resolve, 5));
  expect(seen?.aborted).toBe(false);
});
