/** What every lease store must do. Its tests call `leaseStoreContract` with a factory. */
import { describe, expect, it } from 'vitest';
import { LeaseHeldError, type LeaseRequest, type LeaseStore } from './lease-store.js';

/** An empty store, seen by several clients, and a way to let its time pass. */
export interface LeaseStoreBed {
  client(): LeaseStore;
  elapse(ms: number): Promise<void>;
}

const lock = (owner: string, overrides: Partial<LeaseRequest> = {}): LeaseRequest => ({
  key: 'key',
  owner,
  type: 'lock',
  value: `value of ${owner}`,
  ttlMs: 15_000,
  ...overrides,
});

export function leaseStoreContract(name: string, open: () => Promise<LeaseStoreBed>): void {
  describe(name, () => {
    it('gives a free key to the first and to nobody else, naming the holder', async () => {
      const bed = await open();
      const first = await bed.client().acquire(lock('a'));
      expect(first).toEqual({
        key: 'key',
        owner: 'a',
        type: 'lock',
        value: 'value of a',
        epoch: 1,
        remainingMs: 15_000,
      });
      const refusal = await bed
        .client()
        .acquire(lock('b'))
        .catch((error: unknown) => error);
      expect(refusal).toBeInstanceOf(LeaseHeldError);
      expect(refusal).toMatchObject({ lease: { owner: 'a', value: 'value of a', epoch: 1 } });
    });

    it('lets only one of many win who come at once', async () => {
      const bed = await open();
      const results = await Promise.allSettled(
        Array.from({ length: 8 }, (_, position) => bed.client().acquire(lock(`owner-${position}`))),
      );
      expect(results.filter((result) => result.status === 'fulfilled')).toHaveLength(1);
      for (const result of results)
        if (result.status === 'rejected') expect(result.reason).toBeInstanceOf(LeaseHeldError);
    });

    it('renews for the owner under the same epoch, with a new value and a new span', async () => {
      const bed = await open();
      await bed.client().acquire(lock('a'));
      await bed.elapse(10_000);
      expect(await bed.client().acquire(lock('a', { value: 'new' }))).toMatchObject({ epoch: 1, value: 'new' });
      await bed.elapse(10_000);
      expect(await bed.client().fetch('key')).toMatchObject({ owner: 'a', value: 'new', epoch: 1 });
    });

    it('gives an expired key to another under the next epoch', async () => {
      const bed = await open();
      await bed.client().acquire(lock('a'));
      await bed.elapse(15_001);
      expect(await bed.client().acquire(lock('b'))).toMatchObject({ owner: 'b', epoch: 2 });
      await expect(bed.client().acquire(lock('a'))).rejects.toThrow(LeaseHeldError);
    });

    it('counts an owner that comes back after expiry as a new one', async () => {
      const bed = await open();
      await bed.client().acquire(lock('a'));
      await bed.elapse(15_001);
      expect(await bed.client().acquire(lock('a'))).toMatchObject({ epoch: 2 });
    });

    it('never gives an epoch twice, not even after a release', async () => {
      const bed = await open();
      const store = bed.client();
      const epochs: number[] = [];
      for (const owner of ['a', 'a', 'b', 'a']) {
        epochs.push((await store.acquire(lock(owner))).epoch);
        await store.release('key', owner);
      }
      expect(epochs).toEqual([1, 2, 3, 4]);
    });

    it('counts each key for itself', async () => {
      const bed = await open();
      const store = bed.client();
      await store.acquire(lock('a'));
      expect(await store.acquire(lock('b', { key: 'Key' }))).toMatchObject({ owner: 'b', epoch: 1 });
      expect(await store.acquire(lock('c', { key: 'key ' }))).toMatchObject({ owner: 'c', epoch: 1 });
    });

    it('frees a key on release, for the owner alone', async () => {
      const bed = await open();
      const store = bed.client();
      await store.acquire(lock('a'));
      await expect(store.release('key', 'b')).rejects.toThrow(LeaseHeldError);
      await store.release('key', 'a');
      expect(await store.fetch('key')).toBeUndefined();
      await store.release('key', 'a');
      await store.release('never', 'a');
      expect(await store.acquire(lock('b'))).toMatchObject({ owner: 'b' });
    });

    it('lets anybody release what has expired, as there is nothing to release', async () => {
      const bed = await open();
      const store = bed.client();
      await store.acquire(lock('a'));
      await bed.elapse(15_001);
      await store.release('key', 'b');
      expect(await store.fetch('key')).toBeUndefined();
    });

    it('says how long a lease has left', async () => {
      const bed = await open();
      const store = bed.client();
      await store.acquire(lock('a'));
      await bed.elapse(5_000);
      const remaining = (await store.fetch('key'))?.remainingMs ?? 0;
      expect(remaining).toBeLessThanOrEqual(10_000);
      expect(remaining).toBeGreaterThan(5_000);
    });

    it('lists what is held in order of key, by type and page by page', async () => {
      const bed = await open();
      const store = bed.client();
      for (const key of ['c', 'a', 'e', 'd', 'b']) {
        await store.acquire(lock('o', { key, type: key === 'd' ? 'presence' : 'lock' }));
      }
      await store.acquire(lock('o', { key: 'short', ttlMs: 1_000 }));
      await store.release('e', 'o');
      await bed.elapse(1_001);
      const keys = async (options: Parameters<LeaseStore['list']>[0]) =>
        (await store.list(options)).map((each) => each.key);
      expect(await keys({ limit: 10 })).toEqual(['a', 'b', 'c', 'd']);
      expect(await keys({ limit: 2 })).toEqual(['a', 'b']);
      expect(await keys({ limit: 2, afterKey: 'b' })).toEqual(['c', 'd']);
      expect(await keys({ limit: 10, type: 'presence' })).toEqual(['d']);
      expect(await keys({ limit: 10, type: 'lock', afterKey: 'a' })).toEqual(['b', 'c']);
    });

    it('keeps any text', async () => {
      const bed = await open();
      const text = `'"\\ \n ünïcødé 🚀`;
      await bed.client().acquire(lock(text, { key: text, value: text.repeat(1000) }));
      expect(await bed.client().fetch(text)).toMatchObject({ key: text, owner: text, value: text.repeat(1000) });
      await bed.client().acquire(lock('o', { key: 'empty', value: '' }));
      expect(await bed.client().fetch('empty')).toMatchObject({ value: '' });
    });

    it.each([
      ['a key that is too long', { key: 'k'.repeat(256) }],
      ['no key', { key: '' }],
      ['no owner', { owner: '' }],
      ['a value that is too long', { value: 'v'.repeat(65_536) }],
      ['no time to live', { ttlMs: 0 }],
      ['half a millisecond', { ttlMs: 0.5 }],
    ])('refuses %s', async (_, overrides) => {
      const bed = await open();
      await expect(bed.client().acquire(lock('a', overrides))).rejects.toThrow(RangeError);
      expect(await bed.client().list({ limit: 10 })).toEqual([]);
    });
  });
}
