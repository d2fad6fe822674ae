import { existsSync } from 'node:fs';
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type CommandOptions, run, runToEnd } from './command.js';
import { readIfPresent } from './durable.js';
import { doKernelSteps, type IdMapping } from './kernel-steps.js';
import { mountsBelow } from './mounts.js';
import type { OciSettings } from './options.js';
import { type CellPlaces, type ContainerPlaces, NETNS_DIR } from './places.js';
import type { PortMapping } from './ports.js';

/** Where Debian and others keep the CNI plugins. */
export const CNI_DIRS = ['/usr/lib/cni', '/opt/cni/bin'];

/** What a plugin answered, as far as it matters. */
interface CniResult {
  ips?: { address: string }[];
}

/** Networks of a cell's containers: a bridge, an address each, and host ports that lead to them. */
export class CellNetwork {
  private readonly env: NodeJS.ProcessEnv;
  /** The first container makes the bridge; the others wait for it, as two at once trip over each other. */
  private bridgeMade: Promise<unknown> | undefined;

  constructor(
    private readonly places: CellPlaces,
    private readonly settings: OciSettings,
  ) {
    this.env = { ...process.env, CNI_PATH: CNI_DIRS.join(':'), CNI_IFNAME: 'eth0' };
  }

  /** Lets containers reach the world with the host's address. */
  async prepare(): Promise<void> {
    const rule = this.masqueradeRule();
    const present = await runToEnd('iptables', ['-w', '-t', 'nat', '-C', ...rule]);
    if (present.code !== 0) await run('iptables', ['-w', '-t', 'nat', '-A', ...rule]);
  }

  /** Makes a container's namespace, with nothing but loopback; with ids of its own in a user namespace, which it then holds. */
  async makeNamespace(places: ContainerPlaces, ids: IdMapping | undefined): Promise<void> {
    if (ids) return doKernelSteps([{ do: 'namespaces', ids, netFile: places.netns }]);
    await run('sh', ['-ec', 'ip netns add "$1" && ip -n "$1" link set lo up', 'netns', places.networkId]);
  }

  /** Connects a namespace to the bridge; resolves with its address. */
  async connect(places: ContainerPlaces): Promise<{ address: string; result: string }> {
    const add = () => this.plugin('bridge', 'ADD', places, this.bridgeConfig());
    let result: string;
    if (this.bridgeMade) {
      await this.bridgeMade.catch(() => undefined);
      result = await add();
    } else {
      const first = add();
      this.bridgeMade = first;
      first.catch(() => {
        this.bridgeMade = undefined;
      });
      result = await first;
    }
    const address = (JSON.parse(result) as CniResult).ips?.[0]?.address.split('/')[0];
    if (!address) throw new Error(`the bridge plugin gave no address: ${result.slice(0, 300)}`);
    return { address, result };
  }

  /** Leads host ports to a container. */
  async mapPorts(places: ContainerPlaces, o: { result: string; ports: PortMapping[] }): Promise<void> {
    if (o.ports.length === 0) return;
    await this.plugin('portmap', 'ADD', places, {
      ...this.portmapConfig(o.ports),
      prevResult: JSON.parse(o.result) as unknown,
    });
  }

  /** Takes away whatever of a container's network there is. */
  async remove(places: ContainerPlaces, o: { hadPorts: boolean }): Promise<void> {
    // The plugin needs to see some mapping to do its work, and finds the rules by the container's id.
    const somePort = [{ hostPort: 1, containerPort: 1 }];
    await Promise.all([
      o.hadPorts ? this.plugin('portmap', 'DEL', places, this.portmapConfig(somePort)) : undefined,
      this.plugin('bridge', 'DEL', places, this.bridgeConfig()),
    ]);
    if ((await namespaces()).includes(places.networkId)) await run('ip', ['netns', 'del', places.networkId]);
    // Left by a plugin that was killed, addresses would be lost to the pool for ever.
    for (const lease of await this.leases())
      if (lease.networkId === places.networkId) await rm(lease.file, { force: true });
  }

