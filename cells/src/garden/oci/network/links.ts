import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../../../kernel/command.js';
import { doKernelSteps, type IdMapping } from '../../../kernel/kernel-steps.js';
import { NETNS_DIR } from '../places.js';
import { namespaces } from './namespaces.js';
import type { Subnet } from './subnet.js';

/** Group of all interfaces that lead to containers, of all cells of a machine: how the firewall of one knows those of the others. */
export const CONTAINER_GROUP = 0x72_69_76;
/** The host's side of every link; means something on that link only. */
const GATEWAY6 = 'fe80::1';

/** A place in the network, with the ids whose user namespace its namespace is to belong to; without any it is the host's. */
export interface Place {
  slot: number;
  ids?: IdMapping;
}

/** What the links of a cell are made of. */
export interface LinkPlan {
  subnet: Subnet;
  subnet6: Subnet | undefined;
  mtu: number;
  namespace(slot: number): string;
  interface(slot: number): string;
}

/**
 * Makes the namespaces of places, each with an interface `eth0` whose other end is on the host. There is no bridge between them: all
 * that a container sends is routed, so that the firewall sees it, and no container hears or can pretend to be another.
 * One `ip` makes all of them, and one each sets up what is inside.
 */
export async function makeLinks(plan: LinkPlan, places: Place[]): Promise<void> {
  const slots = places.map(({ slot }) => slot);
  const stale = slots.filter((slot) => existsSync(`/sys/class/net/${plan.interface(slot)}`));
  if (stale.length > 0)
    await batch(
      ['-force'],
      stale.map((slot) => `link del ${plan.interface(slot)}`),
    );
  const steps = places.flatMap(({ slot, ids }) => {
    return ids ? [{ do: 'namespaces', ids, netFile: join(NETNS_DIR, plan.namespace(slot)) } as const] : [];
  });
  if (steps.length > 0) await doKernelSteps(steps);
  await batch(
    [],
    places.flatMap((place) => outside(plan, place)),
  );
  await Promise.all(
    slots.flatMap((slot) => [
      batch(['-n', plan.namespace(slot)], inside(plan, slot)),
      prepareHostSide(plan.interface(slot)),
    ]),
  );
}

async function prepareHostSide(device: string): Promise<void> {
  // So that the host's 127.0.0.1 leads to mapped ports; the firewall keeps containers from it.
  await writeFile(`/proc/sys/net/ipv4/conf/${device}/route_localnet`, '1');
  // No container is a router for the host. The firewall keeps it from saying so, but what it says while somebody has taken the
  // rules away would be heeded for hours after they are back. A kernel without IPv6 has nothing to set.
  const advertisements = `/proc/sys/net/ipv6/conf/${device}/accept_ra`;
  if (existsSync(advertisements)) await writeFile(advertisements, '0');
}

/** Takes away the namespaces of slots, and with them their interfaces; what isn't there is fine. */
export async function removeLinks(plan: LinkPlan, slots: number[]): Promise<void> {
  const present = new Set(await namespaces());
  const names = slots.map((slot) => plan.namespace(slot)).filter((name) => present.has(name));
  if (names.length === 0) return;
  await doKernelSteps([{ do: 'forget', files: names.map((name) => join(NETNS_DIR, name)) }]);
  const after = new Set(await namespaces());
  const left = names.filter((name) => after.has(name));
  if (left.length > 0) throw new Error(`network namespaces that can't be removed: ${left.join(', ')}`);
}

function outside({ subnet, subnet6, mtu, ...plan }: LinkPlan, { slot, ids }: Place): string[] {
  const [namespace, device] = [plan.namespace(slot), plan.interface(slot)];
  return [
    ...(ids ? [] : [`netns add ${namespace}`]),
    `link add ${device} mtu ${mtu} group ${CONTAINER_GROUP} type veth peer name eth0 mtu ${mtu} netns ${namespace}`,
    `link set ${device} up`,
    `route replace ${subnet.address(slot)}/32 dev ${device} src ${subnet.gateway}`,
    ...(subnet6
      ? [`addr add ${GATEWAY6}/64 dev ${device} nodad`, `route replace ${subnet6.address(slot)}/128 dev ${device}`]
      : []),
  ];
}

function inside({ subnet, subnet6 }: LinkPlan, slot: number): string[] {
  return [
    'link set lo up',
    `addr add ${subnet.address(slot)}/32 dev eth0`,
    'link set eth0 up',
    `route add ${subnet.gateway} dev eth0 scope link`,
    `route add default via ${subnet.gateway}`,
    ...(subnet6
      ? [`addr add ${subnet6.address(slot)}/128 dev eth0 nodad`, `route add default via ${GATEWAY6} dev eth0`]
      : []),
  ];
}

async function batch(options: string[], lines: string[]): Promise<void> {
  await run('ip', [...options, '-batch', '-'], { input: `${lines.join('\n')}\n` });
}
