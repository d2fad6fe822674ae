import type { ContainerMetrics } from '@rivera/gen/rivera/rep/v1/container';
import { defineMetrics, type Gauge, type MetricsRegistry, NANOSECONDS } from '@rivera/kit/metrics';
import type { Executor } from '../executor/executor.js';

const LABELS = ['source_id', 'instance_id', 'process_guid', 'task_guid', 'container_guid'] as const;
/** What the reference's envelopes are tagged with. */
const BY = { source_id: 'source_id', instance_id: 'instance_id', process_id: 'process_guid' } as const;

/** One gauge for each thing that is told of a container; see spec cell §28 for the aliases. */
function gauge(name: string, help: string, alias: string, scale?: number) {
  const aliases = [{ name: alias, by: BY, ...(scale !== undefined && { scale }) }];
  return { name: `rivera_container_${name}`, kind: 'gauge' as const, help, labels: LABELS, aliases };
}

/** What a cell tells of each of its containers, as it was at the last look. */
export const CONTAINER_METRICS = defineMetrics({
  cpuUsageFraction: gauge('cpu_cores', 'Cores that it kept busy since the last look.', 'cpu', 100),
  cpuEntitlementFraction: gauge('cpu_entitlement_ratio', 'Part of its CPU share that it used.', 'cpu_entitlement', 100),
  cpuTimeSeconds: gauge('cpu_seconds', 'CPU time since its creation.', 'absolute_usage', NANOSECONDS),
  cpuEntitlementSeconds: gauge(
    'cpu_entitlement_seconds',
    'CPU time that its share entitles it to since its creation.',
    'absolute_entitlement',
    NANOSECONDS,
  ),
  ageSeconds: gauge('age_seconds', 'Time since its creation.', 'container_age', NANOSECONDS),
  memoryUsageBytes: gauge('memory_bytes', 'Memory in use.', 'memory'),
  memoryQuotaBytes: gauge('memory_quota_bytes', 'Memory limit; 0: none.', 'memory_quota'),
  diskUsageBytes: gauge('disk_bytes', 'Written to its disk.', 'disk'),
  diskQuotaBytes: gauge('disk_quota_bytes', 'Disk limit; 0: none.', 'disk_quota'),
  rxBytes: gauge('received_bytes', 'Received.', 'rx_bytes'),
  txBytes: gauge('sent_bytes', 'Sent.', 'tx_bytes'),
  logBytesPerSecond: gauge('log_bytes_per_second', 'Written to its log since the last look.', 'log_rate'),
  logBytesPerSecondLimit: gauge('log_bytes_per_second_limit', 'Limit of that; -1: none.', 'log_rate_limit'),
});

type Told = keyof typeof CONTAINER_METRICS;

/** Tells of every container that exists, from now on. */
export function measureContainers(
  registry: MetricsRegistry,
  { executor, latest }: { executor: Pick<Executor, 'get'>; latest: () => ReadonlyMap<string, ContainerMetrics> },
): void {
  const gauges = Object.entries(CONTAINER_METRICS).map(
    ([told, spec]) => [told as Told, registry.gauge(spec)] as [Told, Gauge<(typeof CONTAINER_METRICS)[Told]>],
  );
  registry.onCollect(() => {
    const rows = [...latest().values()].flatMap((row) => {
      const labels = labelsOf(row, executor);
      return labels ? [{ row, labels }] : [];
    });
    for (const [told, one] of gauges) one.replace(rows.map(({ row, labels }) => [row[told], labels] as const));
  });
}

/** Undefined once it is gone. */
function labelsOf({ containerGuid, target }: ContainerMetrics, executor: Pick<Executor, 'get'>) {
  const tags = executor.get(containerGuid)?.metricTags;
  if (tags === undefined) return undefined;
  const instance = target?.target?.$case === 'instance' ? target.target.value : undefined;
  const taskGuid = target?.target?.$case === 'taskGuid' ? target.target.value : '';
  return {
    source_id: tags.source_id ?? (instance?.processGuid || taskGuid),
    instance_id: tags.instance_id ?? String(instance?.index ?? 0),
    process_guid: instance?.processGuid ?? '',
    task_guid: taskGuid,
    container_guid: containerGuid,
  };
}
