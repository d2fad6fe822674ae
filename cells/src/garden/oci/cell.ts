import { existsSync } from 'node:fs';
import { ImageStore } from '../../images/image-store.js';
import { agentMark } from './agent-mark.js';
import type { HostTools, KernelFeatures } from './bundle.js';
import { hasSwapLimit } from './cgroup.js';
import { lowerDirectoriesBelow } from './mounts.js';
import { CellNetwork } from './network.js';
import type { OciSettings } from './options.js';
import { type CellPlaces, cellPlaces } from './places.js';
import { PortPool } from './ports.js';

/** Programs that go into every container, where Debian's packages put them. */
const HOST_TOOLS: HostTools = { init: '/usr/bin/catatonit', busybox: '/usr/bin/busybox' };

/** What all containers of a cell share. */
export interface Cell {
  settings: OciSettings;
  places: CellPlaces;
  network: CellNetwork;
  ports: PortPool;
  images: ImageStore;
  tools: HostTools;
  kernel: KernelFeatures;
  /** Absolute path of the OCI runtime. */
  runtime: string;
}

/** Puts the parts of a cell together; nothing happens yet. */
export function assembleCell(settings: OciSettings): Cell {
  const places = cellPlaces(settings.dataDir, settings.cellId);
  return {
    settings,
    places,
    network: new CellNetwork(places, settings),
    ports: new PortPool({ cellId: settings.cellId, dataDir: settings.dataDir }, settings.portRange),
    images: new ImageStore({
      directory: places.images,
      maxBytes: settings.imageCacheBytes,
      insecureRegistries: settings.insecureRegistries,
      clock: settings.clock,
      log: settings.log,
      env: { ...process.env, ...agentMark },
      mounted: () => lowerDirectoriesBelow(places.containers, places.stages),
    }),
    tools: { ...HOST_TOOLS },
    kernel: { swapLimit: hasSwapLimit() },
    runtime: findRuntime(settings.runtime),
  };
}

/** The supervisor wants a path, people write a name. */
function findRuntime(nameOrPath: string): string {
  if (nameOrPath.startsWith('/')) return nameOrPath;
  const candidates = (process.env.PATH ?? '')
    .split(':')
    .concat('/usr/sbin', '/usr/bin')
    .map((dir) => `${dir}/${nameOrPath}`);
  return candidates.find((path) => existsSync(path)) ?? `/usr/sbin/${nameOrPath}`;
}
