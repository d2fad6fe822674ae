import { isIP, isIPv4 } from 'node:net';
import type { SecurityGroupRule } from '@rivera/gen/rivera/recipe/v1/container';
import type { Violations } from './violations.js';

/** Checks a firewall rule (spec bbs §8.4). */
export function checkEgressRule(violations: Violations, field: string, rule: SecurityGroupRule): void {
  const hasPorts = rule.ports.length > 0;
  const hasRange = rule.portRange !== undefined;
  switch (rule.protocol) {
    case 'tcp':
    case 'udp':
      violations.check(hasPorts || hasRange, field, 'must have ports or port_range');
      violations.check(!(hasPorts && hasRange), field, 'must not have both ports and port_range');
      violations.check(rule.icmpInfo === undefined, `${field}.icmp_info`, `is not for ${rule.protocol}`);
      break;
    case 'icmp':
    case 'icmpv6':
      violations.check(!hasPorts && !hasRange, field, `must have no ports for ${rule.protocol}`);
      violations.check(rule.icmpInfo !== undefined, `${field}.icmp_info`, `is required for ${rule.protocol}`);
      break;
    case 'all':
      violations.check(!hasPorts && !hasRange, field, 'must have no ports for all');
      violations.check(rule.icmpInfo === undefined, `${field}.icmp_info`, 'is not for all');
      break;
    default:
      violations.add(`${field}.protocol`, 'must be tcp, udp, icmp, icmpv6 or all');
  }
  for (const [i, port] of rule.ports.entries()) {
    violations.check(port >= 1 && port <= 65_535, `${field}.ports[${i}]`, 'must be 1..65535');
  }
  if (rule.portRange) {
    const { start, end } = rule.portRange;
    violations.check(
      start >= 1 && start <= end && end <= 65_535,
      `${field}.port_range`,
      'must be within 1..65535, start first',
    );
  }
  violations.check(rule.destinations.length > 0, `${field}.destinations`, 'must have at least one');
  for (const [i, destination] of rule.destinations.entries()) {
    const valid = destination.split(',').every((part) => isDestination(part.trim()));
    violations.check(valid, `${field}.destinations[${i}]`, 'must be an address, a CIDR block or a range FIRST-LAST');
  }
}

function isDestination(text: string): boolean {
  if (isIP(text) !== 0) return true;
  const [address = '', prefix, ...more] = text.split('/');
  if (prefix !== undefined) {
    if (more.length > 0) return false;
    const bits = isIPv4(address) ? 32 : isIP(address) === 6 ? 128 : -1;
    return /^\d{1,3}$/.test(prefix) && Number(prefix) <= bits;
  }
  const [first = '', last = '', ...rest] = text.split('-');
  if (rest.length > 0 || isIP(first) === 0 || isIP(first) !== isIP(last)) return false;
  return addressNumber(first) <= addressNumber(last);
}

/** Addresses of one family compare as their numbers do. */
function addressNumber(address: string): bigint {
  if (isIPv4(address)) return address.split('.').reduce((sum, part) => sum * 256n + BigInt(part), 0n);
  const [head = '', tail] = address.split('::');
  const groups = (text: string) => (text === '' ? [] : text.split(':'));
  const left = groups(head);
  const right = tail === undefined ? [] : groups(tail);
  const zeros = Array.from({ length: Math.max(0, 8 - left.length - right.length) }, () => '0');
  return [...left, ...zeros, ...right].reduce((sum, part) => sum * 65_536n + BigInt(`0x${part || '0'}`), 0n);
}
