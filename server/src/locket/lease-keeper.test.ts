import { PassThrough } from 'node:stream';
import { ManualClock, systemClock } from '@rivera/kit/clock';
import { createLogger, silentLogger } from '@rivera/kit/log';
import { afterEach, describe, expect, it } from 'vitest';
import { LeaseKeeper, type LeaseKeeperOptions } from './lease-keeper.js';
import { MemoryLeaseStore, MemoryLeases } from './memory-lease-store.js';

const TTL_MS = 15_000;
const keepers: LeaseKeeper[] = [];
const clock = { current: new ManualClock() };

afterEach(async () => {
  await close(...keepers.splice(0));
});

/** Closing waits by the clock, which only moves when told to. */
async function close(...closing: LeaseKeeper[]): Promise<void> {
  const closed = Promise.all(closing.map((keeper) => keeper.close()));
  await clock.current.advance(5_000);
  await closed;
}

function bed() {
  clock.current = new ManualClock(1_790_000_000_000);
  const leases = new MemoryLeases(clock.current);
  const keeper = (owner: string, overrides: Partial<LeaseKeeperOptions> = {}) => {
    const events: string[] = [];
    const made = new LeaseKeeper({
      store: new MemoryLeaseStore(leases),
      key: 'bbs',
      owner,
      value: `${owner}.example:8889`,
      ttlMs: TTL_MS,
      clock: clock.current,
      monotonicMs: () => clock.current.now(),
      logger: silentLogger,
      onAcquired: (epoch) => events.push(`acquired ${epoch}`),
      onLost: (reason) => events.push(`lost: ${reason}`),
      ...overrides,
    });
    keepers.push(made);
    made.start();
    return { keeper: made, events };
  };
  return { clock: clock.current, leases, keeper };
}

const unreachable = () => {
  throw new Error('the database is away');
};

