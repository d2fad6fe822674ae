import { describe, expect, it } from 'vitest';
import { decodePageToken, encodePageToken, pageSize, takePage } from './paging.js';

describe('pages', () => {
  const keyOf = (row: string) => row;
  const bounds = { defaultSize: 2, maxSize: 3 };

  it('have the asked size within bounds', () => {
    expect(pageSize(0, bounds)).toBe(2);
    expect(pageSize(3, bounds)).toBe(3);
    expect(() => pageSize(4, bounds)).toThrow(/page_size must be 0..3/);
    expect(() => pageSize(-1, bounds)).toThrow(/page_size/);
  });

  it('go on behind the last row, and the last page says that it is', () => {
    const rows = ['a', 'b', 'c'];
    const first = takePage(rows, { size: 2, keyOf });
    expect(first.page).toEqual(['a', 'b']);
    const after = decodePageToken(first.nextPageToken);
    expect(
      takePage(
        rows.filter((row) => row > after),
        { size: 2, keyOf },
      ),
    ).toEqual({ page: ['c'], nextPageToken: '' });
    expect(takePage(rows, { size: 3, keyOf }).nextPageToken).toBe('');
  });

  it('end when they are large, but always have one row', () => {
    const large = { size: 10, keyOf, weigh: () => 800_000 };
    expect(takePage(['a', 'b', 'c'], large).page).toEqual(['a', 'b']);
    expect(takePage(['a', 'b'], { ...large, weigh: () => 2_000_000 }).page).toEqual(['a']);
  });

  it('refuse tokens that were not made here', () => {
    expect(decodePageToken('')).toBe('');
    expect(decodePageToken(encodePageToken('x/ü'))).toBe('x/ü');
    for (const token of ['nonsense', '!!', `${encodePageToken('x')}=`]) {
      expect(() => decodePageToken(token)).toThrow(/page_token/);
    }
  });
});
