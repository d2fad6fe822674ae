import { existsSync } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { run, runToEnd } from '../../../kernel/command.js';
import { readIfPresent } from '../../../kernel/durable.js';
import { GardenError } from '../../garden.js';
import type { Subnet } from './subnet.js';

const CONF = '/proc/sys/net';
const LARGEST_MTU = 1500;

/**
 * Readies the host: it forwards, and a bridge without ports holds the gateway's addresses and the route of the whole subnet, so that
 * what is sent to an address that nobody has doesn't leave the host.
 * @throws GardenError `unsupported` when the subnet is in use by something else
 */
export async function prepareHost(o: { bridge: string; subnet: Subnet; subnet6: Subnet | undefined }): Promise<void> {
  const { bridge, subnet, subnet6 } = o;
  await assertUnused(bridge, subnet);
  if (!existsSync(`/sys/class/net/${bridge}`)) await run('ip', ['link', 'add', bridge, 'type', 'bridge']);
  const lines = [
    `addr replace ${subnet.gateway}/${subnet.bits} dev ${bridge}`,
    ...(subnet6 ? [`addr replace ${subnet6.gateway}/${subnet6.bits} dev ${bridge} nodad`] : []),
    `link set ${bridge} up`,
  ];
  await run('ip', ['-batch', '-'], { input: `${lines.join('\n')}\n` });
  await writeFile(`${CONF}/ipv4/ip_forward`, '1');
  if (subnet6) await forwardIpv6();
}

/** Takes away what `prepareHost` made; forwarding stays, as others may have come to need it. */
export async function unprepareHost(bridge: string): Promise<void> {
  await runToEnd('ip', ['link', 'del', bridge]);
}

/** Why containers of this host can have no IPv6; undefined when they can. */
export async function noIpv6Reason(): Promise<string | undefined> {
  const disabled = await readIfPresent(`${CONF}/ipv6/conf/all/disable_ipv6`);
  if (disabled === undefined) return 'the kernel has none';
  if (disabled.trim() !== '0') return 'net.ipv6.conf.all.disable_ipv6 is set';
  const rows = ((await readIfPresent('/proc/net/if_inet6')) ?? '').split('\n').filter(Boolean);
  // Columns: address, index, length of the prefix, scope (0: global), flags, interface.
  const global = rows.map((row) => row.trim().split(/\s+/)).filter((row) => row[3] === '00' && !isOwn(row[5] ?? ''));
  return global.length > 0 ? undefined : 'no interface of the host has a global IPv6 address';
}

/** What fits through the host's own way out. */
export async function hostMtu(): Promise<number> {
  const routes = (await readFile('/proc/net/route', 'utf8')).split('\n').map((line) => line.split('\t'));
  const device = routes.find((route) => route[1] === '00000000')?.[0];
  const mtu = Number(device && (await readIfPresent(`/sys/class/net/${device}/mtu`)));
  return mtu >= 576 && mtu < LARGEST_MTU ? mtu : LARGEST_MTU;
}

/** A router takes no advertisements unless it is told to, and would lose its own default route. */
async function forwardIpv6(): Promise<void> {
  const forwarding = `${CONF}/ipv6/conf/all/forwarding`;
  if ((await readFile(forwarding, 'utf8')).trim() !== '0') return;
  for (const device of await readdir(`${CONF}/ipv6/conf`)) {
    const accept = `${CONF}/ipv6/conf/${device}/accept_ra`;
    if ((await readIfPresent(accept))?.trim() === '1') await writeFile(accept, '2');
  }
  await writeFile(forwarding, '1');
}

/** A network that the host is connected to mustn't hold ours, nor ours any that it has a route to. */
async function assertUnused(bridge: string, { cidr }: Subnet): Promise<void> {
  const routes = async (...selector: string[]) =>
    JSON.parse((await run('ip', ['-j', '-4', 'route', 'show', ...selector])) || '[]') as {
      dst: string;
      dev?: string;
    }[];
  const found = await Promise.all([routes('root', cidr), routes('match', cidr, 'proto', 'kernel')]);
  const foreign = found.flat().find(({ dev }) => dev !== bridge && !isOwn(dev ?? ''));
  if (foreign) {
    throw new GardenError(
      'unsupported',
      `subnet ${cidr} can't be used: this host has a route to ${foreign.dst}${foreign.dev ? ` through ${foreign.dev}` : ''}`,
    );
  }
}

/** Links of containers, of whichever cell: their routes are within the subnet of a bridge, which is looked at itself. */
function isOwn(device: string): boolean {
  return /^(rv[0-9a-f]{6}\.|if)\d+$/.test(device);
}
