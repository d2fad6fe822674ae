import { isIP, SocketAddress } from 'node:net';

/** Of an IPv6 address, what belongs to one customer: whoever has one address there has 2^64. */
const NETWORK_GROUPS = 4;

/** One way to write each address; those of IPv4 that come as IPv6 are IPv4. */
export function plainAddress(text: string): string {
  if (isIP(text) !== 6) return text;
  const { address } = new SocketAddress({ address: text.replace(/%.*$/, ''), family: 'ipv6' });
  return address.replace(/^::ffff:(?=\d+\.)/, '');
}

/** Whom to hold to account for an address: itself, or of IPv6 its network of 64 bits. */
export function accountableFor(address: string): string {
  if (isIP(address) !== 6) return address;
  const [head = '', tail = ''] = address.split('::');
  const front = head.split(':').filter(Boolean);
  const back = tail.split(':').filter(Boolean);
  const zeros = address.includes('::') ? 8 - front.length - back.length : 0;
  const groups = [...front, ...Array<string>(zeros).fill('0'), ...back].slice(0, NETWORK_GROUPS);
  return `${groups.join(':')}::/64`;
}
