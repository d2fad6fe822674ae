import type { CellPresence } from '@rivera/gen/rivera/bbs/v1/cell';
import { AdminServer } from '@rivera/kit/admin';
import { openAudit } from '@rivera/kit/admin/audit';
import type { CallObserver } from '@rivera/kit/grpc/host';
import type { Logger } from '@rivera/kit/log';
import { MetricsRegistry } from '@rivera/kit/metrics';
import { GrpcMetrics } from '@rivera/kit/metrics/grpc';
import { measureProcess } from '@rivera/kit/metrics/process';
import type { Executor } from '../executor/executor.js';
import type { Garden } from '../garden/garden.js';
import type { Bids } from '../rep/bids.js';
import type { MetricsSampler } from '../rep/metrics-sampler.js';
import type { CellSession } from '../rep/session.js';
import { GardenMetrics, measureCell } from './cell-metrics.js';
import type { CellConfig } from './config.js';
import { MeasuredGarden } from './measured-garden.js';
import type { RuntimeCheck } from './runtime-check.js';

/** What of a cell is looked at, as soon as it is there. */
export interface ShownCell {
  readonly executor: Executor;
  readonly session: Pick<CellSession, 'connected'>;
  readonly bids: Pick<Bids, 'connected'>;
  readonly presence: CellPresence;
  readonly evacuating: () => boolean;
  readonly metrics: Pick<MetricsSampler, 'latest'>;
  /** Undefined: this cell is not checked. */
  readonly check: Pick<RuntimeCheck, 'failure' | 'failures'> | undefined;
}

/** Everything that lets people see into a cell: audit, and, where the admin port is configured, metrics, health and state. */
export class CellAdmin {
  /** For the gRPC port. */
  readonly observers: readonly CallObserver[];
  /** Puts a clock around the garden; undefined where nobody can ask what it says. */
  readonly measured: ((garden: Garden) => Garden) | undefined;
  readonly #registry: MetricsRegistry;
  readonly #closers: (() => Promise<void> | void)[] = [];
  readonly #port: number | undefined;
  #shown: ShownCell | undefined;
  #closing = false;
  #listener: AdminServer | undefined;

  /** @throws Error of Node when the audit file can't be opened */
  constructor(
    private readonly config: CellConfig,
    private readonly log: Logger,
  ) {
    this.#port = config.admin.port ?? undefined;
    this.#registry = new MetricsRegistry({
      onError: (error) => log.error({ err: error }, 'a metric could not be told'),
    });
    const audit = openAudit(config.audit, log);
    this.#closers.push(() => audit.close());
    // A thousand pretended cells in one process measure nothing that nobody can ask for.
    if (this.#port === undefined) {
      this.observers = audit.observers;
      return;
    }
    this.observers = [new GrpcMetrics(this.#registry), ...audit.observers];
    const garden = new GardenMetrics(this.#registry);
    this.measured = (inner) => new MeasuredGarden(inner, garden.report);
    this.#closers.push(measureProcess(this.#registry));
  }

  /** Opens the port, if one is configured. @throws Error of Node, such as EADDRINUSE */
  async listen(): Promise<void> {
    if (this.#port === undefined) return;
    const { host, remoteState } = this.config.admin;
    const listener = await AdminServer.listen({
      host,
      port: this.#port,
      remoteState,
      metrics: this.#registry,
      ready: async () => this.#reasons(),
      state: () => this.#state(),
      logger: this.log,
    });
    this.#listener = listener;
    this.#closers.push(() => listener.close());
    this.log.info({ address: listener.address }, 'admin port listens');
  }

  /** host:port of the admin port; undefined when there is none. */
  get address(): string | undefined {
    return this.#listener?.address;
  }

  /** The cell is complete, and ready as soon as the servers know it. */
  show(shown: ShownCell): void {
    this.#shown = shown;
    if (this.#port === undefined) return;
    const { executor, session, bids, evacuating, check, metrics } = shown;
    const stop = measureCell({
      registry: this.#registry,
      zone: this.config.zone,
      executor,
      latest: () => metrics.latest(),
      connected: () => ({ session: session.connected, bids: bids.connected }),
      evacuating,
      check,
    });
    this.#closers.push(stop);
  }

  /** From now on it is not ready, though it still answers. */
  closes(): void {
    this.#closing = true;
  }

  async close(): Promise<void> {
    for (let step = this.#closers.pop(); step !== undefined; step = this.#closers.pop()) await step();
  }

  #reasons(): string[] {
    if (this.#closing) return ['this cell is closing'];
    if (this.#shown === undefined) return ['this cell is starting'];
    const { session, bids, check } = this.#shown;
    return [
      ...(check?.failure === undefined ? [] : [`the runtime is broken: ${check.failure}`]),
      ...(session.connected ? [] : ['no BBS has a session with this cell']),
      ...(bids.connected ? [] : ['no auctioneer takes bids of this cell']),
    ];
  }

  /** Every field is chosen here; recipes, environment and tags are not among them. */
  *#state(): Generator<object> {
    const { cellId, zone, backend } = this.config;
    const shown = this.#shown;
    yield {
      kind: 'cell-agent',
      time: new Date().toISOString(),
      cellId,
      zone,
      backend,
      pid: process.pid,
      node: process.version,
      repAddress: shown?.presence.repAddress,
      session: shown?.session.connected,
      bids: shown?.bids.connected,
      evacuating: shown?.evacuating(),
      resources: shown?.executor.resources(),
      logs: shown?.executor.logs.counts?.(),
      memory: process.memoryUsage(),
    };
    for (const { guid, state, resources, allocatedAtMs, routable, network, result } of shown?.executor.list() ?? []) {
      yield {
        kind: 'container',
        guid,
        state,
        resources,
        allocatedAt: new Date(allocatedAtMs).toISOString(),
        routable,
        address: network?.containerAddress,
        ports: network?.ports,
        result: result && {
          failed: result.failed,
          stopped: result.stopped,
          reason: result.failureReason.slice(0, 256),
        },
      };
    }
  }
}
