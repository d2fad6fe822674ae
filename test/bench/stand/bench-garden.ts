import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { GardenContainer, GardenSpec } from '@rivera/cells/garden/garden';
import { OciGarden } from '@rivera/cells/garden/oci/oci-garden';
import { type OciGardenOptions, settle } from '@rivera/cells/garden/oci/options';
import { type CellPlaces, cellPlaces } from '@rivera/cells/garden/oci/places';
import { buildBusyboxRootFs } from '@rivera/cells/garden/rootfs/busybox';
import { systemClock } from '@rivera/kit/clock';
import { createLogger } from '@rivera/kit/log';
import { unwinding } from './unwinding.js';

/** The network of containers has room for this many. */
export const MOST_CONTAINERS = 240;
const MIB = 1 << 20;

/** A garden on this machine, with nothing around it. */
export interface BenchGarden {
  readonly garden: OciGarden;
  readonly places: CellPlaces;
  readonly bridge: string;
}

/** Gives `body` a garden of its own, and takes away whatever of it is left. */
export async function withGarden<T>(
  more: Pick<OciGardenOptions, 'phaseEnded'>,
  body: (bench: BenchGarden) => Promise<T>,
): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'rivera-bench-'));
  const network = process.pid % 200;
  const options = settle({
    cellId: `bench-${process.pid}`,
    dataDir: join(folder, 'cell'),
    rootFsDir: join(folder, 'rootfs'),
    subnet: `10.250.${network}.0/24`,
    bridge: `rvb${process.pid}`,
    portRange: { first: 10_000 + network * 100, last: 10_000 + network * 100 + 2 * MOST_CONTAINERS },
    log: createLogger({ name: 'bench', level: 'error' }),
    clock: systemClock,
    ...more,
  });
  await buildBusyboxRootFs(join(options.rootFsDir, 'busybox'));
  const garden = new OciGarden(options);
  const clear = async () => {
    await Promise.all(garden.list().map((container) => garden.destroy(container.handle)));
    await garden.close();
    await garden.dissolve();
    await rm(folder, { recursive: true, force: true });
  };
  return unwinding(clear, async () => {
    await garden.start();
    return body({ garden, places: cellPlaces(options.dataDir, options.cellId), bridge: options.bridge });
  });
}

let made = 0;

/** A container with all that containers have: memory, pids, a quota, a network, a mapped port. */
export function makeContainer(
  { garden }: BenchGarden,
  o: { quota: boolean } = { quota: true },
): Promise<GardenContainer> {
  const spec: GardenSpec = {
    handle: `c-${++made}`,
    rootFs: 'preloaded:busybox',
    env: {},
    properties: {},
    limits: { memoryBytes: 64 * MIB, diskBytes: o.quota ? 64 * MIB : 0, pids: 64, cpuShares: 128 },
    ports: [8080],
    egress: [],
    mounts: [],
    privileged: false,
  };
  return garden.create(spec);
}

/** Starts a process that says something and then goes on for longer than any benchmark. Resolves when it runs. */
export async function startProcess(container: GardenContainer): Promise<{ firstByte: Promise<void> }> {
  const args = ['-c', 'echo up; exec sleep 100000'];
  const process = await container.run({ id: 'p', path: '/bin/sh', args, env: {}, dir: '', user: 'root' });
  const first = process.output()[Symbol.asyncIterator]();
  return { firstByte: first.next().then(async () => void (await first.return?.())) };
}