  /** Addresses given out, with the network id of whom they belong to. */
  async leases(): Promise<{ file: string; networkId: string }[]> {
    const dir = join(this.places.ipam, this.networkName());
    const names = await readdir(dir).catch(() => []);
    const leases = [];
    for (const name of names.filter((entry) => /^\d+\./.test(entry))) {
      const content = await readIfPresent(join(dir, name));
      if (content !== undefined) leases.push({ file: join(dir, name), networkId: content.split(/\s/)[0] ?? '' });
    }
    return leases;
  }

  /** Takes away what the cell as a whole has: the bridge and the rule that lets containers out. */
  async dissolve(): Promise<void> {
    await runToEnd('iptables', ['-w', '-t', 'nat', '-D', ...this.masqueradeRule()]);
    await runToEnd('ip', ['link', 'del', this.settings.bridge]);
    this.bridgeMade = undefined;
  }

  private masqueradeRule(): string[] {
    const { subnet } = this.settings;
    return [
      'POSTROUTING',
      '-s',
      subnet,
      '!',
      '-d',
      subnet,
      '-m',
      'comment',
      '--comment',
      this.networkName(),
      '-j',
      'MASQUERADE',
    ];
  }

  private networkName(): string {
    return `rivera.${this.places.cellId}`;
  }

  private bridgeConfig(): object {
    return {
      cniVersion: '1.0.0',
      name: this.networkName(),
      type: 'bridge',
      bridge: this.settings.bridge,
      isGateway: true,
      isDefaultGateway: true,
      hairpinMode: true,
      ipMasq: false,
      ipam: { type: 'host-local', dataDir: this.places.ipam, ranges: [[{ subnet: this.settings.subnet }]] },
    };
  }

  private portmapConfig(ports: PortMapping[]): object {
    const portMappings = ports.map((port) => ({ ...port, protocol: 'tcp' }));
    return {
      cniVersion: '1.0.0',
      name: this.networkName(),
      type: 'portmap',
      snat: true,
      capabilities: { portMappings: true },
      runtimeConfig: { portMappings },
    };
  }

  private async plugin(type: string, command: 'ADD' | 'DEL', places: ContainerPlaces, config: object): Promise<string> {
    const haveNamespace = command === 'ADD' || (await namespaces()).includes(places.networkId);
    const env = {
      ...this.env,
      CNI_COMMAND: command,
      CNI_CONTAINERID: places.networkId,
      CNI_NETNS: haveNamespace ? places.netns : '',
    };
    const options: CommandOptions = { input: JSON.stringify(config), env };
    return run(pluginPath(type), [], options);
  }
}

/** Where a CNI plugin is; a first guess when it is nowhere, so that the failure names it. */
export function pluginPath(type: string): string {
  const candidates = CNI_DIRS.map((dir) => join(dir, type));
  return candidates.find((path) => existsSync(path)) ?? join('/usr/lib/cni', type);
}

/**
 * Has `ip` make the folder of named namespaces what it wants it to be, a mount that is shared. It does so when it makes its first,
 * over all that was mounted there without it, which could not be taken away any more.
 */
export async function prepareNamespaceFolder(): Promise<void> {
  if ((await mountsBelow(NETNS_DIR)).includes(NETNS_DIR)) return;
  const name = `rivera-first-${process.pid}`;
  await run('ip', ['netns', 'add', name]);
  await run('ip', ['netns', 'del', name]);
}

/** Network namespaces of the machine, by name. */
export async function namespaces(): Promise<string[]> {
  return readdir(NETNS_DIR).catch(() => []);
}

/** The host's name servers that containers can reach too: those on loopback are only the host's. */
export async function resolverFile(): Promise<string> {
  const text = await readFile('/etc/resolv.conf', 'utf8').catch(() => '');
  const lines = text.split('\n').filter((line) => !/^\s*nameserver\s+(127\.|::1)/.test(line));
  return `${lines.join('\n').trim()}\n`;
}

/** Content of a container's `/etc/hosts`. */
export function hostsFile(o: { hostname: string; address?: string }): string {
  const own = o.address ? `${o.address} ${o.hostname}\n` : '';
  return `127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n${own}`;
}
