import { Readable } from 'node:stream';
import { type Transition, transition } from '@rivera/cells/executor/containers/transitions';
import {
  type ContainerEvent,
  type ContainerRecord,
  type Executor,
  ExecutorError,
  type Reservation,
  type RunRequest,
  type RunResult,
} from '@rivera/cells/executor/executor';
import type { LogStore } from '@rivera/cells/executor/logs/log-store';
import type { Host } from './host.js';
import type { Machine, SimulatedContainer } from './machine.js';

/** A reservation that nobody runs ends after this. */
const RESERVATION_MS = 6_000;
const EXPIRY_CHECK_MS = 2_000;
const ROOT_FS = 'preloaded:busybox';

/**
 * The executor of one life of an agent, on a simulated machine. It keeps the order of the real one: a change is on the disk before it
 * is shown, a container is made only after the run is on the disk, and an agent that comes back takes up what it finds.
 */
export class SimulatedExecutor implements Executor {
  readonly volumeDrivers = [];
  readonly logs: LogStore = { append() {}, async *read() {} };
  private readonly listeners = new Set<(event: ContainerEvent) => void>();

  constructor(
    private readonly host: Host,
    private readonly machine: Machine,
  ) {}

  async start(): Promise<void> {
    for (const container of [...this.machine.containers.values()]) this.takeUp(container);
    this.expireSoon();
  }

  resources() {
    const { ledger, containers } = this.machine;
    let startingContainers = 0;
    for (const { record } of containers.values()) {
      if (record.state === 'reserved' || record.state === 'initializing' || record.state === 'created') {
        startingContainers++;
      }
    }
    return { total: { ...ledger.total }, available: ledger.available, startingContainers };
  }

  reserve({ guid, memoryMb, diskMb, rootFs, tags }: Reservation): ContainerRecord {
    const { machine } = this;
    if (machine.containers.has(guid)) throw new ExecutorError('guid-not-available', `${guid} is not available`);
    if (rootFs !== ROOT_FS) throw new ExecutorError('unknown-rootfs', `this cell has no ${rootFs}`);
    const resources = { memoryMb, diskMb, containers: 1 };
    if (!machine.ledger.reserve(resources)) {
      throw new ExecutorError('insufficient-resources', 'insufficient resources available');
    }
    const record: ContainerRecord = {
      guid,
      state: 'reserved',
      tags: { ...tags },
      resources,
      allocatedAtMs: this.host.clock.now(),
      routable: false,
      internalRoutes: [],
      metricTags: {},
    };
    machine.containers.set(guid, {
      record,
      request: undefined,
      process: undefined,
      stopping: false,
      deleting: false,
    });
    this.host.after(1, () => this.tell({ kind: 'reserved', container: record }));
    return record;
  }

  async run(guid: string, request: RunRequest): Promise<void> {
    const container = this.require(guid);
    if (container.record.state !== 'reserved' || container.request !== undefined || container.deleting) {
      throw new ExecutorError('wrong-state', `container ${guid} is ${container.record.state}, not reserved`);
    }
    container.request = request;
    await this.disk();
    const { internalRoutes, metricTags } = request;
    this.change(container, { to: 'initializing', internalRoutes, metricTags });
    this.host.after(this.machine.options.chance.between(5, 1_500), () => this.make(container));
  }

  async stop(guid: string): Promise<void> {
    const container = this.require(guid);
    if (container.stopping || container.record.state === 'completed') return;
    container.stopping = true;
    await this.disk();
    const { process, record } = container;
    if (record.state === 'reserved')
      this.complete(container, { failed: true, failureReason: 'stopped-before-running' });
    if (process !== undefined && process.exit === undefined) {
      this.machine.options.time.after(this.machine.options.chance.between(1, 2_000), () =>
        this.machine.end(process, { failed: true, reason: 'exited with status 143' }),
      );
    }
  }

  async delete(guid: string): Promise<void> {
    const container = this.machine.containers.get(guid);
    if (container === undefined) return;
    if (!container.deleting) this.machine.options.onRelease(container.record, this.machine.cellId);
    container.deleting = true;
    await this.stop(guid);
    await this.host.clock.sleep(this.machine.options.chance.between(1, 300));
    // An earlier call may have done it meanwhile.
    if (this.machine.containers.get(guid) !== container) return;
    if (container.process !== undefined) this.machine.end(container.process, { failed: true, reason: 'destroyed' });
    this.machine.containers.delete(guid);
    this.machine.ledger.free(container.record.resources);
    this.tell({ kind: 'removed', container: container.record });
  }

  async update(
    guid: string,
    update: { internalRoutes?: string[]; metricTags?: Record<string, string> },
  ): Promise<void> {
    const container = this.require(guid);
    await this.disk();
    container.record = { ...container.record, ...update };
    this.tell({ kind: 'changed', container: container.record });
  }

