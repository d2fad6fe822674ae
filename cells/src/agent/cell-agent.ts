import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import type { CellPresence } from '@rivera/gen/rivera/bbs/v1/cell';
import { RepServiceService } from '@rivera/gen/rivera/rep/v1/rep_service';
import { type Clock, steadyClock, systemClock } from '@rivera/kit/clock';
import { GrpcHost } from '@rivera/kit/grpc/host';
import type { Logger } from '@rivera/kit/log';
import { NameLock } from '@rivera/kit/name-lock';
import { type Identity, loadIdentity } from '@rivera/kit/tls/identity';
import type { Executor } from '../executor/executor.js';
import type { Garden } from '../garden/garden.js';
import { cellPlaces } from '../garden/oci/places.js';
import { assertMachineReady } from '../machine/machine.js';
import { Bids } from '../rep/bids.js';
import { EpochFile } from '../rep/epoch-file.js';
import { EvacuationNews } from '../rep/evacuation-news.js';
import { MetricsSampler } from '../rep/metrics-sampler.js';
import { Reconciler } from '../rep/reconciler.js';
import { REP_ACCESS, repService } from '../rep/rep-service.js';
import { CellSession } from '../rep/session.js';
import { CellAdmin } from './cell-admin.js';
import type { CellConfig } from './config.js';
import { untilDrained } from './drain.js';
import { openGardenPort } from './garden-port.js';
import { makeParts, openIssuer, openTransferTls, rootFsDirOf, type SimulatedMachine } from './parts.js';
import { RuntimeCheck } from './runtime-check.js';

export interface CellAgentDeps {
  logger: Logger;
  /** Default: the machine's own. */
  clock?: Clock;
  /** Default: read from the files that the configuration names. */
  identity?: Identity;
  /** For backend `sim`: the machine that an earlier agent ran on; default a new one. */
  simulated?: SimulatedMachine;
}

/** The parts that run while the agent does. */
interface Running {
  executor: Executor;
  reconciler: Reconciler;
  news: EvacuationNews;
  session: CellSession;
  bids: Bids;
  presence: CellPresence;
}

/**
 * One cell: garden, executor, rep services, session and bids, started in this order and stopped in reverse.
 * Containers outlive it unless `close` is told to stop them.
 */
export class CellAgent {
  readonly #config: CellConfig;
  readonly #log: Logger;
  /** For what people read, and certificates. */
  readonly #clock: Clock;
  /** For whatever waits: the machine's clock may be set at any moment. */
  readonly #steady: Clock;
  readonly #identity: Identity | undefined;
  readonly #simulated: SimulatedMachine | undefined;
  /** How to undo what was started, in the order of starting. */
  readonly #undo: (() => Promise<void> | void)[] = [];
  #running: Running | undefined;
  #admin: CellAdmin | undefined;
  #gardenAddress: string | undefined;
  #evacuating = false;
  /** Nothing is left that would need the bridge. */
  #dissolve = false;
  #closed: Promise<void> | undefined;

  constructor(config: CellConfig, deps: CellAgentDeps) {
    this.#config = config;
    this.#log = deps.logger.child({ cellId: config.cellId });
    this.#clock = deps.clock ?? systemClock;
    this.#steady = deps.clock ?? steadyClock;
    this.#identity = deps.identity;
    this.#simulated = deps.simulated;
  }

  /** As announced; empty before the start. */
  get repAddress(): string {
    return this.#running?.presence.repAddress ?? '';
  }

  /** host:port of metrics, health and state; undefined: there is none. */
  get adminAddress(): string | undefined {
    return this.#admin?.address;
  }

  /** Where the garden is served for others; undefined: nowhere. */
  get gardenAddress(): string | undefined {
    return this.#gardenAddress;
  }

