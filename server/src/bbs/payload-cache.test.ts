import { describe, expect, it } from 'vitest';
import { PayloadCache } from './payload-cache.js';

const bytes = (size: number, fill = 1) => new Uint8Array(size).fill(fill);

/** A cache over what a journal has; notes which guids each load asked for. */
function cacheOver(stored: Record<string, Uint8Array>, maxBytes = 100) {
  const loads: string[][] = [];
  const cache = new PayloadCache(maxBytes, async (guids) => {
    loads.push([...guids]);
    return new Map(guids.flatMap((guid) => (stored[guid] ? [[guid, stored[guid]]] : [])));
  });
  return { cache, loads };
}

describe('a payload', () => {
  it('is loaded once, together with all others that are missing', async () => {
    const { cache, loads } = cacheOver({ a: bytes(10), b: bytes(10), c: bytes(10) });
    await cache.get(['a']);
    const found = await cache.get(['a', 'b', 'c']);
    await cache.get(['c', 'b', 'a']);
    expect([...found.keys()].sort()).toEqual(['a', 'b', 'c']);
    expect(loads).toEqual([['a'], ['b', 'c']]);
  });

  it('that is put is not loaded, and one that is deleted is loaded anew', async () => {
    const { cache, loads } = cacheOver({ a: bytes(10, 1) });
    cache.put('a', bytes(10, 2));
    expect((await cache.get(['a'])).get('a')?.[0]).toBe(2);
    cache.delete('a');
    expect((await cache.get(['a'])).get('a')?.[0]).toBe(1);
    expect(loads).toEqual([['a']]);
  });

  it('that does not exist is missing from the answer, and asked for again the next time', async () => {
    const { cache, loads } = cacheOver({});
    expect((await cache.get(['a'])).size).toBe(0);
    await cache.get(['a']);
    expect(loads).toEqual([['a'], ['a']]);
  });
});

describe('the bound', () => {
  it('is in bytes: the ones that were not used for longest go', async () => {
    const { cache, loads } = cacheOver({ a: bytes(40), b: bytes(40), c: bytes(40) });
    await cache.get(['a']);
    await cache.get(['b']);
    await cache.get(['a']);
    await cache.get(['c']);
    loads.length = 0;
    await cache.get(['a']);
    await cache.get(['c']);
    await cache.get(['b']);
    expect(loads).toEqual([['b']]);
  });

  it('counts a payload once, also when it is replaced by a larger or a smaller one', async () => {
    const { cache, loads } = cacheOver({});
    for (let i = 0; i < 10; i++) cache.put('a', bytes(90 - i));
    cache.put('b', bytes(19));
    await cache.get(['a', 'b']);
    expect(loads).toEqual([]);
    cache.put('b', bytes(20));
    await cache.get(['b']);
    expect(loads).toEqual([]);
    await cache.get(['a']);
    expect(loads).toEqual([['a']]);
  });

  it('is not passed by one payload that is larger, and nothing goes for its sake', async () => {
    const { cache, loads } = cacheOver({ large: bytes(101) });
    cache.put('a', bytes(50));
    expect((await cache.get(['large'])).get('large')).toHaveLength(101);
    await cache.get(['a', 'large']);
    expect(loads).toEqual([['large'], ['large']]);
  });
});

describe('a load under way', () => {
  function slow() {
    const answers: ((found: Map<string, Uint8Array>) => void)[] = [];
    const refusals: ((error: Error) => void)[] = [];
    const cache = new PayloadCache(
      100,
      () =>
        new Promise((resolve, reject) => {
          answers.push(resolve);
          refusals.push(reject);
        }),
    );
    return { cache, answers, refusals };
  }

  it('that is overtaken by a newer payload neither answers nor keeps the older one', async () => {
    const { cache, answers } = slow();
    const loading = cache.get(['a']);
    cache.put('a', bytes(1, 2));
    answers[0]?.(new Map([['a', bytes(1, 1)]]));
    expect((await loading).get('a')?.[0]).toBe(2);
    expect((await cache.get(['a'])).get('a')?.[0]).toBe(2);
  });

  it('that is overtaken by a removal is not kept', async () => {
    const { cache, answers } = slow();
    const loading = cache.get(['a']);
    cache.delete('a');
    answers[0]?.(new Map([['a', bytes(1)]]));
    await loading;
    const again = cache.get(['a']);
    expect(answers).toHaveLength(2);
    answers[1]?.(new Map());
    expect((await again).size).toBe(0);
  });

  it('that fails tells who asked, and the next one asks again', async () => {
    const { cache, answers, refusals } = slow();
    const failing = cache.get(['a']);
    refusals[0]?.(new Error('away'));
    await expect(failing).rejects.toThrow('away');
    const again = cache.get(['a']);
    answers[1]?.(new Map([['a', bytes(1, 3)]]));
    expect((await again).get('a')?.[0]).toBe(3);
  });
});
