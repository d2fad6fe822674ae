import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cgroupDirectories } from './cgroup.js';
import { runToEnd } from './command.js';
import { IdRanges } from './id-ranges.js';
import { mountsBelow } from './mounts.js';
import { namespaces } from './network.js';
import type { CellPlaces } from './places.js';
import { PortPool } from './ports.js';
import { commandLine } from './proc.js';

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
    listed(places.runtimeRoot, 'runtime state in'),
    mounts(places),
    loopDevices(places),
    networks(places),
    leases(places),
    cgroups(places),
    portClaims(places),
    idClaims(places),
    firewallRules(places),
    programs(places),
  ]);
  return found.flat();
}

async function listed(dir: string, what: string): Promise<Trace[]> {
  const names = await readdir(dir).catch(() => []);
  return names.map((handle) => ({ handle, what: `${what} ${join(dir, handle)}` }));
}

async function mounts(places: CellPlaces): Promise<Trace[]> {
  const points = await Promise.all([places.containers, places.stages].map(mountsBelow));
  return points.flat().map((point) => ({ handle: handleOfPath(places, point), what: `mount ${point}` }));
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

async function networks(places: CellPlaces): Promise<Trace[]> {
  const own = (await namespaces()).filter((name) => name.startsWith(places.networkPrefix));
  return own.map((name) => ({ handle: name.slice(places.networkPrefix.length), what: `network namespace ${name}` }));
}

async function leases(places: CellPlaces): Promise<Trace[]> {
  const traces: Trace[] = [];
  const dir = join(places.ipam, `rivera.${places.cellId}`);
  for (const name of (await readdir(dir).catch(() => [])).filter((entry) => /^\d+\./.test(entry))) {
    const id = (await readFile(join(dir, name), 'utf8').catch(() => '')).split(/\s/)[0] ?? '';
    traces.push({ handle: id.slice(places.networkPrefix.length), what: `address ${name}` });
  }
  return traces;
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
  const claims = await new IdRanges({ firstId: 0, ranges: 1 }).claims(places.containers);
  return claims.map(({ hostId, folder }) => ({ handle: handleOfPath(places, folder), what: `ids from ${hostId}` }));
}

async function firewallRules(places: CellPlaces): Promise<Trace[]> {
  const { stdout } = await runToEnd('iptables-save', ['-t', 'nat']);
  const traces: Trace[] = [];
  for (const line of stdout.split('\n')) {
    const id = /id: \\?"([^"\\]+)\\?"/.exec(line)?.[1];
    if (id?.startsWith(places.networkPrefix))
      traces.push({ handle: id.slice(places.networkPrefix.length), what: `firewall rule ${line}` });
  }
  return traces;
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