  /** Whether BBS and auctioneer know of this cell now. */
  get connected(): boolean {
    if (this.#running === undefined) return false;
    const { session, bids } = this.#running;
    return session.connected && bids.connected;
  }

  /** @throws Error that says what is missing; nothing is left running then. */
  async start(): Promise<void> {
    try {
      await this.#start();
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  /** Takes no new work from now on; the BBS has what runs here replaced elsewhere and stopped. */
  evacuate(): void {
    if (this.#evacuating) return;
    this.#evacuating = true;
    this.#running?.bids.evacuate();
    this.#running?.session.evacuate();
    this.#running?.news.begin();
  }

  /**
   * Ends the agent. `drains` has everything replaced elsewhere first; `stopContainers` ends what is left and waits for the BBS to
   * know. Both default to what is configured.
   */
  close(options: { drains?: boolean; stopContainers?: boolean } = {}): Promise<void> {
    const { drains = this.#config.drainOnExit, stopContainers = this.#config.stopContainersOnExit } = options;
    this.#closed ??= this.#close({ drains, stopContainers });
    return this.#closed;
  }

  async #start(): Promise<void> {
    const config = this.#config;
    const logger = this.#log;
    const clock = this.#clock;
    const steady = this.#steady;
    await this.#takeDataDir();
    const identity = this.#identity ?? (await loadIdentity(config.tls));
    if (identity.role !== 'cell' || identity.name !== config.cellId) {
      throw new Error(
        `the certificate is for ${identity.role} "${identity.name}", but this is cell "${config.cellId}"; issue one of role cell with this name`,
      );
    }
    if (config.backend === 'oci') await this.#requireMachine();
    const epochs = await EpochFile.open(join(config.dataDir, 'auction-epoch'));
    const admin = new CellAdmin(config, logger);
    this.#undo.push(() => admin.close());
    await admin.listen();
    this.#admin = admin;
    const { measured } = admin;
    const issuer = await openIssuer(config, identity.caPem);
    const transferTls = await openTransferTls(config);
    const { garden, executor } = makeParts(config, {
      logger,
      clock,
      steady,
      issuer,
      transferTls,
      simulated: this.#simulated,
      measured,
    });
    this.#undo.push(async () => {
      if (this.#dissolve) await garden.dissolve();
      await garden.close();
    });
    await garden.start();
    this.#undo.push(() => executor.close());
    await executor.start();

    const check = this.#runtimeCheck(garden, executor);
    const broken = (): string | undefined => check?.failure;
    const metrics = new MetricsSampler({ executor, clock, logger });
    const reconciler = new Reconciler({ executor, clock: steady, logger });
    const presence = await this.#presence(garden, executor);
    const host = new GrpcHost({ identity, logger, observers: admin.observers });
    const rep = repService({ executor, presence, metrics, evacuating: () => this.#evacuating, broken });
    host.add(RepServiceService, rep, REP_ACCESS);
    const { port } = await host.listen(config.listen);
    this.#undo.push(() => host.close());
    const gardenPort = await openGardenPort(config.garden.listen, {
      garden,
      cellId: config.cellId,
      identity,
      logger,
      admin,
    });
    this.#undo.push(() => gardenPort?.close());
    this.#gardenAddress = gardenPort?.address;
    presence.repAddress = config.advertise || `${config.hostAddress}:${port}`;
    metrics.start();
    this.#undo.push(() => metrics.close());
    reconciler.start();
    this.#undo.push(() => reconciler.close());

    const stream = { identity, clock: steady, logger, random: Math.random };
    const session = new CellSession({
      ...stream,
      servers: config.servers,
      presence,
      incarnation: randomUUID(),
      reconciler,
      onEvacuate: () => this.evacuate(),
    });
    const bids = new Bids({
      ...stream,
      servers: config.auctioneers.length > 0 ? config.auctioneers : config.servers,
      profile: { presence, cellIndex: config.cellIndex },
      executor,
      epochs,
      newGuid: randomUUID,
      broken,
    });
    const news = new EvacuationNews(executor);
    this.#undo.push(() => news.close());
    this.#running = { executor, reconciler, news, session, bids, presence };
    admin.show({ executor, session, bids, presence, evacuating: () => this.#evacuating, check, metrics });
    session.start();
    this.#undo.push(() => session.close());
    bids.start();
    this.#undo.push(() => bids.close());
    if (presence.rootFsProviders[0]?.properties.length === 0) this.#warnOfNoRootFs();
    logger.info({ address: presence.repAddress, capacity: presence.capacity }, 'cell is up');
  }

  /** Keeps two agents off one data folder. */
  async #takeDataDir(): Promise<void> {
    await mkdir(this.#config.dataDir, { recursive: true, mode: 0o700 });
    const folder = await realpath(this.#config.dataDir);
    const lock = await NameLock.take('cell', folder);
    if (!lock) throw new Error(`another cell agent is using the data folder ${folder}`);
    this.#undo.push(() => lock.release());
  }

  /** A full disk keeps nobody from what runs here already: its end is what makes room. */
  async #requireMachine(): Promise<void> {
    const { dataDir, cellId, runtime, userNamespaces } = this.#config;
    const resumes = existsSync(cellPlaces(dataDir, cellId).containers);
    const missing = await assertMachineReady({ dataDir, runtime, userNamespaces: userNamespaces.enabled, resumes });
    if (missing.length === 0) return;
    const found = Object.fromEntries(missing.map((each) => [each.name, each.found]));
    this.#log.warn(found, 'there is little room on the disk: new work may fail until some is freed');
  }

  /** Looks whether containers can be made, from now on. */
  #runtimeCheck(garden: Garden, executor: Executor): RuntimeCheck | undefined {
    const { backend, runtimeCheck } = this.#config;
    if (backend !== 'oci' || !runtimeCheck.enabled) return undefined;
    const { interval: intervalMs, timeout: timeoutMs, command } = runtimeCheck;
    // The last one is for work: a check that takes its address would make it fail.
    const full = () => executor.resources().available.containers <= 1;
    const how = { intervalMs, timeoutMs, command, full };
    const check = new RuntimeCheck({ garden, clock: this.#steady, log: this.#log, ...how });
    const unsubscribe = executor.subscribe(({ container: { result } }) => {
      if (result?.retryable) check.suspect();
    });
    check.start();
    this.#undo.push(async () => {
      unsubscribe();
      await check.close();
    });
    return check;
  }

  /** A cell that can run little looks like any other until work waits for ever; so it says so. */
  #warnOfNoRootFs(): void {
    const rootFsDir = rootFsDirOf(this.#config);
    this.#log.warn(
      { rootFsDir },
      `there is no root filesystem in ${rootFsDir}, so only work with an image of a registry can be placed here; build one (rivera rootfs build busybox --dir ${rootFsDir}) and start this cell again`,
    );
  }

  async #presence(garden: Garden, executor: Executor): Promise<CellPresence> {
    const { cellId, zone, placementTags, optionalPlacementTags, hostAddress } = this.#config;
    const { memoryMb, diskMb, containers } = executor.resources().total;
    const preloaded = await garden.preloadedRootFs();
    return {
      cellId,
      repAddress: '',
      zone,
      capacity: { memoryMb, diskMb, containers },
      rootFsProviders: [
        { name: 'preloaded', properties: preloaded },
        { name: 'preloaded+layer', properties: preloaded },
        ...garden.imageSchemes.map((name) => ({ name, properties: [] })),
      ],
      placementTags,
      optionalPlacementTags,
      volumeDrivers: [...executor.volumeDrivers],
      annotations: {},
      hostAddress,
    };
  }

  async #close({ drains, stopContainers }: { drains: boolean; stopContainers: boolean }): Promise<void> {
    this.#admin?.closes();
    const running = this.#running;
    let emptied = drains && running !== undefined && (await this.#drain(running));
    if (!emptied && stopContainers && running !== undefined) emptied = await this.#stopContainers(running);
    if (emptied) this.#dissolve = true;
    let failure: unknown;
    for (let undo = this.#undo.pop(); undo !== undefined; undo = this.#undo.pop()) {
      try {
        await undo();
      } catch (error) {
        failure ??= error;
        this.#log.error({ err: error }, 'a part of the cell did not end well');
      }
    }
    if (failure !== undefined) throw failure;
    this.#log.info('cell is down');
  }

  /** The servers replace what runs here, and have it stopped as the replacements run. */
  async #drain({ reconciler, news }: Running): Promise<boolean> {
    this.evacuate();
    const timeoutMs = this.#config.drainTimeout;
    const drained = await untilDrained({ reconciler, clock: this.#steady, log: this.#log, timeoutMs });
    if (!drained) news.timedOut();
    return drained;
  }

  /** No new work; every container ends; the BBS acknowledges each end; the containers go. Bounded in time. @returns whether all went */
  async #stopContainers({ reconciler }: Running): Promise<boolean> {
    this.evacuate();
    const waiting = new AbortController();
    const late = this.#steady.sleep(this.#config.stopTimeout, waiting.signal).then(
      () => 'late' as const,
      () => 'done' as const,
    );
    reconciler.stopAll();
    const outcome = await Promise.race([reconciler.empty(), late]);
    waiting.abort();
    if (outcome === 'late') {
      this.#log.warn({ left: reconciler.size }, 'containers are left; the next start of this cell goes on with them');
    }
    return outcome !== 'late';
  }
}