  get(guid: string): ContainerRecord | undefined {
    return this.machine.containers.get(guid)?.record;
  }

  list(): ContainerRecord[] {
    return [...this.machine.containers.values()].map(({ record }) => record);
  }

  subscribe(listener: (event: ContainerEvent) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** The result of a Task is the name of the execution that made it. */
  async readFile(guid: string): Promise<string> {
    this.require(guid);
    await this.disk();
    return guid;
  }

  exec: Executor['exec'] = async () => {
    throw new ExecutorError('exec-failed', 'nobody can look into simulated containers');
  };

  streamIn: Executor['streamIn'] = async () => {};

  streamOut: Executor['streamOut'] = async () => Readable.from([]);

  async metrics() {
    return {
      memoryBytes: 0,
      cpuTimeNs: 0,
      diskBytes: 0,
      pids: 0,
      rxBytes: 0,
      txBytes: 0,
      ageMs: 0,
      cpuEntitlementNs: 0,
      logBytes: 0,
      logBytesPerSecondLimit: -1,
    };
  }

  async close(): Promise<void> {
    this.listeners.clear();
  }

  private make(container: SimulatedContainer): void {
    const { chance, coverage } = this.machine.options;
    if (!this.isHere(container) || container.record.state !== 'initializing') return;
    if (container.stopping) return this.complete(container, { failed: true, failureReason: 'stopped-before-running' });
    if (!this.machine.calm && chance.percent(6)) {
      coverage.note('container could not be made');
      const failureReason = 'failed to create container: no space left on device';
      return this.complete(container, { failed: true, failureReason, retryable: true });
    }
    const containerAddress = this.machine.nextAddress();
    this.change(container, { to: 'created', network: { hostAddress: '192.0.2.1', containerAddress, ports: [] } });
    this.machine.launch(container);
    this.follow(container);
  }

  /** From the process to the record, for as long as this agent lives. */
  private follow(container: SimulatedContainer): void {
    const { process } = container;
    if (process === undefined) return;
    const ended = () => {
      const exit = process.exit ?? { failed: true, reason: 'lost' };
      if (this.isHere(container)) this.complete(container, { failed: exit.failed, failureReason: exit.reason });
    };
    process.onExit = () => this.host.after(1, ended);
    if (process.exit !== undefined) process.onExit();
    this.host.after(process.healthyAtMs - this.machine.options.time.nowMs, () => {
      if (process.exit === undefined && this.isHere(container)) {
        this.change(container, { to: 'running', routable: true });
      }
    });
  }

  /** What an earlier life of the agent left. */
  private takeUp(container: SimulatedContainer): void {
    const { record } = container;
    // The run was not on the disk yet.
    if (record.state === 'reserved') container.request = undefined;
    if (container.deleting) return void this.delete(record.guid);
    if (record.state === 'reserved' || record.state === 'completed') {
      if (container.stopping && record.state === 'reserved') {
        this.complete(container, { failed: true, failureReason: 'stopped-before-running' });
      }
      return;
    }
    if (container.process !== undefined) return this.follow(container);
    if (record.state !== 'initializing') {
      return this.complete(container, { failed: true, failureReason: 'missing garden container' });
    }
    const failureReason = 'failed to create container: the cell agent was restarted before the container was made';
    this.complete(container, { failed: true, failureReason, retryable: true });
  }

  private expireSoon(): void {
    this.host.after(EXPIRY_CHECK_MS, () => {
      const before = this.host.clock.now() - RESERVATION_MS;
      for (const container of this.machine.containers.values()) {
        if (container.record.state !== 'reserved' || container.record.allocatedAtMs > before) continue;
        this.machine.options.coverage.note('reservation expired');
        this.complete(container, { failed: true, failureReason: 'expired container' });
      }
      this.expireSoon();
    });
  }

  private complete(
    container: SimulatedContainer,
    result: Omit<RunResult, 'retryable' | 'stopped'> & { retryable?: boolean },
  ): void {
    const stopped = container.stopping;
    this.change(container, { to: 'completed', result: { retryable: false, ...result, stopped } });
  }

  private change(container: SimulatedContainer, change: Transition): void {
    const next = transition(container.record, change);
    if (next === undefined) return;
    container.record = next;
    this.tell({ kind: 'changed', container: next });
  }

  private tell(event: ContainerEvent): void {
    if (!this.host.alive) return;
    for (const listener of [...this.listeners]) listener(event);
  }

  private isHere(container: SimulatedContainer): boolean {
    return this.machine.containers.get(container.record.guid) === container;
  }

  private require(guid: string): SimulatedContainer {
    const container = this.machine.containers.get(guid);
    if (container === undefined) throw new ExecutorError('not-found', `container ${guid} not found`);
    return container;
  }

  private disk(): Promise<void> {
    return this.host.clock.sleep(this.machine.options.chance.between(1, 4));
  }
}
