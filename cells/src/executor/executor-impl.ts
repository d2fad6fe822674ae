import { mkdir } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { Duplex, Readable } from 'node:stream';
import type { ContainerListener, ExecSpec, GardenContainer, TcpAddress } from '../garden/garden.js';
import { type CellContext, makeCellContext } from './containers/cell-context.js';
import { schemeOf } from './containers/garden-spec.js';
import { executorError, readTextFile } from './containers/inside.js';
import { ManagedContainer } from './containers/managed-container.js';
import { reap } from './containers/reaper.js';
import { ResourceLedger } from './containers/resources.js';
import type { ExecutorCounters } from './counters.js';
import { networkEnvironment } from './environment.js';
import {
  type ContainedProcess,
  type ContainerEvent,
  type ContainerFate,
  type ContainerRecord,
  type ContainerUsage,
  type Executor,
  ExecutorError,
  type ExecutorErrorKind,
  type ExecutorResources,
  type Reservation,
  type RunRequest,
  type Said,
} from './executor.js';
import type { ContainerExecutorOptions } from './executor-options.js';
import { Lifetime } from './lifetime.js';
import type { LogStore } from './logs/log-store.js';
import { FileRecordStore } from './store/file-record-store.js';
import type { RecordStore } from './store/record-store.js';

/** How often reservations are looked at (spec cell §27). */
const EXPIRY_CHECK_MS = 30_000;

/** The executor: bookkeeping of containers, each of which minds itself (`containers/managed-container.ts`). */
export class ContainerExecutor implements Executor {
  readonly logs: LogStore;
  readonly volumeDrivers: readonly string[];
  readonly #containers = new Map<string, ManagedContainer>();
  readonly #listeners = new Set<(event: ContainerEvent) => void>();
  readonly #lifetime: Lifetime;
  readonly #store: RecordStore;
  readonly #cell: CellContext;
  #ledger = new ResourceLedger({ memoryMb: 0, diskMb: 0, containers: 0 });
  #rootFs = new Set<string>();
  #coresPerShare = 0;