describe('a lease keeper', () => {
  it('names the lease in its log', async () => {
    const { clock, keeper } = bed();
    const written = new PassThrough();
    keeper('a', { logger: createLogger({ name: 'test', destination: written }) });
    await clock.advance(0);
    expect(JSON.parse(String(written.read()))).toMatchObject({ msg: 'lease acquired', lease: 'bbs' });
  });

  it('takes a free lease at once and keeps it', async () => {
    const { clock, keeper } = bed();
    const a = keeper('a');
    await clock.advance(0);
    expect(a.events).toEqual(['acquired 1']);
    await clock.advance(10 * TTL_MS);
    expect(a.events).toEqual(['acquired 1']);
    expect(a.keeper.epoch).toBe(1);
  });

  it('takes what is given back within a fifth of a second', async () => {
    const { clock, keeper } = bed();
    const a = keeper('a');
    await clock.advance(0);
    const b = keeper('b');
    await clock.advance(60_050);
    await a.keeper.close();
    await clock.advance(200);
    expect(b.events).toEqual(['acquired 2']);
  });

  it('stands in line behind another, whom it can name', async () => {
    const { clock, keeper } = bed();
    const a = keeper('a');
    await clock.advance(0);
    const b = keeper('b');
    await clock.advance(10 * TTL_MS);
    expect(a.events).toEqual(['acquired 1']);
    expect(b.events).toEqual([]);
    expect(b.keeper.epoch).toBeUndefined();
    expect(b.keeper.holder).toMatchObject({ owner: 'a', value: 'a.example:8889' });
  });

  it('follows within one retry interval when the holder closes', async () => {
    const { clock, keeper } = bed();
    const a = keeper('a');
    await clock.advance(0);
    const b = keeper('b');
    await clock.advance(20_500);
    await a.keeper.close();
    await clock.advance(1_000);
    expect(b.events).toEqual(['acquired 2']);
    expect(a.events).toEqual(['acquired 1']);
  });

  it('follows within the TTL and one retry interval when the holder can no longer renew, never before the holder knows', async () => {
    const { clock, leases, keeper } = bed();
    let cut = false;
    class CutOff extends MemoryLeaseStore {
      override acquire(request: Parameters<MemoryLeaseStore['acquire']>[0]) {
        return cut ? Promise.reject(new Error('cut off')) : super.acquire(request);
      }
    }
    const a = keeper('a', { store: new CutOff(leases) });
    await clock.advance(0);
    const b = keeper('b');
    await clock.advance(TTL_MS);
    cut = true;
    const cutAt = clock.now();
    while (b.events.length === 0) {
      await clock.advance(100);
      if (b.keeper.epoch !== undefined) expect(a.keeper.epoch).toBeUndefined();
    }
    expect(a.events).toEqual(['acquired 1', 'lost: it could not be renewed in time']);
    expect(b.events).toEqual(['acquired 2']);
    expect(clock.now() - cutAt).toBeLessThanOrEqual(TTL_MS + 1_000 + 100);
  });

  it('bears failed renewals within the TTL', async () => {
    const { clock, leases, keeper } = bed();
    const a = keeper('a');
    await clock.advance(0);
    leases.onOperation = unreachable;
    await clock.advance(0.85 * TTL_MS);
    leases.onOperation = undefined;
    await clock.advance(TTL_MS);
    expect(a.events).toEqual(['acquired 1']);
  });

  it('is deposed before its lease can have run out, and comes back under the next epoch', async () => {
    const { clock, leases, keeper } = bed();
    const a = keeper('a');
    await clock.advance(0);
    leases.onOperation = unreachable;
    await clock.advance(0.9 * TTL_MS - 1);
    expect(a.keeper.epoch).toBe(1);
    await clock.advance(1);
    expect(a.keeper.epoch).toBeUndefined();
    expect(a.events).toEqual(['acquired 1', 'lost: it could not be renewed in time']);
    await clock.advance(TTL_MS);
    leases.onOperation = undefined;
    await clock.advance(1_000);
    expect(a.events).toEqual(['acquired 1', 'lost: it could not be renewed in time', 'acquired 2']);
  });

  it('counts its time from before the request, however late the answer comes', async () => {
    const { clock, leases, keeper } = bed();
    let answer = () => {};
    const a = keeper('a');
    await clock.advance(0);
    leases.onOperation = () =>
      new Promise((resolve) => {
        answer = resolve;
      });
    await clock.advance(TTL_MS / 3);
    // Under way since 5 s; the lease of the first request ends at 13.5 s by the keeper's reckoning, that of this one at 18.5 s.
    await clock.advance(8_000);
    leases.onOperation = undefined;
    answer();
    await clock.advance(0);
    expect(a.keeper.epoch).toBe(1);
    leases.onOperation = unreachable;
    await clock.advance(5_499);
    expect(a.keeper.epoch).toBe(1);
    await clock.advance(1);
    expect(a.keeper.epoch).toBeUndefined();
  });

  it('believes nothing that was answered too late', async () => {
    const { clock, leases, keeper } = bed();
    let answer = () => {};
    leases.onOperation = () =>
      new Promise((resolve) => {
        answer = resolve;
      });
    const a = keeper('a');
    await clock.advance(TTL_MS);
    leases.onOperation = undefined;
    answer();
    await clock.advance(0);
    expect(a.events).toEqual([]);
    await clock.advance(1_000);
    expect(a.events).toEqual(['acquired 1']);
  });

  it('is deposed when its process slept, whichever clock noticed', async () => {
    const { clock, keeper } = bed();
    let monotonic = 0;
    const a = keeper('a', { monotonicMs: () => monotonic });
    await clock.advance(0);
    expect(a.keeper.epoch).toBe(1);
    monotonic += TTL_MS;
    expect(a.keeper.epoch).toBeUndefined();
  });

  it('hands over when it resigns, and stands in line again', async () => {
    const { clock, keeper } = bed();
    const a = keeper('a');
    await clock.advance(0);
    const b = keeper('b');
    await clock.advance(500);
    a.keeper.resign();
    expect(a.keeper.epoch).toBeUndefined();
    await clock.advance(1_000);
    expect(a.events).toEqual(['acquired 1', 'lost: resigned']);
    expect(b.events).toEqual(['acquired 2']);
    await clock.advance(2 * TTL_MS);
    expect(a.keeper.holder).toMatchObject({ owner: 'b' });
  });

  it('releases what it gets while it is being closed', async () => {
    const { clock, leases, keeper } = bed();
    let answer = () => {};
    leases.onOperation = () =>
      new Promise((resolve) => {
        answer = resolve;
      });
    const a = keeper('a');
    await clock.advance(0);
    const closed = a.keeper.close();
    leases.onOperation = undefined;
    answer();
    await closed;
    expect(leases.byKey.get('bbs')).toMatchObject({ owner: '' });
    expect(a.events).toEqual([]);
    expect(clock.pending).toBe(0);
  });

  it('closes even when the store never answers', async () => {
    const { clock, leases, keeper } = bed();
    const a = keeper('a');
    await clock.advance(0);
    leases.onOperation = () => new Promise(() => undefined);
    const closed = a.keeper.close();
    await clock.advance(4_000);
    await closed;
    expect(clock.pending).toBe(0);
  });

  it('works on the real clock too', async () => {
    const leases = new MemoryLeases(systemClock);
    const acquired = await new Promise<number>((resolve) => {
      const keeper = new LeaseKeeper({
        store: new MemoryLeaseStore(leases),
        key: 'k',
        owner: 'o',
        value: '',
        ttlMs: 1_000,
        clock: systemClock,
        logger: silentLogger,
        onAcquired: resolve,
        onLost: () => undefined,
      });
      keepers.push(keeper);
      keeper.start();
    });
    expect(acquired).toBe(1);
  });

  it('refuses a renewal interval that leaves no room for a failure', () => {
    const { keeper } = bed();
    expect(() => keeper('a', { renewEveryMs: TTL_MS })).toThrow('well within its TTL');
  });
});
