import { expect, it } from 'vitest';
import { runToEnd } from '../../../kernel/command.js';
import type { EgressRule } from '../../garden.js';
import { closingScript, type FirewallPlan, type Opening, openingScript, ruleLines, wholeRuleset } from './ruleset.js';

const rule = (more: Partial<EgressRule>): EgressRule => ({
  protocol: 'all',
  networks: [],
  ports: [],
  log: false,
  ...more,
});
const networks = [
  { start: '10.0.0.0', end: '10.0.0.9' },
  { start: '10.0.0.5', end: '10.0.1.0' },
  { start: 'fd00::1', end: 'fd00::1' },
];
const handle = 'a-handle-that-is-longer-than-28';
const new_ = 'ct state new limit rate 200/second burst 400 packets log prefix "a-handle-that-is-longer-than "';

it.each<[Partial<EgressRule>, string[]]>([
  [{}, ['accept']],
  [{ networks }, ['ip daddr { 10.0.0.0-10.0.1.0 } accept', 'ip6 daddr { fd00::1 } accept']],
  [{ protocol: 'tcp' }, ['meta l4proto tcp accept']],
  [
    {
      protocol: 'udp',
      ports: [
        { start: 80, end: 90 },
        { start: 7, end: 7 },
        { start: 85, end: 99 },
      ],
    },
    ['udp dport { 7-7, 80-99 } accept'],
  ],
  [{ protocol: 'icmp', networks }, ['ip daddr { 10.0.0.0-10.0.1.0 } meta l4proto icmp accept']],
  [{ protocol: 'icmpv6', networks }, ['ip6 daddr { fd00::1 } meta l4proto ipv6-icmp accept']],
  [{ protocol: 'icmp', icmp: { type: 3, code: 4 } }, ['icmp type 3 icmp code 4 accept']],
  [{ protocol: 'icmp', icmp: { type: 8, code: 255 } }, ['icmp type 8 accept']],
  [{ protocol: 'icmpv6', icmp: { type: 128 } }, ['icmpv6 type 128 accept']],
  [{ protocol: 'icmpv6', networks: networks.slice(0, 2) }, []],
  [{ log: true }, [new_, 'accept']],
  [
    { protocol: 'tcp', networks: networks.slice(2), log: true },
    [`ip6 daddr { fd00::1 } meta l4proto tcp ${new_}`, 'ip6 daddr { fd00::1 } meta l4proto tcp accept'],
  ],
])('a rule %j becomes %j', (more, lines) => {
  expect(ruleLines(rule(more), handle)).toEqual(lines);
});

const plan: FirewallPlan = {
  table: 'rivera.c-1',
  interfaces: 'rv123456.',
  bridge: 'rvnobody',
  arp: true,
  subnet: '10.1.0.0/24',
  subnet6: 'fd00:1::/64',
  denyNetworks: networks,
  hostServices: [
    { protocol: 'udp', first: 53, last: 53 },
    { protocol: 'all', first: 0, last: 0 },
  ],
};
const opening: Opening = {
  handle,
  interface: 'rv123456.2',
  address: '10.1.0.2',
  address6: 'fd00:1::2',
  egress: [rule({ networks, log: true }), rule({ protocol: 'icmpv6', icmp: { type: 1, code: 2 } })],
  ports: [{ hostPort: 61_001, containerPort: 8080 }],
};

/** What the kernel has after a script, tried in a network namespace that ends with it. */
async function afterScript(script: string): Promise<string> {
  const list = `nft -f - && nft -s list table inet ${plan.table} && nft -s list table arp ${plan.table}`;
  const { stdout, stderr } = await runToEnd('unshare', ['--net', 'sh', '-c', list], { input: `${script}\n` });
  expect(stderr).toBe('');
  return stdout;
}

it('what is done twice is as done once, and what is taken away leaves nothing', async () => {
  const empty = wholeRuleset(plan, []);
  const whole = await afterScript(wholeRuleset(plan, [opening]));
  expect(whole).toContain('"rv123456.2" : goto c-a-handle');
  expect(await afterScript([empty, openingScript(plan, opening), openingScript(plan, opening)].join('\n'))).toBe(whole);
  expect(await afterScript([wholeRuleset(plan, [opening]), closingScript(plan, opening)].join('\n'))).toBe(
    await afterScript(empty),
  );
  expect(await afterScript([wholeRuleset(plan, [opening]), empty].join('\n'))).toBe(await afterScript(empty));
});

it('the last rule is consulted first', () => {
  const lines = openingScript(plan, opening)
    .split('\n')
    .filter((line) => line.includes('accept'));
  expect(lines[1]).toContain('icmpv6 type 1');
  expect(lines.at(-1)).toContain('ip6 daddr { fd00::1 } accept');
});
