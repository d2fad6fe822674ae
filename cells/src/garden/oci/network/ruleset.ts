import { type AddressRange, addressNumber, addressOf, familyOf, mergeRanges } from '../../addresses.js';
import type { EgressRule, PortMapping } from '../../garden.js';
import type { HostService } from './host-service.js';
import { CONTAINER_GROUP } from './links.js';

/** What the firewall of a cell is for. */
export interface FirewallPlan {
  table: string;
  /** What names of the containers' interfaces begin with. */
  interfaces: string;
  /** Where the addresses of the subnet are that nobody has. */
  bridge: string;
  /** Whether this kernel can filter ARP. */
  arp: boolean;
  subnet: string;
  subnet6: string | undefined;
  /** Reached only by an egress rule. */
  denyNetworks: readonly AddressRange[];
  /** Of the host, reached by all containers. */
  hostServices: readonly HostService[];
}

/** What the firewall lets through for one container. */
export interface Opening {
  handle: string;
  interface: string;
  address: string;
  address6: string | undefined;
  egress: readonly EgressRule[];
  ports: readonly PortMapping[];
}

/** Begins what the kernel logs of a container's connections (spec cell §44). */
const LOG_PREFIX_LENGTH = 28;
/** A container can't flood the kernel's log: beyond this, connections are let through unlogged. */
const LOG_LIMIT = 'limit rate 200/second burst 400 packets';

/**
 * What a container sends in answer. What it sends of its own accord is held against the rules packet by packet: the kernel may still
 * know connections of a container that had the address before, with other rules.
 */
const ANSWERS = 'ct state { established, related } ct direction reply accept';

/**
 * The whole firewall, replacing at once whatever there was. A packet of a container costs one look-up of its interface, however
 * many containers there are, then the rules of this container until one fits.
 */
export function wholeRuleset(plan: FirewallPlan, openings: Iterable<Opening>): string {
  return [
    `add table inet ${plan.table}`,
    `delete table inet ${plan.table}`,
    skeleton(plan),
    ...(plan.arp ? [`add table arp ${plan.table}`, `delete table arp ${plan.table}`, arpTable(plan)] : []),
    ...[...openings].map((opening) => openingScript(plan, opening)),
  ].join('\n');
}

/**
 * What is sent to an address that nobody has is refused before the kernel asks for its owner: each that it asks for fills a place in a
 * table of a thousand that all of the machine shares. TCP is refused by a reset: a message of ICMP that
 * comes while the other side still connects is heeded a second later only.
 */
function skeleton(plan: FirewallPlan): string {
  const own = `"${plan.interfaces}*"`;
  return `table inet ${plan.table} {
  map from { type ifname : verdict; }
  set addresses4 { type ifname . ipv4_addr; }
  set addresses6 { type ifname . ipv6_addr; }
  map ports4 { type inet_service : ipv4_addr . inet_service; }
  map ports6 { type inet_service : ipv6_addr . inet_service; }
  ${denied(plan, 4)}
  ${denied(plan, 6)}
  chain forward {
    type filter hook forward priority filter; policy accept;
    iifname ${own} jump sane
    oifname "${plan.bridge}" goto refused
    iifname vmap @from
    iifname ${own} drop
    oifname ${own} goto inbound
  }
  chain input {
    type filter hook input priority filter; policy accept;
    iifname ${own} goto host
  }
  chain prerouting {
    type nat hook prerouting priority dstnat;
    fib daddr type local dnat ip to tcp dport map @ports4
    fib daddr type local dnat ip6 to tcp dport map @ports6
  }
  chain output {
    type nat hook output priority -100;
    fib daddr type local dnat ip to tcp dport map @ports4
    fib daddr type local dnat ip6 to tcp dport map @ports6
  }
  chain postrouting {
    type nat hook postrouting priority srcnat;
    ${masquerade(plan).join('\n    ')}
  }
  chain sane {
    meta nfproto ipv4 iifname . ip saddr != @addresses4 drop
    meta nfproto ipv6 iifname . ip6 saddr != @addresses6 drop
  }
  chain closed {
    oifgroup ${CONTAINER_GROUP} goto refused
    ip daddr @denied4 goto refused
    ip6 daddr @denied6 goto refused
    accept
  }
  chain refused {
    meta l4proto tcp reject with tcp reset
    reject with icmpx admin-prohibited
  }
  chain inbound {
    ct state established,related accept
    iifgroup ${CONTAINER_GROUP} accept
    ct status dnat accept
    goto refused
  }
  chain host {
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
    jump sane
    ${ANSWERS}
    ip daddr 127.0.0.0/8 drop
    ${plan.hostServices.map((service) => `${serviceMatch(service)} accept`).join('\n    ')}
    goto refused
  }
}`;
}

/**
 * Who asks by ARP is noted by the host as a neighbour, under whichever address it says is its own. A container has one neighbour to ask
 * about, twice a minute at most.
 */
function arpTable({ table, interfaces }: FirewallPlan): string {
  return `table arp ${table} {
  chain input {
    type filter hook input priority filter; policy accept;
    iifname "${interfaces}*" arp operation request meter asks { iifname limit rate over 1/second burst 5 packets } drop
  }
}`;
}

/** Containers leave with the host's address; what comes to a mapped port from the host's loopback or a container has to find its way back. */
function masquerade({ subnet, subnet6, interfaces }: FirewallPlan): string[] {
  return [
    `ip saddr 127.0.0.0/8 oifname "${interfaces}*" masquerade`,
    ...[subnet, subnet6].flatMap((network) => {
      if (network === undefined) return [];
      const source = `${network.includes(':') ? 'ip6' : 'ip'} saddr ${network}`;
      return [`${source} oifgroup != ${CONTAINER_GROUP} masquerade`, `${source} ct status dnat masquerade`];
    }),
  ];
}

