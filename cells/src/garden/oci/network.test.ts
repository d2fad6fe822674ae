import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { run } from '../../kernel/command.js';
import { collectOutput, plainProcess, plainSpec } from '../contract.js';
import type { EgressRule, GardenContainer, GardenProcess, GardenSpec } from '../garden.js';
import { namespaces } from './network/namespaces.js';
import { Outside } from './network/outside.js';
import type { OciGarden } from './oci-garden.js';
import { cellPlaces } from './places.js';
import { type ScratchCell, scratchCell } from './scratch-cell.js';

const DENY_ALL = { denyNetworks: ['0.0.0.0/0', '::/0'] };
let outside: Outside;
let cells: ScratchCell[];
let gardens: OciGarden[];
let made = 0;

beforeAll(async () => {
  outside = await Outside.open({ tcp: [8000, 8001], udp: [53] });
  cells = [await scratchCell(), await scratchCell()];
  gardens = await Promise.all(cells.map((cell) => cell.open()));
});
afterEach(async () => {
  for (const [index, garden] of gardens.entries()) {
    await Promise.all(garden.list().map((container) => garden.destroy(container.handle)));
    expect(await cells[index]?.leaks()).toEqual([]);
  }
});
afterAll(async () => {
  await Promise.all((gardens ?? []).map((garden) => garden.close()));
  await Promise.all((cells ?? []).map((cell) => cell.remove()));
  await outside?.close();
});

const garden = (index = 0) => gardens[index] as OciGarden;
const create = (more: Partial<GardenSpec> = {}, index = 0) =>
  garden(index).create(plainSpec(`n${++made}-${'x'.repeat(40)}`, 'preloaded:busybox', more));
