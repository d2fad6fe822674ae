import { chown, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { failpoint } from '@rivera/kit/failpoint';
import { runToEnd } from '../../kernel/command.js';
import { hasCode } from '../../kernel/durable.js';
import type { IdMapping } from '../../kernel/kernel-steps.js';
import { nestedMounts } from '../../kernel/mounts.js';
import { bootId } from '../../kernel/proc.js';
import { assertEgressRules } from '../egress-rule.js';
import { GardenError, type GardenSpec } from '../garden.js';
import { runtimeConfig } from './bundle.js';
import type { Cell } from './cell.js';
import { prepareMoves } from './cgroups/cgroup-moves.js';
import { mountAll } from './disk/disk.js';
import { hostsFile, resolverFile } from './network.js';
import { type BirthPhase, isHandle } from './options.js';
import type { ContainerPlaces } from './places.js';
import { runtimeMessage } from './process/supervisor.js';
import { type ContainerRecord, identifyInit, writeRecord } from './record.js';
import type { RootLayers } from './root-layers.js';
import type { Runtime } from './runtime/runtime.js';

/** Host ports are few, and an image may expose thousands. */
const MAX_IMAGE_PORTS = 16;

/**
 * Checks what can be checked before anything is fetched or made.
 * @throws GardenError `create-failed`, `unsupported`
 */
export async function checkSpec(cell: Cell, spec: GardenSpec): Promise<void> {
  if (!isHandle(spec.handle))
    throw new GardenError('create-failed', `handle '${spec.handle}' is not 1..64 of A-Z a-z 0-9 _ -`);
  if (spec.privileged && !cell.settings.allowPrivileged) {
    throw new GardenError('unsupported', 'privileged container creation is disabled');
  }
  for (const port of spec.ports) {
    if (!Number.isInteger(port) || port < 1 || port > 65_535)
      throw new GardenError('create-failed', `port ${port} is not 1..65535`);
  }
  assertEgressRules(spec.egress);
  for (const mount of spec.mounts) {
    if (!mount.destination.startsWith('/'))
      throw new GardenError('create-failed', `mount destination '${mount.destination}' is not absolute`);
    await stat(mount.source).catch((cause: unknown) => {
      throw new GardenError('create-failed', `mount source '${mount.source}' can't be used`, { cause });
    });
  }
}

/**
 * Makes a container: ports, then its network; then disk and runtime, and the firewall beside them. The record at the end makes it
 * whole. Whoever calls takes down what is there when this throws.
 */
export async function makeContainer(
  cell: Cell,
  o: { spec: GardenSpec; root: RootLayers; places: ContainerPlaces },
): Promise<ContainerRecord> {
  const { spec, places, root } = o;
  // One after the other: Node says of a full disk that there is no such directory when it is to make both at once.
  for (const dir of [places.dir, places.processes]) await mkdir(dir, { mode: 0o700 }).catch(unlessThere);
  const phase = phases(cell);
  const runtime = cell.runtimes.current;
  const [ports, resolv] = await Promise.all([
    phase('ports', cell.ports.take(spec.handle, wantedPorts(spec, root))),
    resolverFile(),
    mkdir(places.execs),
  ]);
  const attaching = phase('network', cell.network.attach(places, { ownIds: !spec.privileged }));
  const [{ address, address6, ids }, init] = await all([
    attaching,
    attaching.then(async ({ address, address6, ids }) => {
      void prepareMoves();
      await all([
        writeConfig(cell, { ...o, ids }),
        // The namespace comes with the ids that the files are to belong to.
        phase('disk', mountAll({ places, root, spec, ids, templates: cell.templates })),
      ]);
      const addresses = address6 ? [address, address6] : [address];
      const owner = ids?.hostId ?? 0;
      await Promise.all([
        writeOwned(places.hosts, hostsFile({ hostname: spec.handle, addresses }), owner),
        writeOwned(places.resolvConf, resolv, owner),
      ]);
      failpoint('cell.container-half-made');
      void prepareMoves();
      return phase('runtime', startInit(cell, places, runtime));
    }),
    // Beside all the rest: nothing can come of it before there is somebody in the namespace, nor after a birth that has failed.
    attaching.then(() => phase('firewall', cell.network.open(spec.handle, { egress: spec.egress, ports }))),
  ]);
  const info = {
    hostAddress: cell.settings.hostAddress,
    containerAddress: address,
    ...(address6 ? { containerAddress6: address6 } : {}),
    ports,
    imageEnv: root.defaults.env,
    imageUser: root.defaults.user,
    imageDir: root.defaults.dir,
    imageEntrypoint: root.defaults.entrypoint,
    imageCmd: root.defaults.cmd,
  };
  const record: ContainerRecord = {
    version: 1,
    spec,
    info,
    createdAtMs: cell.settings.clock.now(),
    bootId: bootId(),
    init,
    runtime: { name: runtime.name, path: runtime.path },
    ...(ids && { ids }),
  };
  failpoint('cell.container-made');
  await phase('record', writeRecord(places, record));
  failpoint('cell.container-recorded');
  return record;
}

/** Those of the spec; where it leaves them to the image, what that exposes. */
function wantedPorts({ ports, imagePorts }: GardenSpec, { defaults }: RootLayers): number[] {
  return ports.length === 0 && imagePorts ? defaults.ports.slice(0, MAX_IMAGE_PORTS) : ports;
}

function unlessThere(error: unknown): void {
  if (!hasCode(error, 'EEXIST')) throw error;
}

/** Takes the time of parts that went well. */
function phases({ settings }: Cell): <T>(name: BirthPhase, work: Promise<T>) => Promise<T> {
  return async (name, work) => {
    const from = performance.now();
    const result = await work;
    settings.phaseEnded(name, performance.now() - from);
    return result;
  };
}

/** A file that root of the container may change. */
async function writeOwned(path: string, content: string, owner: number): Promise<void> {
  await writeFile(path, content);
  await chown(path, owner, owner);
}

async function writeConfig(
  cell: Cell,
  o: { spec: GardenSpec; places: ContainerPlaces; ids: IdMapping | undefined },
): Promise<void> {
  const { spec, places, ids } = o;
  const config = runtimeConfig({
    nested: await Promise.all(spec.mounts.map(({ source }) => nestedMounts(source))),
    spec,
    places,
    tools: cell.tools,
    kernel: cell.kernel,
    maxPids: cell.settings.maxPids,
    ids,
  });
  await writeFile(o.places.configFile, JSON.stringify(config), { mode: 0o600 });
}

async function startInit(cell: Cell, places: ContainerPlaces, runtime: Runtime): Promise<ContainerRecord['init']> {
  const args = [
    '--root',
    cell.places.runtimeRoot,
    '--log',
    places.runtimeLog,
    'run',
    '-d',
    '--pid-file',
    places.initPidFile,
  ];
  // Init keeps whatever it is given, so pipes would never close.
  const { code } = await runToEnd(runtime.path, [...args, '--bundle', places.dir, places.handle], {
    discardOutput: true,
    hidden: runtime.hidden,
    timeoutMs: cell.settings.runtimeTimeoutMs,
  });
  if (code === 0) return identifyInit(places);
  throw new Error(
    `the runtime failed: ${runtimeMessage(await readFile(places.runtimeLog, 'utf8').catch(() => `exit code ${code}`))}`,
  );
}

/** Like `Promise.all`, but failing only after all have ended: what still runs would make things while others take them down. */
async function all<T extends readonly unknown[]>(promises: [...{ [K in keyof T]: Promise<T[K]> }]): Promise<T> {
  await Promise.allSettled(promises);
  return Promise.all(promises) as unknown as Promise<T>;
}
