import { createHash } from 'node:crypto';
import { readFile, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { NameLock } from '@rivera/kit/name-lock';
import type { IdMapping } from '../../kernel/kernel-steps.js';
import { parseRange } from '../addresses.js';
import { GardenError } from '../garden.js';
import { IdRanges } from './id-ranges.js';
import { canFilterArp, Firewall } from './network/firewall.js';
import { hostMtu, noIpv6Reason, prepareHost, unprepareHost } from './network/host.js';
import { hostServiceOf } from './network/host-service.js';
import { type LinkPlan, type Place, removeLinks } from './network/links.js';
import { namespaces } from './network/namespaces.js';
import type { Opening } from './network/ruleset.js';
import { SlotIds } from './network/slot-ids.js';
import { Slots } from './network/slots.js';
import { Spares } from './network/spares.js';
import { type Subnet, subnetOf } from './network/subnet.js';
import type { OciSettings } from './options.js';
import { type CellPlaces, type ContainerPlaces, NETNS_DIR } from './places.js';

/** Where a container is in the cell's network. */
export interface Attachment {
  interface: string;
  address: string;
  address6: string | undefined;
}

/** What is to be let through for a container. */
export type Passage = Pick<Opening, 'egress' | 'ports'>;

/** Networks of a cell's containers: a slot each, with a namespace, an address and a place in the firewall. */
export class CellNetwork {
  private readonly subnet: Subnet;
  private readonly slots: Slots;
  private readonly ids: SlotIds;
  private bridge: NameLock | undefined;
  private made: { links: LinkPlan; spares: Spares; firewall: Firewall } | undefined;

  constructor(
    private readonly places: CellPlaces,
    private readonly settings: OciSettings,
  ) {
    this.ids = new SlotIds(new IdRanges(settings.userNamespaces), places.networkIds);
    this.subnet = subnetOf(settings.subnet);
    this.slots = new Slots(places.network, this.subnet.lastSlot);
  }

  /** Readies the host, and clears away the spares of an earlier agent. Containers keep what they have. */
  async prepare(): Promise<void> {
    await this.takeBridge();
    await this.prepareOwn().catch(async (error: unknown) => {
      await this.releaseBridge();
      throw error;
    });
  }

  private async prepareOwn(): Promise<void> {
    const { settings, subnet, places } = this;
    const subnet6 = await this.subnet6();
    await prepareHost({ bridge: settings.bridge, subnet, subnet6 });
    await this.slots.load();
    const links: LinkPlan = {
      subnet,
      subnet6,
      mtu: await hostMtu(),
      namespace: (slot) => `${places.networkPrefix}${slot}`,
      interface: (slot) => `${places.interfacePrefix}${slot}`,
    };
    const { clock, log } = settings;
    const spares = new Spares({
      slots: this.slots,
      ids: this.ids,
      ownIds: settings.userNamespaces.enabled,
      links,
      count: settings.spareNetworks,
      log,
    });
    const firewall = new Firewall(
      {
        table: places.firewallTable,
        interfaces: places.interfacePrefix,
        bridge: settings.bridge,
        arp: await canFilterArp(),
        subnet: subnet.cidr,
        subnet6: subnet6?.cidr,
        denyNetworks: settings.denyNetworks.map(rangeOf),
        hostServices: settings.hostServices.map(hostServiceOf),
      },
      { clock, log },
    );
    this.made = { links, spares, firewall };
    await spares.discard(this.slots.spares());
    await removeLinks(
      links,
      (await namespacesBelow(places)).filter((slot) => !this.slots.has(slot)),
    );
  }

  /** Lets through what is said, of these containers and no others; from now on containers can be made. */
  async protect(containers: readonly ({ handle: string } & Passage)[]): Promise<void> {
    const { firewall, spares } = this.ready();
    await firewall.install(
      containers.flatMap(({ handle, ...passage }) => {
        const slot = this.slots.of(handle);
        return slot === undefined ? [] : [{ handle, ...this.attachment(slot), ...passage }];
      }),
    );
    spares.refill();
  }

  /** Gives a container its namespace, connected and closed, and if wanted ids of its own. */
  async attach(container: ContainerPlaces, o: { ownIds: boolean }): Promise<Attachment & Pick<Place, 'ids'>> {
    const { slot, ids } = await this.ready().spares.take(o);
    await this.slots.assign(slot, container.handle);
    await symlink(join(NETNS_DIR, this.ready().links.namespace(slot)), container.netns);
    return { ...this.attachment(slot), ...(ids && { ids }) };
  }

  /** Opens a container's network. */
  async open(handle: string, passage: Passage): Promise<void> {
    await this.ready().firewall.open({ handle, ...this.attachmentOf(handle), ...passage });
  }

  /** Lets something else through than before. */
  async change(handle: string, passage: Passage): Promise<void> {
    await this.ready().firewall.change({ handle, ...this.attachmentOf(handle), ...passage });
  }

  /** Takes away whatever of a container's network there is, and the ids that came with it. */
  async remove(handle: string, ids?: IdMapping): Promise<void> {
    const { firewall, links } = this.ready();
    const slot = this.slots.of(handle);
    await Promise.all([firewall.shut(handle), slot === undefined ? undefined : removeLinks(links, [slot])]);
    if (slot === undefined) return;
    await this.ids.release(slot, ids);
    await this.slots.release(slot);
  }

  /** Stops what runs here, and takes the spares away; containers and their rules stay. */
  async close(): Promise<void> {
    await this.made?.spares.close();
    await this.made?.firewall.close();
    await this.releaseBridge();
  }

  /** Two cells with one bridge would give their containers the same addresses. */
  private async takeBridge(): Promise<void> {
    const { bridge } = this.settings;
    this.bridge ??= await NameLock.take('bridge', bridge);
    if (this.bridge) return;
    const remedy = 'give each cell of a machine a bridge and a subnet of its own';
    throw new GardenError('unsupported', `bridge ${bridge} is another cell's, which runs: ${remedy}`);
  }

  private async releaseBridge(): Promise<void> {
    await this.bridge?.release();
    this.bridge = undefined;
  }

  /** Takes away what the cell as a whole has: spares, rules, bridge. */
  async dissolve(): Promise<void> {
    await this.made?.spares.close();
    await this.made?.firewall.remove();
    await unprepareHost(this.settings.bridge);
  }

  private async subnet6(): Promise<Subnet | undefined> {
    const { subnet6, log } = this.settings;
    const reason = subnet6 === 'none' ? 'the settings say so' : await noIpv6Reason();
    if (reason !== undefined) {
      if (subnet6 !== 'none' && subnet6 !== 'auto')
        throw new GardenError('unsupported', `subnet6 ${subnet6} can't be used: ${reason}`);
      log.info({ reason }, 'containers have no IPv6');
      return undefined;
    }
    const subnet = subnetOf(subnet6 === 'auto' ? uniqueSubnet(this.places) : subnet6);
    if (subnet.lastSlot < this.subnet.lastSlot) {
      throw new GardenError(
        'unsupported',
        `subnet6 ${subnet.cidr} has room for fewer containers than subnet ${this.subnet.cidr}`,
      );
    }
    log.info({ subnet: subnet.cidr }, 'containers have IPv6');
    return subnet;
  }

  private attachmentOf(handle: string): Attachment {
    const slot = this.slots.of(handle);
    if (slot === undefined) throw new Error(`container '${handle}' has no network`);
    return this.attachment(slot);
  }

  private attachment(slot: number): Attachment {
    const { links } = this.ready();
    return {
      interface: links.interface(slot),
      address: links.subnet.address(slot),
      address6: links.subnet6?.address(slot),
    };
  }

  private ready() {
    if (!this.made) throw new Error('the network is not prepared yet');
    return this.made;
  }
}

/** A network of a range that everybody may use at home, unlikely to be anybody else's (RFC 4193). */
function uniqueSubnet({ networkPrefix }: CellPlaces): string {
  const hex = createHash('sha256').update(networkPrefix).digest('hex');
  return `fd${hex.slice(0, 2)}:${hex.slice(2, 6)}:${hex.slice(6, 10)}:${hex.slice(10, 14)}::/64`;
}

function rangeOf(text: string) {
  const range = parseRange(text);
  if (range) return range;
  throw new GardenError('unsupported', `denied network '${text}' is not an address, a network or a range FIRST-LAST`);
}

async function namespacesBelow({ networkPrefix }: CellPlaces): Promise<number[]> {
  const own = (await namespaces()).filter((name) => name.startsWith(networkPrefix));
  return own.map((name) => Number(name.slice(networkPrefix.length))).filter(Number.isInteger);
}

/** The host's name servers that containers can reach too: those on loopback are only the host's. */
export async function resolverFile(): Promise<string> {
  const text = await readFile('/etc/resolv.conf', 'utf8').catch(() => '');
  const lines = text.split('\n').filter((line) => !/^\s*nameserver\s+(127\.|::1)/.test(line));
  return `${lines.join('\n').trim()}\n`;
}

/** Content of a container's `/etc/hosts`. */
export function hostsFile(o: { hostname: string; addresses: readonly string[] }): string {
  const own = o.addresses.map((address) => `${address} ${o.hostname}\n`).join('');
  return `127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n${own}`;
}
