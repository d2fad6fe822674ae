import { describe, expect, test, vi } from 'vitest';
import { ManualClock, steadyClock, systemClock } from './clock.js';

describe('the manual clock', () => {
  test('fires timers in the order of their time, each at its own time', async () => {
    const clock = new ManualClock(1000);
    const fired: string[] = [];
    for (const ms of [30, 10, 20, 10]) clock.setTimer(ms, () => fired.push(`${ms}@${clock.now()}`));
    await clock.advance(25);
    expect(fired).toEqual(['10@1010', '10@1010', '20@1020']);
    expect(clock.now()).toBe(1025);
    await clock.advance(5);
    expect(fired.at(-1)).toBe('30@1030');
  });

  test('fires timers that timers make, when they fall due in time', async () => {
    const clock = new ManualClock();
    const ticks: number[] = [];
    const tick = (): void => {
      ticks.push(clock.now());
      clock.setTimer(10, tick);
    };
    clock.setTimer(10, tick);
    await clock.advance(35);
    expect(ticks).toEqual([10, 20, 30]);
  });

  test('lets code that sleeps go on before time does', async () => {
    const clock = new ManualClock();
    const steps: number[] = [];
    void (async () => {
      for (let i = 0; i < 3; i++) {
        await clock.sleep(100);
        await Promise.resolve();
        steps.push(clock.now());
      }
    })();
    await clock.advance(1000);
    expect(steps).toEqual([100, 200, 300]);
    expect(clock.pending).toBe(0);
  });

  test('a cancelled timer does not fire', async () => {
    const clock = new ManualClock();
    let fired = false;
    const cancel = clock.setTimer(10, () => {
      fired = true;
    });
    cancel();
    await clock.advance(10);
    expect(fired).toBe(false);
  });
});

describe.each([
  ['manual', new ManualClock()],
  ['system', systemClock],
])('sleep of the %s clock', (_, clock) => {
  test('ends with the reason of an aborted signal, before or while it sleeps', async () => {
    await expect(clock.sleep(60_000, AbortSignal.abort(new Error('early')))).rejects.toThrow('early');
    const aborter = new AbortController();
    const asleep = clock.sleep(60_000, aborter.signal);
    aborter.abort(new Error('enough'));
    await expect(asleep).rejects.toThrow('enough');
  });
});

test('the system clock measures time', async () => {
  const before = systemClock.now();
  await systemClock.sleep(20);
  expect(systemClock.now() - before).toBeGreaterThanOrEqual(19);
});

test('a timer of the system clock that is months away does not fire at once', async () => {
  let fired = false;
  const cancel = systemClock.setTimer(2 ** 32, () => {
    fired = true;
  });
  await systemClock.sleep(20);
  cancel();
  expect(fired).toBe(false);
});

test('the steady clock tells the time of day, and goes on when that is set', () => {
  const before = steadyClock.now();
  expect(Math.abs(before - systemClock.now())).toBeLessThan(60_000);
  const date = vi.spyOn(Date, 'now').mockReturnValue(before - 3_600_000);
  try {
    expect(systemClock.now()).toBe(before - 3_600_000);
    expect(steadyClock.now()).toBeGreaterThanOrEqual(before);
  } finally {
    date.mockRestore();
  }
});
