import { SecurityGroupRule } from '@rivera/gen/rivera/recipe/v1/container';
import { describe, expect, it } from 'vitest';
import { checkEgressRule } from './egress.js';
import { fieldsOf } from './testing.js';

const fields = (rule: object): string[] =>
  fieldsOf((violations) =>
    checkEgressRule(violations, 'r', SecurityGroupRule.fromPartial({ destinations: ['10.0.0.1'], ...rule })),
  );

describe('a firewall rule (spec bbs §8.4)', () => {
  it.each([
    { protocol: 'tcp', ports: [1, 65_535] },
    { protocol: 'udp', portRange: { start: 1, end: 65_535 } },
    { protocol: 'tcp', portRange: { start: 80, end: 80 } },
    { protocol: 'icmp', icmpInfo: { type: -1, code: -1 } },
    { protocol: 'icmpv6', icmpInfo: { type: 0, code: 0 } },
    { protocol: 'all' },
  ])('is accepted: %j', (rule) => {
    expect(fields(rule)).toEqual([]);
  });

  it.each<[object, string[]]>([
    [{ protocol: 'sctp' }, ['r.protocol']],
    [{ protocol: '' }, ['r.protocol']],
    [{ protocol: 'tcp' }, ['r']],
    [{ protocol: 'tcp', ports: [80], portRange: { start: 1, end: 2 } }, ['r']],
    [{ protocol: 'udp', ports: [53], icmpInfo: { type: 0, code: 0 } }, ['r.icmp_info']],
    [{ protocol: 'icmp' }, ['r.icmp_info']],
    [{ protocol: 'icmp', ports: [1], icmpInfo: { type: 0, code: 0 } }, ['r']],
    [{ protocol: 'icmpv6', portRange: { start: 1, end: 2 }, icmpInfo: { type: 0, code: 0 } }, ['r']],
    [{ protocol: 'all', ports: [1] }, ['r']],
    [{ protocol: 'all', icmpInfo: { type: 0, code: 0 } }, ['r.icmp_info']],
    [{ protocol: 'tcp', ports: [80, 0, 65_536] }, ['r.ports[1]', 'r.ports[2]']],
    [{ protocol: 'tcp', portRange: { start: 0, end: 1 } }, ['r.port_range']],
    [{ protocol: 'tcp', portRange: { start: 2, end: 1 } }, ['r.port_range']],
    [{ protocol: 'tcp', portRange: { start: 1, end: 65_536 } }, ['r.port_range']],
    [{ protocol: 'all', destinations: [] }, ['r.destinations']],
  ])('is refused: %j', (rule, expected) => {
    expect(fields(rule)).toEqual(expected);
  });
});

describe('a destination', () => {
  const refused = (destination: string) => fields({ protocol: 'all', destinations: [destination] }).length > 0;

  it.each([
    '10.0.0.1',
    '::1',
    '10.0.0.0/8',
    '0.0.0.0/0',
    'fe80::/10',
    '10.0.0.1-10.0.0.1',
    '9.255.255.255-10.0.0.0',
    '::-::1',
    'fe80::1-fe80:0:0:1::',
    '10.0.0.1, 10.0.0.2,::1/128',
  ])('is accepted: %s', (destination) => {
    expect(refused(destination)).toBe(false);
  });

  it.each([
    '',
    'example.com',
    '10.0.0',
    '10.0.0.256',
    '10.0.0.0/33',
    '10.0.0.0/',
    '10.0.0.0/-1',
    '10.0.0.0/1e1',
    '::/129',
    '10.0.0.2-10.0.0.1',
    '10.0.0.0-9.255.255.255',
    '::1-::',
    '10.0.0.1-::1',
    '10.0.0.1-10.0.0.2-10.0.0.3',
    '10.0.0.1-',
    '10.0.0.1,',
    '10.0.0.1,x',
    '10.0.0.0/8/8',
  ])('is refused: %j', (destination) => {
    expect(refused(destination)).toBe(true);
  });
});