  constructor(private readonly options: ContainerExecutorOptions) {
    this.#lifetime = new Lifetime(options.clock, options.steady);
    this.#store = options.store ?? new FileRecordStore(join(options.dataDirectory, 'containers'), options.logger);
    this.#cell = makeCellContext(options, {
      lifetime: this.#lifetime,
      emit: (event) => this.#emit(event),
      forget: (record) => {
        this.#containers.delete(record.guid);
        this.#ledger.free(record.resources);
      },
    });
    this.logs = this.#cell.logs;
    this.volumeDrivers = this.#cell.volumes.drivers;
  }

  async start(): Promise<void> {
    const { garden } = this.options;
    const found = await this.#store.load();
    // What is laid out for containers may be secret.
    for (const directory of [this.#cell.filesDirectory, this.#cell.credentialsDirectory])
      await mkdir(directory, { recursive: true, mode: 0o700 });
    await this.#cell.volumes.start();
    const inUse = new Set(found.flatMap(({ stored }) => stored.dependencies));
    await Promise.all([this.#cell.downloader.start(inUse), this.#cell.uploader.start(), this.#refreshRootFs()]);
    this.#ledger = new ResourceLedger(await this.#capacity());
    const { cpuEntitlementPerShare: percent } = this.options.config;
    this.#coresPerShare = percent > 0 ? percent / 100 : availableParallelism() / (await garden.capacity()).memoryMb;
    for (const { stored, journal } of found) {
      this.#ledger.adopt(stored.record.resources);
      this.#containers.set(stored.record.guid, new ManagedContainer(stored, journal, this.#cell));
    }
    await reap({ garden, known: new Set(this.#containers.keys()), logger: this.options.logger });
    await this.#cell.volumes.keepOnly(new Set(this.#containers.keys()));
    for (const container of [...this.#containers.values()]) container.resume();
    this.#every(EXPIRY_CHECK_MS, () => this.#expire());
    this.#every(this.options.config.containerReapInterval, () => this.#reap());
  }

  resources(): { total: ExecutorResources; available: ExecutorResources; startingContainers: number } {
    let startingContainers = 0;
    for (const { record } of this.#containers.values()) {
      if (record.state === 'reserved' || record.state === 'initializing' || record.state === 'created')
        startingContainers++;
    }
    return { total: { ...this.#ledger.total }, available: this.#ledger.available, startingContainers };
  }

  reserve({ guid, memoryMb, diskMb, rootFs, tags }: Reservation): ContainerRecord {
    this.#assertOpen();
    if (!/^[A-Za-z0-9_-]{1,64}$/.test(guid) || this.#containers.has(guid)) {
      throw new ExecutorError('guid-not-available', `container guid ${JSON.stringify(guid)} is not available`);
    }
    const known = rootFs.replace(/^preloaded\+layer:([^?]*).*$/s, 'preloaded:$1');
    if (!this.#rootFs.has(known) && !this.options.garden.imageSchemes.includes(schemeOf(rootFs)))
      throw new ExecutorError('unknown-rootfs', `this cell has no root filesystem ${JSON.stringify(rootFs)}`);
    const resources = { memoryMb, diskMb, containers: 1 };
    if (!this.#ledger.reserve(resources))
      throw new ExecutorError('insufficient-resources', 'insufficient resources available');
    const record: ContainerRecord = {
      guid,
      state: 'reserved',
      tags: { ...tags },
      resources,
      allocatedAtMs: this.#lifetime.steady.now(),
      routable: false,
      internalRoutes: [],
      metricTags: {},
    };
    const fresh = { record, marks: new Map(), dependencies: [], stopping: false, deleting: false };
    const container = new ManagedContainer(fresh, this.#store.create(guid), this.#cell);
    this.#containers.set(guid, container);
    container.reserve();
    return record;
  }

  async run(guid: string, request: RunRequest): Promise<void> {
    await this.#container(guid).run(request);
  }

  async stop(guid: string): Promise<void> {
    await this.#container(guid).stop();
  }

  async delete(guid: string): Promise<void> {
    this.#assertOpen();
    await this.#containers.get(guid)?.delete();
  }

  async update(
    guid: string,
    update: { internalRoutes?: string[]; metricTags?: Record<string, string> },
  ): Promise<void> {
    await this.#container(guid).update(update);
  }

  say(guid: string, what: Said): void {
    this.#containers.get(guid)?.say(what);
  }

  get(guid: string): ContainerRecord | undefined {
    return this.#containers.get(guid)?.record;
  }

  list(): ContainerRecord[] {
    return [...this.#containers.values()].map((container) => container.record);
  }

  subscribe(listener: (event: ContainerEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  async exec(guid: string, spec: ExecSpec): Promise<ContainedProcess> {
    const managed = this.#container(guid);
    const { record } = managed;
    if (record.state !== 'created' && record.state !== 'running')
      throw new ExecutorError('wrong-state', `container ${guid} is ${record.state}`);
    const network = record.network ? networkEnvironment(record.network) : {};
    const process = await this.#inGarden(guid, 'exec-failed', (container) =>
      container.exec({ ...spec, env: { ...network, ...spec.env } }),
    );
    return Object.assign(process, { fate: () => this.#fate(guid, managed) });
  }

  async #fate(guid: string, { fate }: ManagedContainer): Promise<ContainerFate> {
    if (fate.kind !== 'lives') return fate;
    // Those in it learn of its end before its recipe does.
    const container = this.options.garden.lookup(guid);
    const state = container
      ? await container.status().then(
          ({ state }) => state,
          () => 'active',
        )
      : 'gone';
    return state === 'active' ? fate : { kind: 'ended', why: 'its container was killed' };
  }

  async connect(guid: string, address: TcpAddress): Promise<Duplex> {
    return this.#inGarden(guid, 'connect-failed', async (container) => {
      if (!container.connect) throw new ExecutorError('connect-failed', 'containers have no network here');
      return container.connect(address);
    });
  }

  async listen(
    guid: string,
    address: TcpAddress,
    accepted: (connection: Duplex, origin: TcpAddress) => void,
  ): Promise<ContainerListener> {
    return this.#inGarden(guid, 'connect-failed', async (container) => {
      if (!container.listen) throw new ExecutorError('connect-failed', 'containers have no network here');
      return container.listen(address, accepted);
    });
  }

  async streamIn(guid: string, path: string, user: string, tar: Readable): Promise<void> {
    await this.#inGarden(guid, 'stream-failed', (container) => container.streamIn(path, user, tar));
  }

  async streamOut(guid: string, path: string, user: string): Promise<Readable> {
    return this.#inGarden(guid, 'stream-failed', (container) => container.streamOut(path, user));
  }

  async readFile(guid: string, path: string, maxBytes: number): Promise<string> {
    const tar = await this.streamOut(guid, path, 'root');
    return readTextFile(tar, { path, maxBytes });
  }

  async metrics(guid: string): Promise<ContainerUsage> {
    const { logUsage } = this.#container(guid);
    return this.#inGarden(guid, 'stream-failed', async (container) => {
      const usage = await container.metrics();
      const cpuEntitlementNs = container.spec.limits.cpuShares * this.#coresPerShare * usage.ageMs * 1_000_000;
      return { ...usage, ...logUsage, cpuEntitlementNs };
    });
  }

  counts(): Readonly<ExecutorCounters> {
    return this.#cell.counters;
  }

  async close(): Promise<void> {
    await this.#lifetime.end();
    await this.#cell.downloader.close();
    await this.#store.close();
    this.#listeners.clear();
  }

  #assertOpen(): void {
    if (this.#lifetime.over) throw new ExecutorError('closed', 'the executor is closed');
  }

  #container(guid: string): ManagedContainer {
    this.#assertOpen();
    const container = this.#containers.get(guid);
    if (!container) throw new ExecutorError('not-found', `container ${guid} not found`);
    return container;
  }

  async #inGarden<T>(
    guid: string,
    otherwise: ExecutorErrorKind,
    work: (container: GardenContainer) => Promise<T>,
  ): Promise<T> {
    const { record } = this.#container(guid);
    const container = this.options.garden.lookup(guid);
    if (!container) throw new ExecutorError('wrong-state', `container ${guid} is ${record.state} and doesn't exist`);
    try {
      return await work(container);
    } catch (error) {
      throw executorError(error, otherwise);
    }
  }

  async #capacity(): Promise<ExecutorResources> {
    const { config, garden } = this.options;
    const machine = await garden.capacity();
    const total = {
      memoryMb: config.memoryMb === 'auto' ? machine.memoryMb : config.memoryMb,
      diskMb: config.diskMb === 'auto' ? machine.diskMb - config.autoDiskCapacityOverheadMb : config.diskMb,
      containers:
        config.maxContainers === 'auto' ? machine.containers : Math.min(config.maxContainers, machine.containers),
    };
    for (const [name, value] of Object.entries(total)) {
      if (value <= 0) throw new Error(`this machine has nothing left for containers: ${name} is ${value}`);
    }
    return total;
  }

  #emit(event: ContainerEvent): void {
    for (const listener of this.#listeners) {
      try {
        listener(event);
      } catch (error) {
        this.options.logger.error({ err: error, guid: event.container.guid }, 'a listener for container events threw');
      }
    }
  }

  #every(ms: number, work: () => Promise<void>): void {
    this.#lifetime.timer(ms, () => {
      const done = this.#lifetime
        .track(work())
        .catch((error) => this.options.logger.error({ err: error }, 'upkeep of containers failed'));
      void done.then(() => this.#every(ms, work));
    });
  }

  async #expire(): Promise<void> {
    const before = this.#lifetime.steady.now() - this.options.config.reservedExpirationTime;
    for (const container of this.#containers.values()) container.expireBefore(before);
    await this.#refreshRootFs();
  }

  async #reap(): Promise<void> {
    // Taken first, so that a container that is made meanwhile is not mistaken for a leftover.
    const before = new Map(this.#containers);
    for (const container of before.values()) {
      if (!this.options.garden.lookup(container.record.guid)) container.missing();
      // A removal that failed is tried again; whoever asked for it has been told.
      if (container.leaving) void container.delete().catch(() => {});
    }
    const { garden, logger } = this.options;
    await reap({ garden, known: new Set([...before.keys(), ...this.#containers.keys()]), logger });
  }

  async #refreshRootFs(): Promise<void> {
    this.#rootFs = new Set((await this.options.garden.preloadedRootFs()).map((name) => `preloaded:${name}`));
  }
}