const reopen = async (more: object = {}, index = 0) => {
  await garden(index).close();
  gardens[index] = await (cells[index] as ScratchCell).open(more);
};
const again = (container: GardenContainer) => garden().lookup(container.handle) as GardenContainer;
const sh = async (container: GardenContainer, script: string) => {
  const process = await container.run(plainProcess(`p${++made}`, { path: '/bin/sh', args: ['-c', script] }));
  await process.wait();
  return (await collectOutput(process)).map((line) => line.replace('stdout: ', ''));
};
const serve = async (container: GardenContainer, name: string) => {
  const script = `mkdir -p /www; echo ${name} > /www/index.html; httpd -p 8080 -h /www`;
  await sh(container, script);
  return container;
};
const get = (url: string) => `timeout 20 wget -q -O - http://${url}/ 2>/dev/null || echo refused`;
const rule = (more: Partial<EgressRule>): EgressRule => ({
  protocol: 'all',
  networks: [],
  ports: [],
  log: false,
  ...more,
});
const only = (address: string) => [{ start: address, end: address }];
/** A host's service for a test. */
async function hostService<T>(work: (port: number) => Promise<T>): Promise<T> {
  const server = createServer((_, response) => response.end('host\n'));
  await new Promise<void>((resolve) => server.listen(0, '0.0.0.0', resolve));
  try {
    return await work((server.address() as AddressInfo).port);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

const EVERYTHING = ['other8000', 'ping', 'ping6', 'six8000', 'tcp8000', 'tcp8001', 'udp53'];
/** What is to come gets all the time that a slow machine needs; what isn't to come is refused at once or never comes. */
const [LONG_S, SHORT_S] = [20, 1];

/** Looks whether a container reaches of the outside just what is expected, each by its name here. */
async function expectReached(container: GardenContainer, expected: string[]): Promise<void> {
  const { addresses, address6 } = outside;
  const tries = {
    other8000: `wget -q -O - http://${addresses[1]}:8000/`,
    ping: `ping -c 1 ${addresses[0]}`,
    ping6: `ping6 -c 1 ${address6}`,
    six8000: `wget -q -O - "http://[${address6}]:8000/"`,
    tcp8000: `wget -q -O - http://${addresses[0]}:8000/`,
    tcp8001: `wget -q -O - http://${addresses[0]}:8001/`,
    udp53: `nslookup -type=a a.test ${addresses[0]}`,
  };
  const lines = Object.entries(tries).map(([name, command]) => {
    const seconds = expected.includes(name) ? LONG_S : SHORT_S;
    return `(timeout ${seconds} ${command} >/dev/null 2>&1 && echo ${name}) &`;
  });
  expect((await sh(container, `${lines.join('\n')}\nwait`)).sort()).toEqual([...expected].sort());
}

describe('a container without rules', () => {
  it('reaches the outside, by the host’s address, and neither the host nor others', async () => {
    const [container, other, foreign] = [
      await create(),
      await serve(await create({ ports: [8080] }), 'other'),
      await serve(await create({ ports: [8080] }, 1), 'foreign'),
    ];
    await expectReached(container, EVERYTHING);
    expect(await sh(container, get(`${outside.addresses[0]}:8000`))).not.toContain(container.info().containerAddress);
    await hostService(async (port) => {
      const gateway = container.info().containerAddress.replace(/\.\d+$/, '.1');
      const elsewhere = outside.addresses[0].replace(/\d+$/, (last) => String(Number(last) - 1));
      const targets = [`${gateway}:${port}`, `${elsewhere}:${port}`];
      for (const each of [other, foreign]) {
        const { containerAddress, containerAddress6, ports } = each.info();
        targets.push(`${containerAddress}:8080`, `[${containerAddress6}]:8080`, `${elsewhere}:${ports[0]?.hostPort}`);
      }
      const answers = await sh(container, targets.map(get).join('\n'));
      expect(answers).toEqual(targets.map(() => 'refused'));
    });
    // They do answer: the host, and the outside by their mapped ports.
    for (const [each, name] of [[other, 'other'] as const, [foreign, 'foreign'] as const]) {
      const { containerAddress, ports } = each.info();
      expect(await (await fetch(`http://${containerAddress}:8080/`)).text()).toBe(`${name}\n`);
      expect(await (await fetch(`http://127.0.0.1:${ports[0]?.hostPort}/`)).text()).toBe(`${name}\n`);
      const gateway = outside.addresses[0].replace(/\d+$/, (last) => String(Number(last) - 1));
      expect(await outside.fetch(`http://${gateway}:${ports[0]?.hostPort}/`)).toBe(name);
      expect(await outside.fetch(`http://${containerAddress}:8080/`)).toBeUndefined();
    }
  });

  it('reaches those services of the host that the cell opens', async () => {
    await hostService(async (port) => {
      await reopen({ hostServices: [`tcp/${port}`] });
      const container = await create();
      const gateway = container.info().containerAddress.replace(/\.\d+$/, '.1');
      expect(await sh(container, get(`${gateway}:${port}`))).toEqual(['host']);
      await reopen();
      expect(await sh(again(container), get(`${gateway}:${port}`))).toEqual(['refused']);
    });
  });

  it('can’t fill the host’s table of neighbours with addresses that nobody has', async () => {
    const container = await create();
    const { containerAddress, containerAddress6 = '' } = container.info();
    const many = (prefix: string, last: (n: number) => string) =>
      Array.from({ length: 60 }, (_, n) => `ping -c 1 -W 1 ${prefix}${last(n + 150)} > /dev/null &`);
    const script = [
      ...many(containerAddress.replace(/\d+$/, ''), String),
      ...many(containerAddress6.replace(/[^:]*$/, ''), (n) => n.toString(16)),
      'sleep 0.5; echo tried',
    ];
    expect(await sh(container, script.join('\n'))).toEqual(['tried']);
    const neighbours = async () => (await run('ip', ['neigh', 'show', 'dev', cells[0]?.options.bridge ?? ''])).trim();
    expect(await neighbours()).toBe('');
  });

  it('can’t fill it with neighbours that it says to be', async () => {
    const container = await create();
    const slot = Number(container.info().containerAddress.split('.')[3]);
    const { networkPrefix, interfacePrefix } = cellPlaces(
      cells[0]?.options.dataDir ?? '',
      cells[0]?.options.cellId ?? '',
    );
    // As its root may: questions for the gateway, each in another name.
    const script = `
      socket(my $s, 17, 3, unpack('n', pack('S', 0x0806))) or die $!;
      open(my $f, '<', '/sys/class/net/eth0/ifindex') or die $!;
      my $to = pack('SnlSCCH16', 17, 0x0806, int(<$f>), 1, 0, 6, 'ffffffffffff0000');
      for my $n (1 .. 200) {
        my $frame = pack('H12 H12 n n n C C n', 'ffffffffffff', '020000000001', 0x0806, 1, 0x0800, 6, 4, 1);
        my $question = pack('H12 C4 H12 C4', '020000000001', 172, 20, 0, $n, '000000000000', @ARGV);
        send($s, $frame . $question, 0, $to) or die $!;
      }`;
    const gateway = gatewayOf(container).split('.');
    await run('ip', ['netns', 'exec', `${networkPrefix}${slot}`, 'perl', '-e', script, ...gateway]);
    const known = (await run('ip', ['-4', 'neigh', 'show', 'dev', `${interfacePrefix}${slot}`])).trim().split('\n');
    expect(known.length).toBeLessThan(20);
    expect(await sh(container, get(`${outside.addresses[0]}:8000`))).not.toEqual(['refused']);
  });

  it('is no router for the host, whoever takes the rules away meanwhile', async () => {
    const container = await create();
    const slot = Number(container.info().containerAddress.split('.')[3]);
    const { interfacePrefix } = cellPlaces(cells[0]?.options.dataDir ?? '', cells[0]?.options.cellId ?? '');
    const setting = `/proc/sys/net/ipv6/conf/${interfacePrefix}${slot}/accept_ra`;
    expect((await readFile(setting, 'utf8')).trim()).toBe('0');
  });

  it('can’t pretend to be another', async () => {
    const [container, other] = [await create(), await create()];
    expect(await sh(container, get(`${outside.addresses[0]}:8000`))).not.toEqual(['refused']);
    const slot = Number(container.info().containerAddress.split('.')[3]);
    const { networkPrefix } = cellPlaces(cells[0]?.options.dataDir ?? '', cells[0]?.options.cellId ?? '');
    const { containerAddress } = other.info();
    const lines = [
      `addr add ${containerAddress}/32 dev eth0`,
      `route replace default via ${gatewayOf(container)} src ${containerAddress}`,
    ];
    await run('ip', ['-n', `${networkPrefix}${slot}`, '-batch', '-'], { input: lines.join('\n') });
    expect(await sh(container, `timeout 1 wget -q -O - http://${outside.addresses[0]}:8000/ || echo nothing`)).toEqual(
      expect.arrayContaining(['nothing']),
    );
  });
});

const gatewayOf = (container: GardenContainer) => container.info().containerAddress.replace(/\.\d+$/, '.1');

describe('rules open denied networks', () => {
  it('one by one, over restarts, and after somebody took them away', async () => {
    await reopen(DENY_ALL);
    const { addresses, address6 } = outside;
    const container = await create({
      egress: [rule({ protocol: 'tcp', networks: only(addresses[0]), ports: [{ start: 8000, end: 8000 }], log: true })],
    });
    const closed = await create();
    await expectReached(closed, []);
    await expectReached(container, ['tcp8000']);
    await container.netOut([rule({ protocol: 'tcp', networks: only(address6), ports: [{ start: 1, end: 8000 }] })]);
    await expectReached(container, ['six8000', 'tcp8000']);
    await reopen(DENY_ALL);
    await expectReached(again(container), ['six8000', 'tcp8000']);
    await again(container).netOut([rule({ protocol: 'icmp', icmp: { type: 8 } }), rule({ protocol: 'udp' })]);
    await expectReached(again(container), ['ping', 'six8000', 'tcp8000', 'udp53']);
    const { firewallTable } = cellPlaces(cells[0]?.options.dataDir ?? '', cells[0]?.options.cellId ?? '');
    await run('nft', ['delete', 'table', 'inet', firewallTable]);
    // Whatever is changed next puts all of them right; so does the look every ten seconds (firewall.test.ts).
    await again(container).netOut([rule({ protocol: 'icmpv6' })]);
    await expectReached(again(container), ['ping', 'ping6', 'six8000', 'tcp8000', 'udp53']);
    await expectReached(again(closed), []);
    const logged = execFileSync('dmesg', { encoding: 'utf8' })
      .split('\n')
      .filter((line) => line.includes(container.handle.slice(0, 28)));
    expect(logged.join('\n')).toMatch(
      new RegExp(`${container.handle.slice(0, 28)} IN=rv\\S+ .*DST=${addresses[0]} .*DPT=8000`),
    );
    expect(logged.join('\n')).not.toMatch(/DPT=53|PROTO=ICMP/);
    await reopen();
  });

  it('hold for connections too that are older', async () => {
    const container = await create();
    const request = (name: string) =>
      `(until [ -e /${name} ]; do sleep 0.05; done; printf "GET / HTTP/1.0\\r\\n\\r\\n"; sleep 1) | nc ${outside.addresses[0]} 8000`;
    const start = (name: string) =>
      container.run(plainProcess(name, { path: '/bin/sh', args: ['-c', `echo begun; ${request(name)}`] }));
    await Promise.all([start('before'), start('after')]);
    await sh(container, 'until [ $(grep -c " 01 " /proc/net/tcp) = 2 ]; do sleep 0.05; done; touch /before');
    expect(await collectOutput(again(container).attach('before') as GardenProcess)).toContain(
      'stdout: HTTP/1.1 200 OK\r',
    );
    await reopen(DENY_ALL);
    await sh(again(container), 'touch /after');
    const after = await collectOutput(again(container).attach('after') as GardenProcess);
    expect(after.filter((line) => line.startsWith('stdout'))).toEqual(['stdout: begun']);
    await reopen();
  });

  it('lead to other containers too', async () => {
    const other = await serve(await create(), 'other');
    const { containerAddress } = other.info();
    const egress = [rule({ protocol: 'tcp', networks: only(containerAddress), ports: [{ start: 8080, end: 8080 }] })];
    const container = await create({ egress });
    expect(await sh(container, get(`${containerAddress}:8080`))).toEqual(['other']);
    expect(await sh(other, `ping -c 1 -W 1 ${container.info().containerAddress} >/dev/null || echo refused`)).toEqual([
      'refused',
    ]);
  });
});

describe('two cells of a machine', () => {
  it('share host ports without a clash, also with the host’s own', async () => {
    await hostService(async (port) => {
      const portRange = { first: port, last: port + 5 };
      await Promise.all([reopen({ portRange }), reopen({ portRange }, 1)]);
      const [one, two] = [await create({ ports: [1] }), await create({ ports: [1] }, 1)];
      const more = [await one.netIn({}), await two.netIn({})];
      await expect(two.netIn({ hostPort: port })).rejects.toMatchObject({ message: `port already acquired: ${port}` });
      const ports = [one, two].flatMap((each) => each.info().ports).map(({ hostPort }) => hostPort);
      expect(new Set(ports).size).toBe(4);
      expect(ports).not.toContain(port);
      expect(ports).toEqual(expect.arrayContaining(more.map(({ hostPort }) => hostPort)));
      await Promise.all([reopen(), reopen({}, 1)]);
    });
  });

  it('can’t have networks that overlap', async () => {
    const { subnet } = cells[0]?.options ?? { subnet: '' };
    const { dataDir, bridge, cellId } = cells[1]?.options ?? { dataDir: '', bridge: '', cellId: '' };
    await garden(1).close();
    await expect(cells[1]?.open({ subnet, dataDir: `${dataDir}-b`, bridge: `${bridge}b` })).rejects.toMatchObject({
      kind: 'unsupported',
      message: expect.stringContaining(`subnet ${subnet} can't be used: this host has a route to ${subnet}`),
    });
    expect(existsSync(cellPlaces(`${dataDir}-b`, cellId).stages)).toBe(false);
    gardens[1] = (await cells[1]?.open()) as OciGarden;
  });

  it('can’t have one bridge while both run', async () => {
    const { subnet, bridge } = cells[0]?.options ?? { subnet: '', bridge: '' };
    await garden(1).close();
    await expect(cells[1]?.open({ subnet, bridge })).rejects.toMatchObject({
      kind: 'unsupported',
      message: `bridge ${bridge} is another cell's, which runs: give each cell of a machine a bridge and a subnet of its own`,
    });
    gardens[1] = (await cells[1]?.open()) as OciGarden;
  });

  it('have as many addresses of the one family as of the other', async () => {
    await garden(1).close();
    await expect(cells[1]?.open({ subnet6: 'fd00:1:2:3::/125' })).rejects.toMatchObject({
      kind: 'unsupported',
      message: expect.stringMatching(/^subnet6 fd00:1:2:3::\/125 has room for fewer containers than subnet 10\./),
    });
    gardens[1] = (await cells[1]?.open()) as OciGarden;
  });
});

it('spares are taken away when the agent ends, and swept when it was killed', async () => {
  const { networkPrefix, network } = cellPlaces(cells[0]?.options.dataDir ?? '', cells[0]?.options.cellId ?? '');
  const own = async () => (await namespaces()).filter((name) => name.startsWith(networkPrefix)).length;
  const container = await create();
  await garden().close();
  expect(await own()).toBe(1);
  // As a killed agent leaves it: a spare with its file, and a namespace whose file was not written yet.
  await run('ip', ['netns', 'add', `${networkPrefix}200`]);
  await run('ip', ['netns', 'add', `${networkPrefix}201`]);
  await run('touch', [`${network}/200.`]);
  gardens[0] = (await cells[0]?.open({ spareNetworks: 0 })) as OciGarden;
  expect(await own()).toBe(1);
  expect(await sh(again(container), get(`${outside.addresses[0]}:8000`))).not.toEqual(['refused']);
  await reopen();
});
