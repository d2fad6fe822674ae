import { createHash } from 'node:crypto';
import { join, resolve } from 'node:path';

/** Where a container's things are. Every name follows from cell, its folder and handle, so that a crash leaves nothing unfindable. */
export interface ContainerPlaces {
  handle: string;
  dir: string;
  /** Exists from the moment that the container is whole. */
  record: string;
  /** Ports and rules that came later than the container. */
  passage: string;
  /** What `record` is renamed to when destruction begins. */
  dyingRecord: string;
  /** Bundle of the OCI runtime. */
  configFile: string;
  initPidFile: string;
  runtimeLog: string;
  hosts: string;
  resolvConf: string;
  /** Sparse file with an ext4 filesystem, when there is a disk limit. */
  image: string;
  /** Where the image is mounted, or a plain directory. Holds `upper` and `work`. */
  disk: string;
  /** What the runtime gets to see: it works as root of the container, who may not look into the data folder. */
  stage: string;
  /** The overlay. */
  rootFs: string;
  /** The user namespace, until the container is whole and holds it itself. */
  userNamespace: string;
  /** Layers with the owners that the container knows, while the overlay is being mounted. */
  layers: string;
  /** A mount of the container with the owners that it knows. */
  staged(index: number): string;
  processes: string;
  /** How processes ended, as their supervisors tell it. */
  ends: string;
  /** Process specifications and pid files of people's processes. */
  execs: string;
  /** Leads to the network namespace, which is named after a slot of the cell's network. */
  netns: string;
  /** Path below each cgroup hierarchy. */
  cgroup: string;
  /** State of the OCI runtime. */
  runtimeState: string;
}

/** Where a cell's things are. */
export interface CellPlaces {
  cellId: string;
  dataDir: string;
  containers: string;
  /** The stages of all containers. */
  stages: string;
  /** How processes of all containers ended: in memory, as that has room when the disk is full. */
  ends: string;
  /** Layers of images that containers share. */
  images: string;
  runtimeRoot: string;
  /** Formatted disk images to copy. */
  diskTemplates: string;
  /** Who has which slot of the network. */
  network: string;
  /** Which slots have user ids. */
  networkIds: string;
  /** What names of network namespaces begin with; a slot's number follows. Cell ids contain no dot, so it fits one cell alone. */
  networkPrefix: string;
  /** The same of interfaces, whose names are at most 15 characters long. */
  interfacePrefix: string;
  firewallTable: string;
  cgroup: string;
  container(handle: string): ContainerPlaces;
}

/** Stages of the containers of all cells: a place that every user may pass through, as the ids of containers have to. */
const STAGES_DIR = '/run/rivera/stages';
/** Where supervisors of the containers of all cells tell how processes ended. */
const ENDS_DIR = '/run/rivera/ends';
/** Network namespaces made by `ip netns`. */
export const NETNS_DIR = '/run/netns';

/**
 * Places of a cell. What all of the machine shares, such as names of networks and control groups, is marked with the folder as well:
 * two installations on one machine may both have a "cell-1", and each takes for leftovers whatever has its names.
 */
export function cellPlaces(dataDir: string, cellId: string): CellPlaces {
  const mark = hash(resolve(dataDir), 8);
  const scope = `${cellId}-${mark}`;
  const containers = join(dataDir, 'containers');
  const runtimeRoot = join(dataDir, 'runtime');
  const cgroup = `/rivera/${scope}`;
  const stages = join(STAGES_DIR, scope);
  const ends = join(ENDS_DIR, scope);
  return {
    cellId,
    dataDir,
    containers,
    stages,
    ends,
    images: join(dataDir, 'images'),
    runtimeRoot,
    diskTemplates: join(dataDir, 'disk-templates'),
    network: join(dataDir, 'network'),
    networkIds: join(dataDir, 'network-ids'),
    networkPrefix: `rivera.${scope}.`,
    interfacePrefix: `rv${hash(scope, 6)}.`,
    firewallTable: `rivera.${scope}`,
    cgroup,
    container(handle) {
      const dir = join(containers, handle);
      const stage = join(stages, handle);
      return {
        handle,
        dir,
        record: join(dir, 'container.json'),
        passage: join(dir, 'passage.json'),
        dyingRecord: join(dir, 'dying.json'),
        configFile: join(dir, 'config.json'),
        initPidFile: join(dir, 'init.pid'),
        runtimeLog: join(dir, 'runtime.log'),
        // With what the container writes, so that its disk limit holds for them too.
        hosts: join(dir, 'disk', 'hosts'),
        resolvConf: join(dir, 'disk', 'resolv.conf'),
        image: join(dir, 'disk.img'),
        disk: join(dir, 'disk'),
        stage,
        rootFs: join(stage, 'rootfs'),
        userNamespace: join(stage, 'user'),
        layers: join(stage, 'layers'),
        staged: (index) => join(stage, 'mounts', String(index)),
        processes: join(dir, 'processes'),
        ends: join(ends, handle),
        execs: join(dir, 'execs'),
        netns: join(dir, 'netns'),
        cgroup: `${cgroup}/${handle}`,
        runtimeState: join(runtimeRoot, handle),
      };
    },
  };
}

function hash(text: string, length: number): string {
  return createHash('sha256').update(text).digest('hex').slice(0, length);
}
