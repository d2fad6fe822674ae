import type { ContainerMetrics } from '@rivera/gen/rivera/rep/v1/container';
import type { Clock } from '@rivera/kit/clock';
import type { Logger } from '@rivera/kit/log';
import pLimit from 'p-limit';
import { type ContainerRecord, type ContainerUsage, type Executor, ExecutorError } from '../executor/executor.js';
import { targetOf } from './work.js';

/** Time between two looks (spec cell §28). */
export const METRICS_INTERVAL_MS = 15_000;

/** Containers that are looked at at the same time (spec cell §17). */
const METRICS_POOL = 8;

const MIB = 1024 * 1024;
const NANOSECONDS = 1e9;

/** Looks at what containers use every 15 s, so that asking costs nothing. */
export class MetricsSampler {
  readonly #executor: Executor;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #closing = new AbortController();
  #latest = new Map<string, ContainerMetrics>();
  #before = new Map<string, Look>();
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
    const before = new Map<string, Look>();
    const existing = this.#executor.list().filter(({ state }) => state === 'created' || state === 'running');
    await Promise.all(
      existing.map((container) =>
        limit(async () => {
          try {
            const usage = await this.#executor.metrics(container.guid);
            const earlier = this.#before.get(container.guid);
            const now = { usage, spike: spikeAfter(earlier?.spike, usage, this.#clock.now()) };
            before.set(container.guid, now);
            latest.set(container.guid, toMetrics(container, now, earlier));
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

/** A time during which a container has used more CPU than its share entitles it to. */
interface Spike {
  start: Date;
  /** Undefined while it lasts. */
  end?: Date;
}

interface Look {
  usage: ContainerUsage;
  spike: Spike | undefined;
}

/** The spike that is told from now on: the one that lasts, the one that begins or ends now, else the last one (spec cell §28). */
function spikeAfter(before: Spike | undefined, usage: ContainerUsage, nowMs: number): Spike | undefined {
  const above = usage.cpuEntitlementNs > 0 && usage.cpuTimeNs > usage.cpuEntitlementNs;
  const lasts = before !== undefined && before.end === undefined;
  if (above) return lasts ? before : { start: new Date(nowMs) };
  return lasts ? { ...before, end: new Date(nowMs) } : before;
}

function toMetrics(
  container: ContainerRecord,
  { usage: now, spike }: Look,
  earlier: Look | undefined,
): ContainerMetrics {
  const { guid, resources } = container;
  const before = earlier?.usage ?? now;
  const elapsedMs = now.ageMs - before.ageMs;
  /** Of what only grows, since the last look; 0 at the first one, and after a restart. */
  const per = (grown: number, by: number) => (by > 0 ? Math.max(0, grown) / by : 0);
  const cpuNs = now.cpuTimeNs - before.cpuTimeNs;
  return {
    containerGuid: guid,
    target: targetOf(container),
    cpuUsageFraction: per(cpuNs, elapsedMs * 1_000_000),
    memoryUsageBytes: now.memoryBytes,
    memoryQuotaBytes: resources.memoryMb * MIB,
    diskUsageBytes: now.diskBytes,
    diskQuotaBytes: resources.diskMb * MIB,
    pids: now.pids,
    rxBytes: now.rxBytes,
    txBytes: now.txBytes,
    cpuTimeSeconds: now.cpuTimeNs / NANOSECONDS,
    cpuEntitlementSeconds: now.cpuEntitlementNs / NANOSECONDS,
    cpuEntitlementFraction: per(cpuNs, now.cpuEntitlementNs - before.cpuEntitlementNs),
    ageSeconds: now.ageMs / 1000,
    logBytesPerSecond: per(now.logBytes - before.logBytes, elapsedMs / 1000),
    logBytesPerSecondLimit: now.logBytesPerSecondLimit,
    spikeStart: spike?.start,
    spikeEnd: spike?.end,
  };
}