function denied({ denyNetworks }: FirewallPlan, family: 4 | 6): string {
  const networks = intervals(denyNetworks, family);
  const elements = networks.length > 0 ? `elements = { ${networks.join(', ')} }` : '';
  return `set denied${family} { type ipv${family}_addr; flags interval; ${elements} }`;
}

function serviceMatch({ protocol, first, last }: HostService): string {
  return protocol === 'all' ? '' : `${protocol} dport ${first}-${last}`;
}

/** Lets through what is a container's, and of rules nothing else; done twice, it is as done once. */
export function openingScript(plan: FirewallPlan, opening: Opening): string {
  const { table } = plan;
  const chain = chainOf(opening.handle);
  return [
    `add chain inet ${table} ${chain}`,
    rulesScript(plan, opening),
    ...elements(opening).map(([set, key, value]) => `add element inet ${table} ${set} { ${key}${value} }`),
  ].join('\n');
}

function rulesScript({ table }: FirewallPlan, { handle, egress }: Opening): string {
  const rules = [...egress].reverse().flatMap((rule) => ruleLines(rule, handle));
  const chain = chainOf(handle);
  return [
    `flush chain inet ${table} ${chain}`,
    ...[ANSWERS, ...rules, 'goto closed'].map((rule) => `add rule inet ${table} ${chain} ${rule}`),
  ].join('\n');
}

/** Takes away what is a container's. */
export function closingScript({ table }: FirewallPlan, opening: Opening): string {
  const chain = chainOf(opening.handle);
  return [
    ...elements(opening).map(([set, key]) => `delete element inet ${table} ${set} { ${key} }`),
    `flush chain inet ${table} ${chain}`,
    `delete chain inet ${table} ${chain}`,
  ].join('\n');
}

/** What a listing of the table has to show of a container. */
export function signsOf(opening: Opening): string[] {
  return [`chain ${chainOf(opening.handle)} {`, ...elements(opening).map(([, key, value]) => `${key}${value}`)];
}

/** The container whose chain a line of a listing begins; undefined for any other line. */
export function handleOfChain(line: string): string | undefined {
  return /^\s*chain c-([A-Za-z0-9_-]+) \{/.exec(line)?.[1];
}

function chainOf(handle: string): string {
  return `c-${handle}`;
}

function elements(opening: Opening): [set: string, key: string, value: string][] {
  const { handle, address, address6, ports } = opening;
  const device = `"${opening.interface}"`;
  return [
    ['from', device, ` : goto ${chainOf(handle)}`],
    ['addresses4', `${device} . ${address}`, ''],
    ...(address6 ? [['addresses6', `${device} . ${address6}`, ''] satisfies [string, string, string]] : []),
    ...ports.flatMap(({ hostPort, containerPort }): [string, string, string][] => [
      ['ports4', String(hostPort), ` : ${address} . ${containerPort}`],
      ...(address6
        ? [['ports6', String(hostPort), ` : ${address6} . ${containerPort}`] satisfies [string, string, string]]
        : []),
    ]),
  ];
}

/** A rule as the kernel is told it, one line for each family that it is about; for none when its networks don't go with its protocol. */
export function ruleLines(rule: EgressRule, handle: string): string[] {
  const protocol = protocolMatch(rule);
  return destinations(rule).flatMap((destination) => {
    const match = [destination, protocol].filter(Boolean).join(' ');
    const log = `${match} ct state new ${LOG_LIMIT} log prefix "${handle.slice(0, LOG_PREFIX_LENGTH)} "`;
    return [...(rule.log ? [log.trim()] : []), `${match} accept`.trim()];
  });
}

function destinations({ networks, protocol }: EgressRule): string[] {
  if (networks.length === 0) return [''];
  return ([4, 6] as const).flatMap((family) => {
    if ((protocol === 'icmp' && family === 6) || (protocol === 'icmpv6' && family === 4)) return [];
    const list = intervals(networks, family);
    return list.length > 0 ? [`${family === 4 ? 'ip' : 'ip6'} daddr { ${list.join(', ')} }`] : [];
  });
}

function protocolMatch({ protocol, ports, icmp }: EgressRule): string {
  switch (protocol) {
    case 'all':
      return '';
    case 'tcp':
    case 'udp': {
      const ranges = mergeRanges(ports.map(({ start, end }) => ({ first: BigInt(start), last: BigInt(end) })));
      if (ranges.length === 0) return `meta l4proto ${protocol}`;
      return `${protocol} dport { ${ranges.map(({ first, last }) => `${first}-${last}`).join(', ')} }`;
    }
    case 'icmp':
    case 'icmpv6': {
      if (!icmp) return `meta l4proto ${protocol === 'icmp' ? 'icmp' : 'ipv6-icmp'}`;
      const code = icmp.code === undefined || icmp.code === 255 ? '' : ` ${protocol} code ${icmp.code}`;
      return `${protocol} type ${icmp.type}${code}`;
    }
  }
}

function intervals(ranges: readonly AddressRange[], family: 4 | 6): string[] {
  const own = ranges.filter(({ start }) => familyOf(start) === family);
  return mergeRanges(own.map(({ start, end }) => ({ first: addressNumber(start), last: addressNumber(end) }))).map(
    ({ first, last }) =>
      first === last ? addressOf(first, family) : `${addressOf(first, family)}-${addressOf(last, family)}`,
  );
}
