import { ImageStore } from '../../images/image-store.js';
import { agentMark } from '../../kernel/agent-mark.js';
import { lowerDirectoriesBelow } from '../../kernel/mounts.js';
import type { HostTools, KernelFeatures } from './bundle.js';
import { hasSwapLimit } from './cgroups/cgroup.js';
import { DiskTemplates } from './disk/templates.js';
import { PortPool } from './network/ports.js';
import { CellNetwork } from './network.js';
import type { OciSettings } from './options.js';
import { type CellPlaces, cellPlaces } from './places.js';
import { Runtimes } from './runtime/runtimes.js';

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
  runtimes: Runtimes;
  templates: DiskTemplates;
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
    runtimes: new Runtimes(settings.runtime),
    templates: new DiskTemplates(places.diskTemplates),
  };
}
