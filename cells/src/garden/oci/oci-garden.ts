import { access, constants, mkdir, readdir, statfs } from 'node:fs/promises';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import { failpoint } from '@rivera/kit/failpoint';
import pLimit from 'p-limit';
import { runToEnd } from '../../kernel/command.js';
import { isMissing, renameDurably } from '../../kernel/durable.js';
import { restLauncher } from '../../kernel/launcher.js';
import { removeStage } from '../../kernel/mounts.js';
import { askMany } from '../bulk.js';
import {
  type ContainerStatus,
  type Garden,
  type GardenCapacity,
  type GardenContainer,
  GardenError,
  type GardenMetrics,
  type GardenSpec,
  type ImageFetching,
} from '../garden.js';
import { hasProperties } from '../properties.js';
import { checkSpec, makeContainer } from './birth.js';
import { assembleCell, type Cell } from './cell.js';
import { removeEmptyGroups } from './cgroups/cgroup.js';
import { OciContainer } from './container.js';
import { dismantle } from './death.js';
import { prepareNamespaceFolder } from './network/namespaces.js';
import { CONCURRENT_CHANGES, type OciGardenOptions, settle } from './options.js';
import { endOrphans } from './orphans.js';
import type { ContainerPlaces } from './places.js';
import { type ContainerRecord, readRecord } from './record.js';
import { type RootLayers, rootLayers } from './root-layers.js';
import { prepareSshTools } from './ssh-tools.js';
import { tracesOf } from './traces.js';

/** How long after a destruction that failed the next one of an unused container is tried. */
const UNUSED_RETRY_MS = 30_000;

/** Real containers: an OCI runtime, overlays, disk images, control groups and networks of their own (see README). */
export class OciGarden implements Garden {
  readonly backend = 'oci';
  readonly imageSchemes = ['docker'];
  private readonly cell: Cell;
  private readonly containers = new Map<string, OciContainer>();
  private readonly making = new Set<string>();
  /** Handles of which something is left that could not be taken away; `destroy` tries again. */
  private readonly remains = new Set<string>();
  private readonly dying = new Map<string, Promise<void>>();
  private readonly limit = pLimit(CONCURRENT_CHANGES);
  private readonly changes = new Set<Promise<unknown>>();
  private readonly closing = new AbortController();

  constructor(options: OciGardenOptions) {
    this.cell = assembleCell(settle(options));
  }

  async start(): Promise<void> {
    const { places, network, settings } = this.cell;
    await Promise.all(
      [places.containers, places.runtimeRoot].map((dir) => mkdir(dir, { recursive: true, mode: 0o700 })),
    );
    await endOrphans(settings.clock);
    await prepareNamespaceFolder();
    await this.cell.templates.prepare();
    const runtime = await this.cell.runtimes.choose();
    this.cell.tools.ssh = await prepareSshTools(join(places.dataDir, 'tools'), settings.log);
    await network.prepare();
    // Everybody may pass, nobody may look: the ids of containers have to get to their root filesystems. Not before this cell may start:
    // a refused one leaves nothing.
    await mkdir(places.stages, { recursive: true, mode: 0o711 });
    await mkdir(places.ends, { recursive: true, mode: 0o711 });
    for (const handle of await readdir(places.containers)) {
      const own = places.container(handle);
      const record = await readRecord(own.record);
      if (!record) continue;
      const container = this.container(own, record);
      await container.adopt();
      this.containers.set(handle, container);
    }
    await network.protect([...this.containers.values()].map((container) => container.passage()));
    await this.cell.ports.keepOnly(new Map(this.list().map((container) => [container.handle, container.info().ports])));
    const traces = await tracesOf(places);
    const leftovers = new Set(
      traces.map((trace) => trace.handle).filter((handle) => handle !== '' && !this.containers.has(handle)),
    );
    await Promise.all(
      [...leftovers].map((handle) =>
        this.change(() => this.clearAway(handle)).catch((error: unknown) => {
          settings.log.error({ error, handle }, 'leftovers of a container could not be cleared away');
        }),
      ),
    );
    // Now that nothing of an earlier agent runs, mounts or unmounts any more.
    await this.cell.images.start();
    settings.log.info({ runtime, containers: this.containers.size, cleared: leftovers.size }, 'garden started');
  }

