import { join } from 'node:path';
import { failpoint } from '@rivera/kit/failpoint';
import { type GardenContainer, GardenError } from '../../garden/garden.js';
import { count } from '../counters.js';
import { CredentialFiles } from '../credentials/credential-files.js';
import {
  type ContainerFate,
  type ContainerRecord,
  ExecutorError,
  type RunRequest,
  type RunResult,
  type Said,
} from '../executor.js';
import { ContainerLog } from '../logs/container-log.js';
import { JournalMemory } from '../steps/step-memory.js';
import type { ContainerJournal, JournalEntry, StoredContainer } from '../store/record-store.js';
import type { CellContext } from './cell-context.js';
import { CreateError, createContainer, StoppedError } from './create-pipeline.js';
import { holdDependencies } from './dependencies.js';
import { removeMountedFiles } from './mounted-files.js';
import { runRecipe } from './run-pipeline.js';
import { type Transition, transition } from './transitions.js';

/** Beyond the graceful interval, how long a removal waits for the recipe to end before it destroys the container under it. */
const DELETE_PATIENCE_MS = 30_000;

/**
 * One container, from reservation to removal. Whatever happens to it goes through its journal first and is told afterwards; the
 * recipe runs beside, in a pipeline that a later executor can take up where it was left.
 */
export class ManagedContainer {
  /** As decided; the journal may still be on its way to the disk. */
  #record: ContainerRecord;
  /** As kept, and as told to others. */
  #kept: ContainerRecord;
  #request: RunRequest | undefined;
  readonly #memory: JournalMemory;
  readonly #stopController = new AbortController();
  #stopping: Promise<void> | undefined;
  #deleting: Promise<void> | undefined;
  #pipeline: Promise<void> = Promise.resolve();
  #log: ContainerLog | undefined;
  #releaseLog = (): void => {};
  #releaseDependencies = (): void => {};
  #passedReadiness = false;
  /** Set when it was told to stop, in this life or an earlier one. */
  #toldToStop: boolean;
  #toldToGo: boolean;

