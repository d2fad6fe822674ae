import { GardenError } from '../../garden.js';

/** What containers may reach of the host itself. */
export interface HostService {
  protocol: 'all' | 'tcp' | 'udp';
  first: number;
  last: number;
}

/** Reads `tcp/PORT`, `udp/FIRST-LAST` or `all`; undefined when it is none of them. */
export function parseHostService(text: string): HostService | undefined {
  if (text === 'all') return { protocol: 'all', first: 0, last: 0 };
  const [, protocol, from, to = from] = /^(tcp|udp)\/(\d{1,5})(?:-(\d{1,5}))?$/.exec(text) ?? [];
  const [first, last] = [Number(from), Number(to)];
  if ((protocol !== 'tcp' && protocol !== 'udp') || first < 1 || last < first || last > 65_535) return undefined;
  return { protocol, first, last };
}

/** @throws GardenError `unsupported` */
export function hostServiceOf(text: string): HostService {
  const service = parseHostService(text);
  if (service) return service;
  throw new GardenError('unsupported', `host service '${text}' is not like tcp/53, udp/8000-8010 or all`);
}
