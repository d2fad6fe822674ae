import type { ContainerMetrics } from '@rivera/gen/rivera/rep/v1/container';
import type { Clock } from '@rivera/kit/clock';
import type { Logger } from '@rivera/kit/log';
import pLimit from 'p-limit';
import { type ContainerRecord, type Executor, ExecutorError } from '../executor/executor.js';
import type { GardenMetrics } from '../garden/garden.js';
import { targetOf } from './work.js';

/** Time between two looks (spec cell §28). */
export const METRICS_INTERVAL_MS = 15_000;

/** Containers that are looked at at the same time (spec cell §17). */
const METRICS_POOL = 8;

const MIB = 1024 * 1024;

/** Looks at what containers use every 15 s, so that asking costs nothing. */
export class MetricsSampler {
  readonly #executor: Executor;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #closing = new AbortController();
  #latest = new Map<string, ContainerMetrics>();
  #before = new Map<string, GardenMetrics>();
  #done: Promise<void> | undefined;

  constructor(options: { executor: Executor; clock: Clock; logger: Logger }) {
    this.#executor = options.executor;
    this.#clock = options.clock;
    this.#log = options.logger;
  }

  start(): void {
    this.#done ??= this.#keepLooking();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#done;
  }

  /** What was seen at the last look. */
  latest(): ReadonlyMap<string, ContainerMetrics> {
    return this.#latest;
  }

  /** One look at every container that exists. */
  async look(): Promise<void> {
    const limit = pLimit(METRICS_POOL);
    const latest = new Map<string, ContainerMetrics>();
    const before = new Map<string, GardenMetrics>();
    const existing = this.#executor.list().filter(({ state }) => state === 'created' || state === 'running');
    await Promise.all(
      existing.map((container) =>
        limit(async () => {
          try {
            const now = await this.#executor.metrics(container.guid);
            before.set(container.guid, now);
            latest.set(container.guid, toMetrics(container, now, this.#before.get(container.guid)));
          } catch (error) {
            // Containers come and go; the next look finds out.
            if (!(error instanceof ExecutorError)) this.#log.debug({ guid: container.guid, err: error }, 'no metrics');
          }
        }),
      ),
    );
    this.#latest = latest;
    this.#before = before;
  }

  async #keepLooking(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      await this.look();
      await this.#clock.sleep(METRICS_INTERVAL_MS, signal).catch(() => {});
    }
  }
}

function toMetrics(
  container: ContainerRecord,
  now: GardenMetrics,
  before: GardenMetrics | undefined,
): ContainerMetrics {
  const { guid, resources } = container;
  const elapsedNs = before ? (now.ageMs - before.ageMs) * 1_000_000 : 0;
  return {
    containerGuid: guid,
    target: targetOf(container),
    cpuUsageFraction: before && elapsedNs > 0 ? Math.max(0, now.cpuTimeNs - before.cpuTimeNs) / elapsedNs : 0,
    memoryUsageBytes: now.memoryBytes,
    memoryQuotaBytes: resources.memoryMb * MIB,
    diskUsageBytes: now.diskBytes,
    diskQuotaBytes: resources.diskMb * MIB,
    pids: now.pids,
    rxBytes: now.rxBytes,
    txBytes: now.txBytes,
  };
}
