import { Readable } from 'node:stream';
import type {
  ContainerEvent,
  ContainerRecord,
  Executor,
  ExecutorResources,
  Reservation,
  RunRequest,
} from '../../executor/executor.js';
import { ExecutorError } from '../../executor/executor.js';
import type { LogStore } from '../../executor/logs/log-store.js';

/** An executor whose containers change when the test says so. It keeps the order and the errors of the interface. */
export class ScriptedExecutor implements Executor {
  readonly volumeDrivers = [];
  readonly logs: LogStore = { append() {}, async *read() {} };
  /** What was asked of it: "run a", "stop a", "delete a" … */
  readonly calls: string[] = [];
  readonly runs = new Map<string, RunRequest>();
  readonly files = new Map<string, string>();
  readonly total: ExecutorResources = { memoryMb: 1_000, diskMb: 10_000, containers: 100_000 };
  refuseRuns = false;
  readonly #records = new Map<string, ContainerRecord>();
  readonly #listeners = new Set<(event: ContainerEvent) => void>();

  async start(): Promise<void> {}

  resources() {
    const available = { ...this.total };
    let startingContainers = 0;
    for (const { resources, state } of this.#records.values()) {
      available.memoryMb -= resources.memoryMb;
      available.diskMb -= resources.diskMb;
      available.containers -= 1;
      if (state === 'reserved' || state === 'initializing' || state === 'created') startingContainers++;
    }
    return { total: this.total, available, startingContainers };
  }

  reserve({ guid, memoryMb, diskMb, rootFs, tags }: Reservation): ContainerRecord {
    if (this.#records.has(guid)) throw new ExecutorError('guid-not-available', 'container guid not available');
    if (rootFs === 'preloaded:none') throw new ExecutorError('unknown-rootfs', 'preloaded rootfs path not found');
    const { available } = this.resources();
    if (available.memoryMb < memoryMb || available.diskMb < diskMb || available.containers < 1) {
      throw new ExecutorError('insufficient-resources', 'insufficient resources available');
    }
    const record: ContainerRecord = {
      guid,
      state: 'reserved',
      tags,
      resources: { memoryMb, diskMb, containers: 1 },
      allocatedAtMs: 0,
      routable: false,
      internalRoutes: [],
      metricTags: {},
    };
    this.#put(record, 'reserved');
    return record;
  }

  /** What the container does next by itself. */
  become(guid: string, state: ContainerRecord['state'], changes: Partial<ContainerRecord> = {}): void {
    const record = this.#records.get(guid);
    if (!record) throw new Error(`there is no container ${guid}`);
    this.#put({ ...record, state, ...changes }, 'changed');
  }

  async run(guid: string, request: RunRequest): Promise<void> {
    this.calls.push(`run ${guid}`);
    if (this.#require(guid).state !== 'reserved' || this.refuseRuns) {
      throw new ExecutorError('wrong-state', 'container cannot transition to given state');
    }
    this.runs.set(guid, request);
    this.become(guid, 'initializing');
  }

  async stop(guid: string): Promise<void> {
    this.#require(guid);
    this.calls.push(`stop ${guid}`);
    const result = { failed: true, failureReason: '', retryable: false, stopped: true };
    this.become(guid, 'completed', { result, routable: false });
  }

  async delete(guid: string): Promise<void> {
    this.calls.push(`delete ${guid}`);
    const record = this.#records.get(guid);
    if (!record) return;
    this.#records.delete(guid);
    this.#emit({ kind: 'removed', container: record });
  }

  async update(
    guid: string,
    update: { internalRoutes?: string[]; metricTags?: Record<string, string> },
  ): Promise<void> {
    this.#put({ ...this.#require(guid), ...update }, 'changed');
  }

  get(guid: string): ContainerRecord | undefined {
    return this.#records.get(guid);
  }

  list(): ContainerRecord[] {
    return [...this.#records.values()];
  }

  subscribe(listener: (event: ContainerEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  exec: Executor['exec'] = async () => {
    throw new ExecutorError('exec-failed', 'nothing runs here');
  };

  streamIn: Executor['streamIn'] = async () => {};

  streamOut: Executor['streamOut'] = async () => Readable.from([]);

  async readFile(guid: string, path: string, maxBytes: number): Promise<string> {
    const content = this.files.get(`${guid}:${path}`);
    if (content === undefined) throw new ExecutorError('file-not-found', `there is no ${path}`);
    if (Buffer.byteLength(content) > maxBytes) throw new ExecutorError('file-too-large', `${path} is too large`);
    return content;
  }

  async metrics(guid: string) {
    this.#require(guid);
    const garden = { memoryBytes: 0, cpuTimeNs: 0, diskBytes: 0, pids: 0, rxBytes: 0, txBytes: 0, ageMs: 0 };
    return { ...garden, cpuEntitlementNs: 0, logBytes: 0, logBytesPerSecondLimit: -1 };
  }

  async close(): Promise<void> {}

  #require(guid: string): ContainerRecord {
    const record = this.#records.get(guid);
    if (!record) throw new ExecutorError('not-found', 'container not found');
    return record;
  }

  #put(record: ContainerRecord, kind: ContainerEvent['kind']): void {
    this.#records.set(record.guid, record);
    this.#emit({ kind, container: record });
  }

  #emit(event: ContainerEvent): void {
    for (const listener of this.#listeners) listener(event);
  }
}
