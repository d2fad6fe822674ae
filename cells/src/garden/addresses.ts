import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

/** Addresses of one family, both ends included. */
export interface AddressRange {
  start: string;
  end: string;
}

/** 4 or 6; 0 for what is no address. Only the plain spellings: `010.1` and `fe80::1%eth0` mean different things to different programs. */
export function familyOf(address: string): 0 | 4 | 6 {
  if (address.includes('%')) return 0;
  return isIP(address) as 0 | 4 | 6;
}

/** Addresses of one family compare as their numbers do. */
export function addressNumber(address: string): bigint {
  return BigInt(`0x${Buffer.from(ipaddr.parse(address).toByteArray()).toString('hex')}`);
}

/** The address with a number. */
export function addressOf(number: bigint, family: 4 | 6): string {
  const bytes = Buffer.from(number.toString(16).padStart(family === 4 ? 8 : 32, '0'), 'hex');
  return ipaddr.fromByteArray([...bytes]).toString();
}

/** What `ADDRESS`, `ADDRESS/BITS` or `FIRST-LAST` stands for; undefined when it is none of them. */
export function parseRange(text: string): AddressRange | undefined {
  const [start = '', end = start, ...more] = text.split('-');
  if (more.length > 0) return undefined;
  if (text.includes('/')) return subnetRange(text);
  const range = { start, end };
  return rangeFault(range) === undefined ? range : undefined;
}

/** What is wrong with a range; undefined when nothing is. */
export function rangeFault({ start, end }: AddressRange): string | undefined {
  if (familyOf(start) === 0) return `'${start}' is not an address`;
  if (familyOf(end) === 0) return `'${end}' is not an address`;
  if (familyOf(start) !== familyOf(end)) return `${start} and ${end} are of different families`;
  return addressNumber(start) <= addressNumber(end) ? undefined : `${start} comes after ${end}`;
}

function subnetRange(text: string): AddressRange | undefined {
  const [address = '', bits = '', ...more] = text.split('/');
  const family = familyOf(address);
  if (family === 0 || more.length > 0 || !/^\d{1,3}$/.test(bits) || Number(bits) > (family === 4 ? 32 : 128))
    return undefined;
  const size = 1n << BigInt((family === 4 ? 32 : 128) - Number(bits));
  const first = (addressNumber(address) / size) * size;
  return { start: addressOf(first, family), end: addressOf(first + size - 1n, family) };
}

/** Ranges in order, with those that touch or overlap made one: kernel sets want them apart. */
export function mergeRanges(ranges: readonly { first: bigint; last: bigint }[]): { first: bigint; last: bigint }[] {
  const merged: { first: bigint; last: bigint }[] = [];
  for (const range of [...ranges].sort((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0))) {
    const before = merged.at(-1);
    if (before && range.first <= before.last + 1n) {
      if (range.last > before.last) before.last = range.last;
    } else merged.push({ ...range });
  }
  return merged;
}