  async ping(): Promise<void> {
    this.assertOpen();
    const { places, runtimes, settings } = this.cell;
    const { path } = runtimes.current;
    await access(places.containers, constants.W_OK).catch((cause: unknown) => {
      throw new GardenError('unavailable', `containers can't be kept in ${places.containers}: ${messageOf(cause)}`, {
        cause,
      });
    });
    const args = ['--root', places.runtimeRoot, 'list', '-q'];
    const { code, stderr } = await runToEnd(path, args, { timeoutMs: settings.runtimeTimeoutMs });
    if (code !== 0)
      throw new GardenError('unavailable', `the runtime ${path} fails: ${stderr.trim().slice(-500) || `exit ${code}`}`);
  }

  async capacity(): Promise<GardenCapacity> {
    const { capacity, dataDir, subnet } = this.cell.settings;
    const disk = await statfs(dataDir);
    const bits = 32 - Number(subnet.split('/')[1]);
    return {
      memoryMb: capacity.memoryMb ?? Math.floor(totalmem() / 1024 / 1024),
      diskMb: capacity.diskMb ?? Math.floor((disk.blocks * disk.bsize) / 1024 / 1024),
      // Network, gateway and broadcast addresses are no container's.
      containers: capacity.containers ?? Math.min(250, 2 ** bits - 3),
    };
  }

