import { describe, expect, it } from 'vitest';
import { accountableFor, plainAddress } from './client-address.js';

describe("a client's address", () => {
  it.each([
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['0:0:0:0:0:ffff:c000:201', '192.0.2.1'],
    ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
    ['fe80::1%eth0', 'fe80::1'],
    ['nonsense', 'nonsense'],
  ])('%s is written as %s', (text, plain) => {
    expect(plainAddress(text)).toBe(plain);
  });

  it.each([
    ['192.0.2.1', '192.0.2.1'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['1:2:3:4:5:6:7::', '1:2:3:4::/64'],
  ])('%s answers as %s', (address, whole) => {
    expect(accountableFor(address)).toBe(whole);
  });
});
