import { expect, it } from 'vitest';
import { egressRuleFault } from './egress-rule.js';
import type { EgressRule } from './garden.js';

const rule = (more: object): EgressRule => ({ protocol: 'all', networks: [], ports: [], log: false, ...more });

it.each([
  {},
  { protocol: 'tcp', ports: [{ start: 1, end: 65_535 }] },
  { protocol: 'udp' },
  { protocol: 'icmp', icmp: { type: 255, code: 255 } },
  { protocol: 'icmpv6', networks: [{ start: '::', end: '::1' }] },
])('a rule is accepted: %j', (more) => {
  expect(egressRuleFault(rule(more))).toBeUndefined();
});

it.each([
  [{ protocol: 'sctp' }, "protocol 'sctp' is not one of all, tcp, udp, icmp, icmpv6"],
  [{ networks: [{ start: '1.1.1.1', end: '1.1.1.0' }] }, 'networks[0]: 1.1.1.1 comes after 1.1.1.0'],
  [{ networks: [{ start: '1.1.1.1"; flush ruleset', end: '::' }] }, "networks[0]: '1.1.1.1\"; flush ruleset' is not"],
  [{ networks: Array(1001).fill({ start: '::', end: '::' }) }, 'networks: more than 1000'],
  [{ protocol: 'tcp', ports: Array(1001).fill({ start: 1, end: 1 }) }, 'ports: more than 1000'],
  [{ ports: [{ start: 1, end: 1 }] }, 'ports: not for protocol all'],
  [{ protocol: 'tcp', ports: [{ start: 0, end: 1 }] }, 'ports[0]: 0-1 is not within 1..65535, start first'],
  [{ protocol: 'udp', icmp: { type: 1 } }, 'icmp: not for protocol udp'],
  [{ protocol: 'icmp', icmp: { type: 1.5 } }, 'icmp.type: 1.5 is not 0..255'],
  [{ protocol: 'icmp', icmp: { type: 1, code: 256 } }, 'icmp.code: 256 is not 0..255'],
])('a rule is refused: %j', (more, fault) => {
  expect(egressRuleFault(rule(more))).toContain(fault);
});
