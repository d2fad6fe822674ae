import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ManualClock } from '@rivera/kit/clock';
import { silentLogger } from '@rivera/kit/log';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { run, runToEnd } from '../../../kernel/command.js';
import { Firewall } from './firewall.js';
import type { Opening } from './ruleset.js';

/** On this host, where it touches nobody: no interface has such a name. */
const table = `rivera.test-${process.pid}`;
const plan = {
  table,
  interfaces: 'rvtest.',
  bridge: 'rvnobody',
  arp: true,
  subnet: '10.0.0.0/24',
  subnet6: undefined,
  denyNetworks: [],
  hostServices: [],
};
const opening = (number: number): Opening => ({
  handle: `h${number}`,
  interface: `rvtest.${number}`,
  address: `10.0.0.${number}`,
  address6: undefined,
  egress: [],
  ports: [],
});
const listing = async () =>
  (await runToEnd('nft', ['list ruleset'])).stdout
    .split(/^(?=table )/m)
    .filter((each) => each.includes(`${table} {`))
    .join('');
const chains = async () => [...(await listing()).matchAll(/chain c-(\S+)/g)].map(([, handle]) => handle).sort();

let clock: ManualClock;
let firewall: Firewall;

beforeEach(async () => {
  clock = new ManualClock();
  firewall = new Firewall(plan, { clock, log: silentLogger });
  await firewall.install([opening(2)]);
});
afterEach(async () => {
  await firewall.close();
  await firewall.remove();
  expect(await listing()).toBe('');
});

it('has what it was told, however much at once, and takes it away again', async () => {
  const numbers = Array.from({ length: 40 }, (_, index) => index + 3);
  await Promise.all(numbers.map((number) => firewall.open(opening(number))));
  expect(await chains()).toHaveLength(41);
  await Promise.all([...numbers, 2].map((number) => firewall.shut(`h${number}`)));
  await firewall.shut('nobody');
  expect(await chains()).toEqual([]);
  await expect(firewall.change(opening(7))).rejects.toThrow("container 'h7' has no network");
});

it('leaves alone what is as it should be', async () => {
  const numbered = async () => (await runToEnd('nft', ['-a', 'list', 'table', 'inet', table])).stdout;
  const before = await numbered();
  for (let n = 0; n < 3; n++) await firewall.check();
  expect(await numbered()).toBe(before);
});

it.each([
  ['all', `delete table inet ${table}`],
  ['an element', `delete element inet ${table} from { "rvtest.2" }`],
  ['a rule', `flush chain inet ${table} closed`],
  ['the table of ARP', `delete table arp ${table}`],
])('puts right what somebody took away: %s', async (_, script) => {
  await firewall.check();
  const before = await listing();
  await run('nft', [script]);
  expect(await listing()).not.toBe(before);
  await clock.advance(10_000);
  await expect.poll(listing, { timeout: 30_000 }).toBe(before);
});

it('loses nothing that is opened while it puts right what somebody took away', async () => {
  await firewall.check();
  await run('nft', [`flush chain inet ${table} closed`]);
  // Making the whole anew takes a while, as it does with many containers.
  const bin = await mkdtemp(join(tmpdir(), 'rivera-nft-'));
  const nft = (await run('which', ['nft'])).trim();
  const script = `#!/bin/sh
case "$*" in *list*) exec ${nft} "$@" ;; esac
input=$(cat)
case "$input" in *'delete table'*) echo >> ${bin}/begun; sleep 1 ;; esac
printf '%s' "$input" | ${nft} "$@"
`;
  await writeFile(join(bin, 'nft'), script, { mode: 0o755 });
  const path = process.env.PATH;
  process.env.PATH = `${bin}:${path}`;
  try {
    const checked = firewall.check();
    await expect.poll(() => existsSync(join(bin, 'begun')), { timeout: 20_000 }).toBe(true);
    await Promise.all([checked, firewall.open(opening(3)), firewall.shut('h2')]);
    expect(await chains()).toEqual(['h3']);
  } finally {
    process.env.PATH = path;
    await rm(bin, { recursive: true, force: true });
  }
});

it('says at once when this machine has no nft', async () => {
  const path = process.env.PATH;
  process.env.PATH = '/nowhere';
  try {
    const other = new Firewall({ ...plan, table: `${table}-b` }, { clock, log: silentLogger });
    await expect(other.install([])).rejects.toMatchObject({
      kind: 'unsupported',
      message: expect.stringMatching(
        /the firewall can't be set up; needed are the program nft \(package nftables\).*nft: No such file/,
      ),
    });
  } finally {
    process.env.PATH = path;
  }
});
