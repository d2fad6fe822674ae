import { rangeFault } from './addresses.js';
import { type EgressRule, GardenError } from './garden.js';

/** Most rules of a container, and most networks or ports of a rule. */
export const MAX_EGRESS_RULES = 1000;
const MAX_ENTRIES = 1000;
const PROTOCOLS: readonly string[] = ['all', 'tcp', 'udp', 'icmp', 'icmpv6'] satisfies EgressRule['protocol'][];

/** What is wrong with a rule, as a sentence that names the field; undefined when nothing is. */
export function egressRuleFault(rule: EgressRule): string | undefined {
  const { protocol, networks, ports, icmp } = rule;
  if (!PROTOCOLS.includes(protocol)) return `protocol '${protocol}' is not one of ${PROTOCOLS.join(', ')}`;
  if (networks.length > MAX_ENTRIES) return `networks: more than ${MAX_ENTRIES}`;
  if (ports.length > MAX_ENTRIES) return `ports: more than ${MAX_ENTRIES}`;
  for (const [index, network] of networks.entries()) {
    const fault = rangeFault(network);
    if (fault !== undefined) return `networks[${index}]: ${fault}`;
  }
  if (ports.length > 0 && protocol !== 'tcp' && protocol !== 'udp') return `ports: not for protocol ${protocol}`;
  for (const [index, { start, end }] of ports.entries()) {
    if (!isWithin(start, 1, 65_535) || !isWithin(end, start, 65_535))
      return `ports[${index}]: ${start}-${end} is not within 1..65535, start first`;
  }
  if (icmp === undefined) return undefined;
  if (protocol !== 'icmp' && protocol !== 'icmpv6') return `icmp: not for protocol ${protocol}`;
  if (!isWithin(icmp.type, 0, 255)) return `icmp.type: ${icmp.type} is not 0..255`;
  if (icmp.code !== undefined && !isWithin(icmp.code, 0, 255)) return `icmp.code: ${icmp.code} is not 0..255`;
  return undefined;
}

/** @throws GardenError `invalid` that names the first bad rule and what is wrong with it */
export function assertEgressRules(rules: readonly EgressRule[], existing = 0): void {
  if (existing + rules.length > MAX_EGRESS_RULES)
    throw new GardenError('invalid', `egress rules: a container can have at most ${MAX_EGRESS_RULES}`);
  for (const [index, rule] of rules.entries()) {
    const fault = egressRuleFault(rule);
    if (fault !== undefined) throw new GardenError('invalid', `egress rule ${index}: ${fault}`);
  }
}

/**
 * Checks a request for a mapped port.
 * @throws GardenError `invalid`
 */
export function assertPortRequest(o: { hostPort?: number; containerPort?: number }): void {
  for (const [field, port] of [
    ['host', o.hostPort],
    ['container', o.containerPort],
  ] as const) {
    if (port !== undefined && port !== 0 && !isWithin(port, 1, 65_535))
      throw new GardenError('invalid', `${field} port ${port} is not 0..65535`);
  }
}

function isWithin(value: number, least: number, most: number): boolean {
  return Number.isInteger(value) && value >= least && value <= most;
}
