import { describe, expect, it } from 'vitest';
import { paged } from './pages.js';

/** Pages of two items each: 'a1', 'a2', then 'b1' and so on. */
function lists(pages: string, failing = '') {
  const fetched: string[] = [];
  const items = paged(async (token) => {
    const page = token || 'a';
    fetched.push(page);
    if (page === failing) throw new Error(`no page ${page}`);
    const next = pages[pages.indexOf(page) + 1] ?? '';
    return { items: [`${page}1`, `${page}2`], next };
  });
  return { fetched, items };
}

describe('a list of pages', () => {
  it('comes whole and in order', async () => {
    const { items, fetched } = lists('abcd');
    const got: string[] = [];
    for await (const item of items) got.push(item);
    expect(got).toEqual(['a1', 'a2', 'b1', 'b2', 'c1', 'c2', 'd1', 'd2']);
    expect(fetched).toEqual(['a', 'b', 'c', 'd']);
  });

  it('fetches its second page when that is needed, and later ones while the one before is read', async () => {
    const { items, fetched } = lists('abcde');
    const after: Record<string, string> = {};
    for await (const item of items) after[item] = fetched.join('');
    expect(after).toEqual({
      a1: 'a',
      a2: 'a',
      b1: 'abc',
      b2: 'abc',
      c1: 'abcd',
      c2: 'abcd',
      d1: 'abcde',
      d2: 'abcde',
      e1: 'abcde',
      e2: 'abcde',
    });
  });

  it('fails where a page can not be had, after all that came before it', async () => {
    const { items } = lists('abcd', 'd');
    const got: string[] = [];
    const reading = (async () => {
      for await (const item of items) got.push(item);
    })();
    await expect(reading).rejects.toThrow('no page d');
    expect(got).toEqual(['a1', 'a2', 'b1', 'b2', 'c1', 'c2']);
  });

  it('bothers nobody with a page read ahead that fails after the reader has left', async () => {
    const { items, fetched } = lists('abc', 'c');
    for await (const item of items) if (item === 'b1') break;
    expect(fetched).toEqual(['a', 'b', 'c']);
    // A rejection that nobody took up would fail the run.
    await new Promise((resolve) => setImmediate(resolve));
  });
});
