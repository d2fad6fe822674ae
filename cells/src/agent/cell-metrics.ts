import type { ContainerMetrics } from '@rivera/gen/rivera/rep/v1/container';
import {
  type Counter,
  type Histogram,
  type MetricSpec,
  type MetricsRegistry,
  REGISTRY_METRICS,
} from '@rivera/kit/metrics';
import { GRPC_METRICS } from '@rivera/kit/metrics/grpc';
import { PROCESS_METRICS } from '@rivera/kit/metrics/process';
import { newCounters } from '../executor/counters.js';
import type { ContainerState, Executor } from '../executor/executor.js';
import { CELL_METRICS } from './cell-metric-specs.js';
import { CONTAINER_METRICS, measureContainers } from './container-metrics.js';
import type { ReportGardenWork } from './measured-garden.js';
import type { RuntimeCheck } from './runtime-check.js';

const STATES = ['reserved', 'initializing', 'created', 'running', 'completed'] as const satisfies ContainerState[];
const MIB = 1024 * 1024;

/** Everything that a cell measures, for the documentation. */
export const ALL_CELL_METRICS: readonly { readonly title: string; readonly specs: readonly MetricSpec[] }[] = [
  { title: 'Cell', specs: Object.values(CELL_METRICS) },
  { title: 'Containers', specs: Object.values(CONTAINER_METRICS) },
  { title: 'gRPC', specs: Object.values(GRPC_METRICS) },
  { title: 'Process', specs: Object.values(PROCESS_METRICS) },
  { title: 'Metrics', specs: Object.values(REGISTRY_METRICS) },
];

export interface CellMetricsOptions {
  readonly registry: MetricsRegistry;
  readonly zone: string;
  readonly executor: Executor;
  readonly latest: () => ReadonlyMap<string, ContainerMetrics>;
  readonly connected: () => { session: boolean; bids: boolean };
  readonly evacuating: () => boolean;
  readonly check?: Pick<RuntimeCheck, 'failure' | 'failures'> | undefined;
}

/** Times what the garden does; it is there before the executor is. */
export class GardenMetrics {
  readonly #seconds: Histogram<typeof CELL_METRICS.gardenSeconds>;
  readonly #last;

  constructor(registry: MetricsRegistry) {
    this.#seconds = registry.histogram(CELL_METRICS.gardenSeconds);
    this.#last = registry.gauge(CELL_METRICS.gardenLast);
  }

  readonly report: ReportGardenWork = ({ kind: work, ok, ms }) => {
    const labels = { work, outcome: ok ? 'ok' : 'error' };
    this.#seconds.observe(ms / 1000, labels);
    this.#last.set(ms / 1000, labels);
  };
}

/** Measures a cell from now on; returns how to stop. */
export function measureCell({
  registry,
  zone,
  executor,
  latest,
  connected,
  evacuating,
  check,
}: CellMetricsOptions): () => void {
  showResources(registry, zone, executor);
  const streams = registry.gauge(CELL_METRICS.connected);
  const draining = registry.gauge(CELL_METRICS.evacuating);
  const broken = registry.gauge(CELL_METRICS.broken);
  const failedChecks = registry.counter(CELL_METRICS.failedChecks);
  let toldFailures = 0;
  registry.onCollect(() => {
    for (const [stream, stands] of Object.entries(connected())) streams.set(stands ? 1 : 0, { stream });
    draining.set(evacuating() ? 1 : 0);
    broken.set(check?.failure === undefined ? 0 : 1);
    const failures = check?.failures ?? 0;
    failedChecks.add(failures - toldFailures);
    toldFailures = failures;
  });
  showLogs(registry, executor);
  showCounts(registry, executor);
  showUsage(registry, zone, latest);
  measureContainers(registry, { executor, latest });
  return countResults(registry.counter(CELL_METRICS.results), executor);
}

