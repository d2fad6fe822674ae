import { describe, expect, test } from 'vitest';
import { measureProcess, PROCESS_METRICS } from './metrics/process.js';
import { RecentMaxima } from './metrics/recent-maxima.js';
import { defineMetrics } from './metrics/spec.js';
import { aliasTable, metricTable } from './metrics/table.js';
import { MetricsRegistry } from './metrics.js';

const METRICS = defineMetrics({
  runs: {
    name: 'runs_total',
    kind: 'counter',
    help: 'Runs.',
    labels: ['kind', 'outcome'],
    aliases: [
      { name: 'Runs' },
      { name: 'GoodRuns', where: { outcome: 'ok' }, by: { what: 'kind' } },
      { name: 'BadRuns', not: { outcome: 'ok' } },
    ],
  },
  size: { name: 'size_bytes', kind: 'gauge', help: 'Size.', aliases: [{ name: 'SizeKb', scale: 0.001 }] },
  slowest: {
    name: 'slowest_seconds',
    kind: 'gauge',
    help: 'Slowest.',
    labels: ['kind'],
    aliases: [{ name: 'Slowest', combine: 'max', scale: 1e9 }],
  },
  seconds: { name: 'run_seconds', kind: 'histogram', help: 'Time.', labels: ['kind'], buckets: [0.1, 1] },
});

/** Lines of numbers, without those of the registry itself. */
function samples(registry: MetricsRegistry): string[] {
  return registry
    .text()
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#') && !line.startsWith('rivera_metrics_'));
}

describe('the text', () => {
  test('has name, labels and value of each series, with help and type before them', () => {
    const registry = new MetricsRegistry();
    const runs = registry.counter({ ...METRICS.runs, aliases: [] });
    runs.add(2, { kind: 'a', outcome: 'ok' });
    runs.add(1, { kind: 'a', outcome: 'ok' });
    expect(registry.text()).toContain('# HELP runs_total Runs.\n# TYPE runs_total counter\n');
    expect(samples(registry)).toEqual(['runs_total{kind="a",outcome="ok"} 3']);
  });

  test('keeps label values apart from its own syntax', () => {
    const registry = new MetricsRegistry();
    registry.gauge(METRICS.slowest).set(1, { kind: 'a"b\\c\nd' });
    expect(samples(registry)[0]).toBe('slowest_seconds{kind="a\\"b\\\\c\\nd"} 1');
  });

  test('has a 0 for what never happened, and what is infinite', () => {
    const registry = new MetricsRegistry();
    const size = registry.gauge(METRICS.size);
    expect(samples(registry)).toContain('size_bytes 0');
    size.set(Number.POSITIVE_INFINITY);
    expect(samples(registry)).toContain('size_bytes +Inf');
  });

  test('has a histogram as growing sums per bound', () => {
    const registry = new MetricsRegistry();
    const seconds = registry.histogram(METRICS.seconds);
    for (const value of [0.1, 0.5, 3]) seconds.observe(value, { kind: 'a' });
    expect(samples(registry)).toEqual([
      'run_seconds_bucket{kind="a",le="0.1"} 1',
      'run_seconds_bucket{kind="a",le="1"} 2',
      'run_seconds_bucket{kind="a",le="+Inf"} 3',
      'run_seconds_sum{kind="a"} 3.6',
      'run_seconds_count{kind="a"} 3',
    ]);
  });
});

test('an alias shows the part that it names, combined over the labels that it does not have', () => {
  const registry = new MetricsRegistry();
  const runs = registry.counter(METRICS.runs);
  runs.add(1, { kind: 'a', outcome: 'ok' });
  runs.add(2, { kind: 'b', outcome: 'ok' });
  runs.add(4, { kind: 'b', outcome: 'error' });
  const slowest = registry.gauge(METRICS.slowest);
  slowest.set(0.25, { kind: 'a' });
  slowest.set(0.5, { kind: 'b' });
  registry.gauge(METRICS.size).set(2000);
  const text = samples(registry);
  expect(text.filter((line) => /^[A-Z]/.test(line))).toEqual([
    'Runs 7',
    'GoodRuns{what="a"} 1',
    'GoodRuns{what="b"} 2',
    'BadRuns 4',
    'Slowest 500000000',
    'SizeKb 2',
  ]);
});