  constructor(
    stored: StoredContainer,
    private readonly journal: ContainerJournal,
    private readonly cell: CellContext,
  ) {
    this.#record = stored.record;
    this.#kept = stored.record;
    this.#request = stored.request;
    this.#toldToStop = stored.stopping;
    this.#toldToGo = stored.deleting;
    this.#memory = new JournalMemory(stored.marks, journal);
    if (this.#toldToStop) this.#stopController.abort();
    if (stored.request) this.#openLog(stored.request);
    this.#releaseDependencies = holdDependencies(stored.dependencies, cell.downloader);
  }

  get record(): ContainerRecord {
    return this.#kept;
  }

  get logUsage(): { logBytes: number; logBytesPerSecondLimit: number } {
    const logBytesPerSecondLimit = this.#request?.container.logRateLimit?.bytesPerSecond ?? -1;
    return { logBytes: this.#log?.bytes ?? 0, logBytesPerSecondLimit };
  }

  /** It was told to go; its removal is under way or failed. */
  get leaving(): boolean {
    return this.#toldToGo;
  }

  /** What has become of it, for those who were in it. */
  get fate(): ContainerFate {
    const { result } = this.#record;
    if (result && !result.stopped) return { kind: 'ended', why: result.failureReason };
    return result || this.#toldToStop || this.#toldToGo ? { kind: 'stopped' } : { kind: 'lives' };
  }

  /** Keeps the reservation. */
  reserve(): void {
    void this.#keep([{ kind: 'record', record: this.#record }], this.#record, 'reserved');
  }

  /** Goes on with what an earlier executor left. */
  resume(): void {
    if (this.#toldToGo) {
      this.delete().catch((error) =>
        this.cell.logger.error({ err: error, guid: this.#record.guid }, 'a container could not be removed'),
      );
      return;
    }
    switch (this.#record.state) {
      case 'reserved':
        if (this.#toldToStop) this.#complete({ failed: true, failureReason: 'stopped-before-running' });
        return;
      case 'completed':
        return;
      case 'initializing':
      case 'created':
      case 'running':
        this.#start(() => this.#takeUp());
    }
  }

  /** @throws ExecutorError `wrong-state` */
  async run(request: RunRequest): Promise<void> {
    const change: Transition = {
      to: 'initializing',
      internalRoutes: request.internalRoutes,
      metricTags: request.metricTags,
    };
    const next = transition(this.#record, change);
    if (!next || this.#toldToGo)
      throw new ExecutorError('wrong-state', `container ${this.#record.guid} is ${this.#record.state}, not reserved`);
    this.#request = request;
    this.#openLog(request);
    const kept = this.cell.lifetime.alive(
      this.#keep(
        [
          { kind: 'request', request },
          { kind: 'record', record: next },
        ],
        next,
      ),
    );
    // From now on a removal waits for the pipeline, also while the disk is waited for.
    this.#start(async () => {
      await kept;
      return this.#makeAndRun(request);
    });
    await kept;
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  /** A second caller waits for the first; after a failure the next one tries again. */
  delete(): Promise<void> {
    this.#deleting ??= this.#delete().catch((error) => {
      this.#deleting = undefined;
      throw error;
    });
    return this.#deleting;
  }

  async update({
    internalRoutes,
    metricTags,
  }: {
    internalRoutes?: string[];
    metricTags?: Record<string, string>;
  }): Promise<void> {
    const next = { ...this.#record, ...(internalRoutes && { internalRoutes }), ...(metricTags && { metricTags }) };
    if (metricTags) this.#log?.setTags(metricTags);
    await this.#keep([{ kind: 'record', record: next }], next);
  }

  /** A line of the cell in its log. */
  say(what: Said): void {
    this.#log?.platform(`Cell ${this.cell.cellId} ${what} instance ${this.#record.guid}`);
  }

  /** Ends a reservation that nobody came for. */
  expireBefore(timeMs: number): void {
    if (this.#record.state === 'reserved' && this.#record.allocatedAtMs <= timeMs) {
      this.#complete({ failed: true, failureReason: 'expired container' });
    }
  }

  /** Ends a container that the garden has lost. */
  missing(): void {
    if (this.#toldToGo || (this.#record.state !== 'created' && this.#record.state !== 'running')) return;
    this.#complete({ failed: true, failureReason: 'missing garden container' });
    this.#stopController.abort();
  }

  #openLog(request: RunRequest): void {
    const { config, logs, lifetime } = this.cell;
    this.#log = new ContainerLog({
      containerGuid: this.#record.guid,
      identity: request.log,
      defaultSource: request.container.logSource,
      limits: {
        bytesPerSecond: request.container.logRateLimit?.bytesPerSecond ?? -1,
        linesPerSecond: config.maxLogLinesPerSecond,
      },
      tags: this.#record.state === 'reserved' ? request.metricTags : this.#record.metricTags,
      store: logs,
      clock: lifetime.clock,
    });
    if (request.log.logGuid !== '') this.#releaseLog = logs.retain(request.log);
  }

  /** Runs a pipeline to its end, whatever happens in it. */
  #start(pipeline: () => Promise<Omit<RunResult, 'stopped' | 'retryable'> & { retryable?: boolean }>): void {
    this.#pipeline = (async () => {
      try {
        this.#complete(await pipeline());
      } catch (error) {
        // Only a bug leads here; the container must not hang because of it.
        this.cell.logger.error({ err: error, guid: this.#record.guid }, 'a container pipeline broke');
        this.#complete({
          failed: true,
          failureReason: `internal error: ${error instanceof Error ? error.message : String(error)}`,
        });
      }
    })();
  }

  async #makeAndRun(request: RunRequest) {
    const { createSlots, lifetime, counters } = this.cell;
    const { guid } = this.#record;
    const log = this.#log as ContainerLog;
    const signal = this.#stopController.signal;
    const beganMs = performance.now();
    let setting = true;
    const setupEnded = (ok: boolean): void => {
      if (setting) count(counters.setups, { ok, ms: performance.now() - beganMs });
      setting = false;
    };
    try {
      const create = { guid, request, log, journal: this.journal, signal };
      // Its own signal is checked inside; a container that waits for its turn has to end as stopped, not as failed.
      const made = await lifetime.alive(
        createSlots.run(lifetime.signal, async () => {
          if (signal.aborted) throw new StoppedError();
          return createContainer(create, this.cell);
        }),
      );
      this.#releaseDependencies = made.dependencies.release;
      return await this.#run(request, made.container, setupEnded);
    } catch (error) {
      setupEnded(false);
      if (error instanceof StoppedError) return { failed: true, failureReason: 'stopped-before-running' };
      if (error instanceof CreateError)
        return { failed: true, failureReason: error.message, retryable: error.retryable };
      throw error;
    }
  }

  async #takeUp() {
    const { garden } = this.cell;
    const container = garden.lookup(this.#record.guid);
    if (container && this.#request) return this.#run(this.#request, container);
    if (this.#record.state !== 'initializing') return { failed: true, failureReason: 'missing garden container' };
    if (this.#toldToStop) return { failed: true, failureReason: 'stopped-before-running' };
    const failureReason = 'failed to create container: the cell agent was restarted before the container was made';
    return { failed: true, failureReason, retryable: true };
  }

  async #run(request: RunRequest, container: GardenContainer, setupEnded: (ok: boolean) => void = () => {}) {
    const { hostAddress, containerAddress, ports } = container.info();
    if (this.#record.state === 'initializing')
      void this.#change({ to: 'created', network: { hostAddress, containerAddress, ports } });
    if (this.#toldToStop && this.#memory.get('began') !== true)
      return { failed: true, failureReason: 'stopped-before-running' };
    await this.cell.lifetime.alive(this.#memory.set('began', true, { durable: false }));
    return runRecipe(
      {
        guid: this.#record.guid,
        request,
        container,
        log: this.#log as ContainerLog,
        memory: this.#memory,
        signal: this.#stopController.signal,
        routable: this.#record.routable,
        setupEnded,
        running: (hasReadiness) =>
          void this.#change({ to: 'running', routable: !hasReadiness || this.#passedReadiness }),
        routableChanged: (routable) => this.#routable(routable),
      },
      this.cell,
    );
  }

  #routable(routable: boolean): void {
    this.#passedReadiness = routable;
    if (this.#record.state !== 'running' || this.#record.routable === routable) return;
    const next = { ...this.#record, routable };
    void this.#keep([{ kind: 'record', record: next }], next);
  }

  #complete(result: Omit<RunResult, 'stopped' | 'retryable'> & { retryable?: boolean }): void {
    void this.#change({ to: 'completed', result: { retryable: false, ...result, stopped: this.#toldToStop } });
  }

  /** Makes a transition, unless the container has got beyond it. */
  async #change(change: Transition): Promise<void> {
    if (this.cell.lifetime.over) return;
    const next = transition(this.#record, change);
    if (next) await this.#keep([{ kind: 'record', record: next }], next);
  }

  /** Appends to the journal, then shows and tells. Appends of one journal end in the order in which they were made. */
  async #keep(entries: JournalEntry[], next: ContainerRecord, kind: 'reserved' | 'changed' = 'changed'): Promise<void> {
    this.#record = next;
    failpoint(`cell.before-${next.state}`);
    await this.cell.lifetime.alive(this.journal.append(entries));
    failpoint(`cell.after-${next.state}`);
    this.#kept = next;
    this.cell.emit({ kind, container: next });
  }

  async #stop(): Promise<void> {
    if (this.#record.state === 'completed') return;
    const { lifetime, cellId } = this.cell;
    if (!this.#toldToStop) {
      this.#toldToStop = true;
      this.#log?.platform(`Cell ${cellId} stopping instance ${this.#record.guid}`);
      await lifetime.alive(this.journal.append([{ kind: 'stopping' }]));
    }
    if (this.#record.state === 'reserved') this.#complete({ failed: true, failureReason: 'stopped-before-running' });
    this.#stopController.abort();
  }

  async #delete(): Promise<void> {
    const { lifetime, deleteSlots, config } = this.cell;
    if (!this.#toldToGo) {
      this.#toldToGo = true;
      await lifetime.alive(this.journal.append([{ kind: 'deleting' }]));
      failpoint('cell.deletion-recorded');
    }
    if (this.#record.state !== 'reserved') {
      await this.stop();
      const patience = new AbortController();
      await Promise.race([
        this.#pipeline,
        lifetime.pause(config.gracefulShutdownInterval + DELETE_PATIENCE_MS, patience.signal),
      ]);
      patience.abort();
    }
    await lifetime.alive(deleteSlots.run(lifetime.signal, () => this.#destroy()));
    failpoint('cell.container-destroyed');
    this.#releaseDependencies();
    this.#releaseLog();
    await lifetime.alive(lifetime.track(this.cell.volumes.release(this.#record.guid)));
    await lifetime.alive(lifetime.track(removeMountedFiles(join(this.cell.filesDirectory, this.#record.guid))));
    await lifetime.alive(
      lifetime.track(new CredentialFiles(join(this.cell.credentialsDirectory, this.#record.guid)).remove()),
    );
    await lifetime.alive(this.journal.remove());
    this.cell.forget(this.#record);
    this.cell.emit({ kind: 'removed', container: this.#record });
  }

  async #destroy(): Promise<void> {
    const { garden, cellId, lifetime } = this.cell;
    const { guid } = this.#record;
    if (!garden.lookup(guid)) return;
    this.#log?.platform(`Cell ${cellId} destroying container for instance ${guid}`);
    try {
      await lifetime.track(garden.destroy(guid));
      this.#log?.platform(`Cell ${cellId} successfully destroyed container for instance ${guid}`);
    } catch (error) {
      if (error instanceof GardenError && error.kind === 'not-found') return;
      this.#log?.platform(`Cell ${cellId} failed to destroy container for instance ${guid}`, { stream: 'stderr' });
      throw error;
    }
  }
}