  async preloadedRootFs(): Promise<string[]> {
    const entries = await readdir(this.cell.settings.rootFsDir, { withFileTypes: true }).catch((error: unknown) => {
      if (isMissing(error)) return [];
      throw error;
    });
    return entries
      .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))
      .map((entry) => entry.name)
      .sort();
  }

  async create(spec: GardenSpec, fetching: ImageFetching = {}): Promise<GardenContainer> {
    this.assertOpen();
    const { handle } = spec;
    if (this.containers.has(handle) || this.making.has(handle) || this.remains.has(handle) || this.dying.has(handle)) {
      throw new GardenError('handle-in-use', `Handle '${handle}' already in use`);
    }
    this.making.add(handle);
    try {
      await checkSpec(this.cell, spec);
      const root = await this.root(spec, fetching);
      return await this.change(() => this.make(spec, root)).finally(() => root.release());
    } finally {
      this.making.delete(handle);
    }
  }

  list(properties: Readonly<Record<string, string>> = {}): GardenContainer[] {
    return [...this.containers.values()].filter(({ spec }) => hasProperties(spec, properties));
  }

  bulkStatus(handles: readonly string[]): Promise<Map<string, ContainerStatus | GardenError>> {
    return askMany(
      handles,
      (handle) => this.lookup(handle),
      (container) => container.status(),
    );
  }

  bulkMetrics(handles: readonly string[]): Promise<Map<string, GardenMetrics | GardenError>> {
    return askMany(
      handles,
      (handle) => this.lookup(handle),
      (container) => container.metrics(),
    );
  }

  lookup(handle: string): GardenContainer | undefined {
    return this.containers.get(handle);
  }

  destroy(handle: string): Promise<void> {
    const dying = this.dying.get(handle);
    if (dying) return dying;
    if (this.closing.signal.aborted) return Promise.reject(new GardenError('closed', 'the garden was closed'));
    const container = this.containers.get(handle);
    if (!container && !this.remains.has(handle))
      return Promise.reject(new GardenError('not-found', `unknown handle: ${handle}`));
    const destruction = this.change(() => (container ? this.unmake(container) : this.clearAway(handle))).finally(() =>
      this.dying.delete(handle),
    );
    const room = () => this.cell.images.collect();
    this.tracked(destruction.then(room, room));
    this.dying.set(handle, destruction);
    return destruction;
  }

  async close(): Promise<void> {
    this.closing.abort(new GardenError('closed', 'the garden was closed'));
    await this.cell.images.close();
    await Promise.allSettled(this.changes);
    await Promise.all([...this.containers.values()].map((container) => container.close()));
    await this.cell.network.close();
    await restLauncher();
  }

  /** Takes away what the cell has beyond its containers, once there are none: bridge, firewall rules, empty control groups. */
  async dissolve(): Promise<void> {
    await this.cell.network.dissolve();
    await removeEmptyGroups(this.cell.places.cgroup);
    for (const dir of [this.cell.places.stages, this.cell.places.ends]) await removeStage(dir);
  }

  /** Beside the changes: a slow registry must not keep others from being made or destroyed. */
  private root(spec: GardenSpec, fetching: ImageFetching): Promise<RootLayers> {
    const closing = this.closing.signal;
    const signal = fetching.signal ? AbortSignal.any([fetching.signal, closing]) : closing;
    return this.tracked(rootLayers(this.cell, spec, { ...fetching, signal }));
  }

  private container(places: ContainerPlaces, record: ContainerRecord): OciContainer {
    return new OciContainer(this.cell, places, record, () => this.unused(record.spec.handle));
  }

  /** Nobody has used a container for its grace time. */
  private unused(handle: string): void {
    const { log, clock } = this.cell.settings;
    log.info({ handle }, 'destroying a container that nobody has used for its grace time');
    this.destroy(handle).catch((error: unknown) => {
      if (error instanceof GardenError && (error.kind === 'not-found' || error.kind === 'closed')) return;
      log.error({ error, handle }, 'a container that nobody uses could not be destroyed');
      clock.setTimer(UNUSED_RETRY_MS, () => this.unused(handle), { unref: true });
    });
  }

  private async make(spec: GardenSpec, root: RootLayers): Promise<OciContainer> {
    const places = this.cell.places.container(spec.handle);
    try {
      const record = await makeContainer(this.cell, { spec, root, places });
      const container = this.container(places, record);
      this.containers.set(spec.handle, container);
      return container;
    } catch (cause) {
      await this.clearAway(spec.handle).catch((error: unknown) => {
        this.cell.settings.log.error({ error, handle: spec.handle }, 'a half-made container could not be cleared away');
      });
      if (cause instanceof GardenError) throw cause;
      throw new GardenError('create-failed', messageOf(cause), { cause });
    }
  }

  private async unmake(container: OciContainer): Promise<void> {
    const { places, record, handle } = container;
    await container.refuseWork();
    const supervisors = await container.supervisors();
    // From here on it isn't whole: an agent that starts after a crash goes on with the destruction.
    await renameDurably(places.record, places.dyingRecord).catch((cause: unknown) => {
      container.acceptWork();
      throw new GardenError('destroy-failed', `container '${handle}' can't be destroyed now: ${messageOf(cause)}`, {
        cause,
      });
    });
    failpoint('cell.container-dying');
    this.containers.delete(handle);
    await this.finish(handle, () =>
      dismantle(this.cell, {
        places,
        record,
        ports: container.info().ports,
        supervisors,
        settleProcesses: () => container.settle(),
      }),
    );
    await container.close();
  }

  /** Takes away what is left of a container that isn't whole. */
  private async clearAway(handle: string): Promise<void> {
    await this.finish(handle, () =>
      dismantle(this.cell, { places: this.cell.places.container(handle), supervisors: [] }),
    );
  }

  private async finish(handle: string, destruction: () => Promise<void>): Promise<void> {
    this.remains.add(handle);
    try {
      await destruction();
      this.remains.delete(handle);
    } catch (cause) {
      throw new GardenError('destroy-failed', `container '${handle}' could not be destroyed: ${messageOf(cause)}`, {
        cause,
      });
    }
  }

  /** Does one of the few changes that may happen at a time. */
  private change<T>(work: () => Promise<T>): Promise<T> {
    const change = this.limit(() => {
      this.assertOpen();
      return work();
    });
    return this.tracked(change);
  }

  /** What `close` waits for. */
  private tracked<T>(work: Promise<T>): Promise<T> {
    this.changes.add(work);
    const done = () => this.changes.delete(work);
    work.then(done, done);
    return work;
  }

  private assertOpen(): void {
    if (this.closing.signal.aborted) throw new GardenError('closed', 'the garden was closed');
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