test('gauges are brought up to date when somebody asks, and forget what is gone', () => {
  const registry = new MetricsRegistry();
  const slowest = registry.gauge({ ...METRICS.slowest, aliases: [] });
  const now = new Map([
    ['a', 1],
    ['b', 2],
  ]);
  registry.onCollect(() => slowest.replace([...now].map(([kind, value]) => [value, { kind }] as const)));
  expect(samples(registry)).toEqual(['slowest_seconds{kind="a"} 1', 'slowest_seconds{kind="b"} 2']);
  now.delete('a');
  expect(samples(registry)).toEqual(['slowest_seconds{kind="b"} 2']);
});

test('a part that fails is counted and reported, and the rest is told', () => {
  const errors: unknown[] = [];
  const registry = new MetricsRegistry({ onError: (error) => errors.push(error) });
  registry.gauge(METRICS.size).set(5);
  registry.onCollect(() => {
    throw new Error('broken');
  });
  expect(registry.text()).toMatch(/^size_bytes 5$/m);
  expect(registry.text()).toMatch(/^rivera_metrics_collector_errors_total 2$/m);
  expect(errors).toHaveLength(2);
});

test('too many label values are counted instead of kept', () => {
  const registry = new MetricsRegistry();
  const slowest = registry.gauge({ ...METRICS.slowest, aliases: [] });
  for (let n = 0; n < 10_005; n++) slowest.set(n, { kind: String(n) });
  expect(samples(registry)).toHaveLength(10_000);
  expect(registry.text()).toMatch(/^rivera_metrics_series_dropped_total\{metric="slowest_seconds"\} 5$/m);
});

test('two metrics can not have one name, be it an alias', () => {
  const registry = new MetricsRegistry();
  registry.gauge(METRICS.size);
  expect(() => registry.gauge({ name: 'SizeKb', kind: 'gauge', help: '' })).toThrow('two metrics are called SizeKb');
});

test('recent maxima are of this minute and the one before', () => {
  let now = 0;
  const maxima = new RecentMaxima(() => now);
  maxima.note('a', 5);
  maxima.note('a', 3);
  now = 61_000;
  expect(maxima.entries()).toEqual([['a', 5]]);
  maxima.note('a', 4);
  now = 122_000;
  expect(maxima.entries()).toEqual([['a', 4]]);
  now = 500_000;
  expect(maxima.entries()).toEqual([]);
});

test('a process measures itself', () => {
  const registry = new MetricsRegistry();
  const stop = measureProcess(registry);
  try {
    const value = (name: string) => Number(new RegExp(`^${name} (.+)$`, 'm').exec(registry.text())?.[1]);
    expect(value('process_resident_memory_bytes')).toBeGreaterThan(10e6);
    expect(value('process_open_fds')).toBeGreaterThan(3);
    expect(value('OpenFileDescriptors')).toBeGreaterThan(3);
    const before = value('process_cpu_seconds_total');
    for (const until = performance.now() + 30; performance.now() < until; );
    expect(value('process_cpu_seconds_total')).toBeGreaterThan(before);
    expect(Math.abs(value('process_start_time_seconds') * 1000 - (Date.now() - process.uptime() * 1000))).toBeLessThan(
      2_000,
    );
  } finally {
    stop();
  }
});

test('the tables name everything', () => {
  const specs = [...Object.values(METRICS), ...Object.values(PROCESS_METRICS)];
  for (const { name } of specs) expect(metricTable(specs)).toContain(`| \`${name}\` |`);
  expect(aliasTable(specs)).toContain('| `GoodRuns` | sum of `runs_total{outcome="ok"}` | `what` | the same |');
  expect(aliasTable([METRICS.seconds])).toBe('');
});
