import { SecurityGroupRule } from '@rivera/gen/rivera/recipe/v1/container';
import { expect, it } from 'vitest';
import { egressOf } from './egress.js';

const rule = (more: object) => SecurityGroupRule.fromPartial({ protocol: 'all', destinations: ['10.0.0.1'], ...more });
const one = [{ start: '10.0.0.1', end: '10.0.0.1' }];

it.each([
  [{}, { protocol: 'all', networks: one, ports: [], log: false }],
  [
    { destinations: ['10.0.0.0/30, 1.1.1.1-1.1.1.9', 'fd00::1'], log: true },
    {
      protocol: 'all',
      networks: [
        { start: '10.0.0.0', end: '10.0.0.3' },
        { start: '1.1.1.1', end: '1.1.1.9' },
        { start: 'fd00::1', end: 'fd00::1' },
      ],
      ports: [],
      log: true,
    },
  ],
  [
    { protocol: 'tcp', ports: [80, 443] },
    {
      protocol: 'tcp',
      networks: one,
      ports: [
        { start: 80, end: 80 },
        { start: 443, end: 443 },
      ],
      log: false,
    },
  ],
  [
    { protocol: 'udp', portRange: { start: 1, end: 9 } },
    { protocol: 'udp', networks: one, ports: [{ start: 1, end: 9 }], log: false },
  ],
  [
    { protocol: 'icmp', icmpInfo: { type: 8, code: -1 } },
    { protocol: 'icmp', networks: one, ports: [], icmp: { type: 8 }, log: false },
  ],
  [
    { protocol: 'icmp', icmpInfo: { type: -1, code: -1 } },
    { protocol: 'icmp', networks: one, ports: [], log: false },
  ],
  [
    { protocol: 'icmpv6', icmpInfo: { type: 128, code: 0 } },
    { protocol: 'icmpv6', networks: one, ports: [], icmp: { type: 128, code: 0 }, log: false },
  ],
])('a rule %j is told the garden', (given, expected) => {
  expect(egressOf([rule(given)])).toEqual([expected]);
});

it.each([
  [{ destinations: ['example.com'] }, "egress rule 1: failed to convert destination to ip range: 'example.com'"],
  [{ protocol: 'sctp' }, "egress rule 1: protocol 'sctp' is not one of all, tcp, udp, icmp, icmpv6"],
  [{ protocol: 'tcp', ports: [70_000] }, 'egress rule 1: ports[0]: 70000-70000 is not within 1..65535, start first'],
  [{ protocol: 'icmp', icmpInfo: { type: 256, code: 0 } }, 'egress rule 1: icmp.type: 256 is not 0..255'],
])('a rule %j is refused', (given, message) => {
  expect(() => egressOf([rule({}), rule(given)])).toThrow(message);
});
