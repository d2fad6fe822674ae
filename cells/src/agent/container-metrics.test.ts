import { ContainerMetrics } from '@rivera/gen/rivera/rep/v1/container';
import { MetricsRegistry } from '@rivera/kit/metrics';
import { expect, it } from 'vitest';
import type { ContainerRecord } from '../executor/executor.js';
import { measureContainers } from './container-metrics.js';

it('each container has its numbers, under the names of the reference too, for as long as it is there', () => {
  const instance = { target: { $case: 'instance', value: { processGuid: 'web', index: 2 } } } as const;
  const task = { target: { $case: 'taskGuid', value: 'job' } } as const;
  const row = (containerGuid: string, more: object) =>
    [containerGuid, ContainerMetrics.fromPartial({ containerGuid, ...more })] as const;
  let latest = new Map([
    row('a', {
      target: instance,
      cpuUsageFraction: 0.5,
      ageSeconds: 3,
      memoryUsageBytes: 7,
      logBytesPerSecondLimit: -1,
    }),
    row('b', { target: task, txBytes: 9 }),
    row('gone', { target: task, txBytes: 1 }),
  ]);
  const tags: Record<string, Record<string, string>> = { a: { source_id: 'space-app' }, b: {} };
  const executor = {
    get: (guid: string) => tags[guid] && ({ metricTags: tags[guid] } as unknown as ContainerRecord),
  };
  const registry = new MetricsRegistry();
  measureContainers(registry, { executor, latest: () => latest });
  const text = registry.text();
  const a = '{source_id="space-app",instance_id="2",process_id="web"}';
  for (const line of [
    'rivera_container_cpu_cores{source_id="space-app",instance_id="2",process_guid="web",task_guid="",container_guid="a"} 0.5',
    `cpu${a} 50`,
    `container_age${a} 3000000000`,
    `memory${a} 7`,
    `log_rate_limit${a} -1`,
    'tx_bytes{source_id="job",instance_id="0",process_id=""} 9',
  ])
    expect(text.split('\n')).toContain(line);
  expect(text).not.toContain('gone');
  latest = new Map();
  expect(registry.text()).not.toContain('space-app');
});
