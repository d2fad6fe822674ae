import { addressNumber, addressOf, familyOf, parseRange } from '../../addresses.js';
import { GardenError } from '../../garden.js';

/** Names of interfaces have room for five digits. */
const MOST_SLOTS = 65_535;
/** The first is the network's, the second the gateway's. */
export const FIRST_SLOT = 2;

/** Network of a cell's containers. Each container has a slot, and with it an address in each family. */
export interface Subnet {
  cidr: string;
  bits: number;
  gateway: string;
  lastSlot: number;
  address(slot: number): string;
}

/** @throws GardenError `unsupported` for what is no network, or one with room for less than five containers */
export function subnetOf(cidr: string): Subnet {
  const range = parseRange(cidr);
  const family = range ? familyOf(range.start) : 0;
  const bits = Number(cidr.split('/')[1]);
  if (!range || family === 0 || !cidr.includes('/') || bits > (family === 4 ? 29 : 125)) {
    throw new GardenError('unsupported', `subnet '${cidr}' is not like 10.213.7.0/24 or fd00:1:2:3::/64`);
  }
  const first = addressNumber(range.start);
  const size = addressNumber(range.end) - first + 1n;
  // The last one of IPv4 is for all.
  const lastSlot = Math.min(Number(size - 2n), MOST_SLOTS);
  const address = (slot: number) => addressOf(first + BigInt(slot), family);
  return { cidr: `${range.start}/${bits}`, bits, gateway: address(1), lastSlot, address };
}
