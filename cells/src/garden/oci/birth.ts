import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { failpoint } from '@rivera/kit/failpoint';
import { GardenError, type GardenSpec } from '../garden.js';
import { runtimeConfig } from './bundle.js';
import type { Cell } from './cell.js';
import { runToEnd } from './command.js';
import { mountRootFs } from './disk.js';
import { hostsFile, resolverFile } from './network.js';
import { isHandle } from './options.js';
import type { ContainerPlaces } from './places.js';
import { bootId } from './proc.js';
import { type ContainerRecord, identifyInit, writeRecord } from './record.js';
import type { RootLayers } from './root-layers.js';
import { runtimeMessage } from './supervisor.js';

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
  for (const mount of spec.mounts) {
    if (!mount.destination.startsWith('/'))
      throw new GardenError('create-failed', `mount destination '${mount.destination}' is not absolute`);
    await stat(mount.source).catch((cause: unknown) => {
      throw new GardenError('create-failed', `mount source '${mount.source}' can't be used`, { cause });
    });
  }
}

/**
 * Makes a container: ports; then disk and namespace at once; then the runtime and the network at once. The record at the end
 * makes it whole. Whoever calls takes down what is there when this throws.
 */
export async function makeContainer(
  cell: Cell,
  o: { spec: GardenSpec; root: RootLayers; places: ContainerPlaces },
): Promise<ContainerRecord> {
  const { spec, places, root } = o;
  await mkdir(places.processes, { recursive: true, mode: 0o700 });
  const [ports, resolv] = await Promise.all([
    cell.ports.take(spec.handle, spec.ports),
    resolverFile(),
    mkdir(places.execs),
  ]);
  await all([
    mountRootFs({ places, root, diskBytes: spec.limits.diskBytes }).then(() =>
      Promise.all([
        writeFile(places.hosts, hostsFile({ hostname: spec.handle })),
        writeFile(places.resolvConf, resolv),
      ]),
    ),
    cell.network.makeNamespace(places),
    writeConfig(cell, o),
  ]);
  failpoint('cell.container-half-made');
  const [init, address] = await all([startInit(cell, places), joinNetwork(cell, places, ports)]);
  const info = {
    hostAddress: cell.settings.hostAddress,
    containerAddress: address,
    ports,
    imageEnv: root.defaults.env,
    imageUser: root.defaults.user,
    imageDir: root.defaults.dir,
  };
  const record: ContainerRecord = {
    version: 1,
    spec,
    info,
    createdAtMs: cell.settings.clock.now(),
    bootId: bootId(),
    init,
  };
  // In place: the file is mounted in the container already.
  await writeFile(places.hosts, hostsFile({ hostname: spec.handle, address }));
  failpoint('cell.container-made');
  await writeRecord(places, record);
  failpoint('cell.container-recorded');
  return record;
}

async function writeConfig(cell: Cell, o: { spec: GardenSpec; places: ContainerPlaces }): Promise<void> {
  const config = runtimeConfig({ spec: o.spec, places: o.places, tools: cell.tools, kernel: cell.kernel });
  await writeFile(o.places.configFile, JSON.stringify(config), { mode: 0o600 });
}

async function startInit(cell: Cell, places: ContainerPlaces): Promise<ContainerRecord['init']> {
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
  const { code } = await runToEnd(cell.runtime, [...args, '--bundle', places.dir, places.handle], {
    discardOutput: true,
    timeoutMs: cell.settings.runtimeTimeoutMs,
  });
  if (code === 0) return identifyInit(places);
  throw new Error(
    `the runtime failed: ${runtimeMessage(await readFile(places.runtimeLog, 'utf8').catch(() => `exit code ${code}`))}`,
  );
}

async function joinNetwork(
  cell: Cell,
  places: ContainerPlaces,
  ports: ContainerRecord['info']['ports'],
): Promise<string> {
  const { address, result } = await cell.network.connect(places);
  await cell.network.mapPorts(places, { result, ports });
  return address;
}

/** Like `Promise.all`, but failing only after all have ended: what still runs would make things while others take them down. */
async function all<T extends readonly unknown[]>(promises: [...{ [K in keyof T]: Promise<T[K]> }]): Promise<T> {
  await Promise.allSettled(promises);
  return Promise.all(promises) as unknown as Promise<T>;
}