function showResources(registry: MetricsRegistry, zone: string, executor: Executor): void {
  const total = registry.gauge(CELL_METRICS.total);
  const remaining = registry.gauge(CELL_METRICS.remaining);
  const allocated = registry.gauge(CELL_METRICS.allocated);
  const starting = registry.gauge(CELL_METRICS.starting);
  const containers = registry.gauge(CELL_METRICS.containers);
  registry.onCollect(() => {
    const resources = executor.resources();
    starting.set(resources.startingContainers, { zone });
    for (const [resource, key] of [
      ['memory_mb', 'memoryMb'],
      ['disk_mb', 'diskMb'],
      ['containers', 'containers'],
    ] as const) {
      total.set(resources.total[key], { zone, resource });
      remaining.set(resources.available[key], { zone, resource });
      allocated.set(resources.total[key] - resources.available[key], { zone, resource });
    }
    const counts = new Map<ContainerState, number>();
    for (const { state } of executor.list()) counts.set(state, (counts.get(state) ?? 0) + 1);
    for (const state of STATES) containers.set(counts.get(state) ?? 0, { zone, state });
  });
}

function showLogs(registry: MetricsRegistry, executor: Executor): void {
  const lines = registry.counter(CELL_METRICS.logLines);
  const drops = registry.counter(CELL_METRICS.logDrops);
  const excesses = registry.counter(CELL_METRICS.logExcesses);
  let told = { lines: 0, rate: 0, reader: 0, excesses: 0 };
  registry.onCollect(() => {
    const now = executor.logs.counts?.() ?? told;
    lines.add(now.lines - told.lines);
    drops.add(now.rate - told.rate, { reason: 'rate' });
    drops.add(now.reader - told.reader, { reason: 'reader' });
    excesses.add(now.excesses - told.excesses);
    told = now;
  });
}

function showUsage(registry: MetricsRegistry, zone: string, latest: CellMetricsOptions['latest']): void {
  const usage = registry.gauge(CELL_METRICS.usage);
  registry.onCollect(() => {
    let memory = 0;
    let disk = 0;
    for (const { memoryUsageBytes, diskUsageBytes } of latest().values()) {
      memory += memoryUsageBytes;
      disk += diskUsageBytes;
    }
    usage.set(memory / MIB, { zone, resource: 'memory_mb' });
    usage.set(disk / MIB, { zone, resource: 'disk_mb' });
  });
}

function showCounts(registry: MetricsRegistry, executor: Executor): void {
  const credentials = registry.counter(CELL_METRICS.credentials);
  const credentialsLast = registry.gauge(CELL_METRICS.credentialsLast);
  const setups = registry.counter(CELL_METRICS.setups);
  const setupLast = registry.gauge(CELL_METRICS.setupLast);
  const killed = registry.counter(CELL_METRICS.exitedOnTimeout);
  const liveness = registry.counter(CELL_METRICS.livenessFailures);
  const told = newCounters();
  registry.onCollect(() => {
    const now = executor.counts?.() ?? told;
    for (const [counter, tally, before] of [
      [credentials, now.credentials, told.credentials],
      [setups, now.setups, told.setups],
    ] as const) {
      counter.add(tally.succeeded - before.succeeded, { outcome: 'ok' });
      counter.add(tally.failed - before.failed, { outcome: 'error' });
      Object.assign(before, tally);
    }
    credentialsLast.set(now.credentials.lastSucceededMs / 1000);
    setupLast.set(now.setups.lastSucceededMs / 1000, { outcome: 'ok' });
    setupLast.set(now.setups.lastFailedMs / 1000, { outcome: 'error' });
    killed.add(now.exitedOnTimeout - told.exitedOnTimeout);
    told.exitedOnTimeout = now.exitedOnTimeout;
    for (const kind of ['tcp', 'http', 'monitor'] as const)
      liveness.add(now.livenessFailures[kind] - told.livenessFailures[kind], { kind });
    told.livenessFailures = { ...now.livenessFailures };
  });
}

function countResults(results: Counter<typeof CELL_METRICS.results>, executor: Executor): () => void {
  for (const outcome of ['succeeded', 'failed', 'stopped']) results.add(0, { outcome });
  // Of a container that has ended there may be more news; the first counts.
  const counted = new Set<string>();
  return executor.subscribe(({ kind, container: { guid, state, result } }) => {
    if (kind === 'removed') counted.delete(guid);
    else if (state === 'completed' && result !== undefined && !counted.has(guid)) {
      counted.add(guid);
      results.add(1, { outcome: result.stopped ? 'stopped' : result.failed ? 'failed' : 'succeeded' });
    }
  });
}
