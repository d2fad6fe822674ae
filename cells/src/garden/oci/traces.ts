import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runToEnd } from '../../kernel/command.js';
import { mountsBelow } from '../../kernel/mounts.js';
import { commandLine } from '../../kernel/proc.js';
import { cgroupDirectories } from './cgroups/cgroup.js';
import { IdRanges } from './id-ranges.js';
import { namespaces } from './network/namespaces.js';
import { PortPool } from './network/ports.js';
import { handleOfChain } from './network/ruleset.js';
import { SlotIds } from './network/slot-ids.js';
import { readSlots } from './network/slots.js';
import type { CellPlaces } from './places.js';

/** Something of a container that is on the machine. */
export interface Trace {
  handle: string;
  /** For people. */
  what: string;
}

/**
 * Everything on this machine that belongs to containers of a cell, found by looking at the machine and not at any record: what
 * is left of containers that should be gone.
 */
export async function tracesOf(places: CellPlaces): Promise<Trace[]> {
  const found = await Promise.all([
    listed(places.containers, 'files in'),
    listed(places.stages, 'mount points in'),
    listed(places.ends, 'ends of processes in'),
    listed(places.runtimeRoot, 'runtime state in'),
    mounts(places),
    loopDevices(places),
    networks(places),
    cgroups(places),
    portClaims(places),
    idClaims(places),
    firewallRules(places),
    programs(places),
  ]);
  return found.flat();
}

/** What of a cell is on this machine that was dissolved: its containers', and what all of these shared. */
export async function cellTraces(places: CellPlaces, o: { bridge: string }): Promise<string[]> {
  const [containers, named, devices, tables, groups] = await Promise.all([
    tracesOf(places),
    namespaces(),
    readdir('/sys/class/net'),
    runToEnd('nft', ['list', 'tables']),
    cgroupDirectories(places.cgroup).filter((directory) => existsSync(directory)),
  ]);
  const own = (names: string[], prefix: string) => names.filter((name) => name.startsWith(prefix));
  return [
    ...containers.map(({ what }) => what),
    ...own(named, places.networkPrefix).map((name) => `network namespace ${name}`),
    ...own(devices, places.interfacePrefix).map((name) => `interface ${name}`),
    ...devices.filter((name) => name === o.bridge).map((name) => `bridge ${name}`),
    ...tables.stdout.split('\n').filter((line) => line.endsWith(` ${places.firewallTable}`)),
    ...groups.map((directory) => `control group ${directory}`),
  ];
}

async function listed(dir: string, what: string): Promise<Trace[]> {
  const names = await readdir(dir).catch(() => []);
  return names.map((handle) => ({ handle, what: `${what} ${join(dir, handle)}` }));
}

async function mounts(places: CellPlaces): Promise<Trace[]> {
  const points = await mountsBelow(places.containers, places.stages);
  return points.map((point) => ({ handle: handleOfPath(places, point), what: `mount ${point}` }));
}

async function loopDevices(places: CellPlaces): Promise<Trace[]> {
  const traces: Trace[] = [];
  for (const device of (await readdir('/sys/block')).filter((name) => name.startsWith('loop'))) {
    const file = (await readFile(`/sys/block/${device}/loop/backing_file`, 'utf8').catch(() => '')).trim();
    if (file.startsWith(`${places.containers}/`))
      traces.push({ handle: handleOfPath(places, file), what: `loop device ${device} on ${file}` });
  }
  return traces;
}

/** Those of spares aren't a container's. */
async function networks(places: CellPlaces): Promise<Trace[]> {
  const slots = await readSlots(places.network);
  const handles = new Map(slots.map(({ slot, handle }) => [String(slot), handle]));
  const named = (names: string[], prefix: string, what: string): Trace[] =>
    names
      .filter((name) => name.startsWith(prefix) && handles.get(name.slice(prefix.length)) !== '')
      .map((name) => ({ handle: handles.get(name.slice(prefix.length)) ?? '', what: `${what} ${name}` }));
  return [
    ...slots.filter(({ handle }) => handle !== '').map(({ slot, handle }) => ({ handle, what: `slot ${slot}` })),
    ...named(await namespaces(), places.networkPrefix, 'network namespace'),
    ...named(await readdir('/sys/class/net'), places.interfacePrefix, 'interface'),
  ];
}

async function cgroups(places: CellPlaces): Promise<Trace[]> {
  const traces: Trace[] = [];
  for (const dir of cgroupDirectories(places.cgroup)) {
    for (const entry of await readdir(dir, { withFileTypes: true }).catch(() => [])) {
      if (entry.isDirectory()) traces.push({ handle: entry.name, what: `control group ${join(dir, entry.name)}` });
    }
  }
  return traces;
}

async function portClaims(places: CellPlaces): Promise<Trace[]> {
  const pool = new PortPool(places, { first: 1, last: 1 });
  return (await pool.claims()).map((claim) => ({ handle: claim.handle, what: `host port ${claim.port}` }));
}

async function idClaims(places: CellPlaces): Promise<Trace[]> {
  const ids = new SlotIds(new IdRanges({ firstId: 0, ranges: 1 }), places.networkIds);
  const handles = new Map((await readSlots(places.network)).map(({ slot, handle }) => [slot, handle]));
  // Those of spares aren't a container's.
  return (await ids.claims())
    .filter(({ slot }) => handles.get(slot) !== '')
    .map(({ slot, hostId }) => ({ handle: handles.get(slot) ?? '', what: `ids from ${hostId}` }));
}

async function firewallRules(places: CellPlaces): Promise<Trace[]> {
  const { stdout } = await runToEnd('nft', ['list', 'table', 'inet', places.firewallTable]);
  return stdout.split('\n').flatMap((line) => {
    const handle = handleOfChain(line);
    return handle === undefined ? [] : [{ handle, what: `firewall chain of ${handle}` }];
  });
}

/** Supervisors, and runtimes that serve people: both name a container's files. */
async function programs(places: CellPlaces): Promise<Trace[]> {
  const traces: Trace[] = [];
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const words = commandLine(Number(name));
    const path = words.find((word) => word.startsWith(`${places.containers}/`));
    if (path) traces.push({ handle: handleOfPath(places, path), what: `process ${name} (${words[0]})` });
  }
  return traces;
}

function handleOfPath(places: CellPlaces, path: string): string {
  const above = path.startsWith(`${places.stages}/`) ? places.stages : places.containers;
  return path.slice(above.length + 1).split('/')[0] ?? '';
}
