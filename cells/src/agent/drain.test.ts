import { ManualClock } from '@rivera/kit/clock';
import { silentLogger } from '@rivera/kit/log';
import { describe, expect, it } from 'vitest';
import { untilDrained } from './drain.js';

/** Work that ends when the test says so. */
function work() {
  let end = () => {};
  const over = new Promise<void>((resolve) => {
    end = resolve;
  });
  return { reconciler: { size: 3, empty: () => over }, end: () => end() };
}

async function start(timeoutMs: number) {
  const clock = new ManualClock();
  const { reconciler, end } = work();
  let drained: boolean | undefined;
  const waiting = untilDrained({ reconciler, clock, log: silentLogger, timeoutMs }).then((outcome) => {
    drained = outcome;
  });
  return { clock, end, waiting, drained: () => drained };
}

describe('draining', () => {
  it('waits until nothing is left', async () => {
    const { clock, end, waiting, drained } = await start(600_000);
    await clock.advance(599_000);
    expect(drained()).toBeUndefined();
    end();
    await waiting;
    expect(drained()).toBe(true);
  });

  it('waits for so long and no longer', async () => {
    const { clock, waiting, drained } = await start(25_000);
    await clock.advance(24_999);
    expect(drained()).toBeUndefined();
    await clock.advance(1);
    await waiting;
    expect(drained()).toBe(false);
  });
});
