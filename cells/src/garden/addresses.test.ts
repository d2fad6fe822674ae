import { describe, expect, it } from 'vitest';
import { addressNumber, addressOf, mergeRanges, parseRange, rangeFault } from './addresses.js';

describe('a range of addresses', () => {
  it.each([
    ['10.0.0.1', '10.0.0.1', '10.0.0.1'],
    ['10.1.2.3/8', '10.0.0.0', '10.255.255.255'],
    ['0.0.0.0/0', '0.0.0.0', '255.255.255.255'],
    ['10.0.0.1/32', '10.0.0.1', '10.0.0.1'],
    ['9.255.255.255-10.0.0.0', '9.255.255.255', '10.0.0.0'],
    ['fd00::/120', 'fd00::', 'fd00::ff'],
    ['::1', '::1', '::1'],
    ['::/0', '::', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
  ])('%s is %s to %s', (text, start, end) => {
    expect(parseRange(text)).toEqual({ start, end });
  });

  it.each([
    '',
    'example.com',
    '010.0.0.1',
    '10.0.0.0/33',
    '10.0.0.0/',
    '10.0.0.0/8/8',
    '::/129',
    '10.0.0.2-10.0.0.1',
    '10.0.0.1-::1',
    '1.1.1.1-1.1.1.2-1.1.1.3',
    'fe80::1%eth0',
    '10.0.0.1; flush ruleset',
  ])('is not %j', (text) => {
    expect(parseRange(text)).toBeUndefined();
  });

  it('says what is wrong with it', () => {
    expect(rangeFault({ start: 'x', end: '::1' })).toBe("'x' is not an address");
    expect(rangeFault({ start: '1.1.1.1', end: '::1' })).toBe('1.1.1.1 and ::1 are of different families');
    expect(rangeFault({ start: '::2', end: '::1' })).toBe('::2 comes after ::1');
  });
});

it('addresses are numbers, and numbers addresses', () => {
  expect(addressNumber('10.0.0.1')).toBe(0x0a000001n);
  expect(addressOf(0x0a000001n + 255n, 4)).toBe('10.0.1.0');
  expect(addressOf(addressNumber('fd12:3456::') + 10n, 6)).toBe('fd12:3456::a');
});

it('ranges that touch become one', () => {
  const range = (first: number, last: number) => ({ first: BigInt(first), last: BigInt(last) });
  expect(mergeRanges([range(5, 9), range(1, 2), range(3, 4), range(7, 20), range(22, 22)])).toEqual([
    range(1, 20),
    range(22, 22),
  ]);
});
