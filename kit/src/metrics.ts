import { Counter, Gauge, Histogram } from './metrics/family.js';
import { defineMetrics, type MetricSpec } from './metrics/spec.js';
import { aliasSamples, linesOf } from './metrics/text.js';

export type { Counter, Gauge, Histogram } from './metrics/family.js';
export { defineMetrics, LATENCY_SECONDS, type MetricAlias, type MetricSpec, NANOSECONDS } from './metrics/spec.js';
export { METRICS_CONTENT_TYPE } from './metrics/text.js';

/** Of the registry itself. */
export const REGISTRY_METRICS = defineMetrics({
  seriesDropped: {
    name: 'rivera_metrics_series_dropped_total',
    kind: 'counter',
    help: 'Numbers that were not kept, because their metric has too many different label values.',
    labels: ['metric'],
  },
  collectorErrors: {
    name: 'rivera_metrics_collector_errors_total',
    kind: 'counter',
    help: 'Parts of the program that failed when they were asked for their numbers.',
  },
});

/**
 * The metrics of one program, in the text format of Prometheus. Counters and histograms are written as things happen; what can
 * be looked up is looked up when somebody asks (`onCollect`).
 */
export class MetricsRegistry {
  readonly #families: (Counter<MetricSpec> | Gauge<MetricSpec> | Histogram<MetricSpec>)[] = [];
  readonly #names = new Set<string>();
  readonly #collectors: (() => void)[] = [];
  readonly #dropped: Counter<typeof REGISTRY_METRICS.seriesDropped>;
  readonly #errors: Counter<typeof REGISTRY_METRICS.collectorErrors>;

  constructor(private readonly options: { onError?: (error: unknown) => void } = {}) {
    this.#dropped = this.counter(REGISTRY_METRICS.seriesDropped);
    this.#errors = this.counter(REGISTRY_METRICS.collectorErrors);
  }

  counter<S extends MetricSpec & { readonly kind: 'counter' }>(spec: S): Counter<S> {
    return this.#add(spec, new Counter(spec, () => this.#overflow(spec)));
  }

  gauge<S extends MetricSpec & { readonly kind: 'gauge' }>(spec: S): Gauge<S> {
    return this.#add(spec, new Gauge(spec, () => this.#overflow(spec)));
  }

  histogram<S extends MetricSpec & { readonly kind: 'histogram' }>(spec: S): Histogram<S> {
    return this.#add(spec, new Histogram(spec, () => this.#overflow(spec)));
  }

  /** Runs each time that somebody wants the numbers, to bring gauges up to date. It must not take long. */
  onCollect(collect: () => void): void {
    this.#collectors.push(collect);
  }

  /** Names of all metrics and aliases. */
  names(): string[] {
    return [...this.#names];
  }

  /** Everything as of now. A part that fails is left as it was and counted; the rest is still told. */
  text(): string {
    for (const collect of this.#collectors) {
      try {
        collect();
      } catch (error) {
        this.#errors.add(1);
        this.options.onError?.(error);
      }
    }
    const lines: string[] = [];
    for (const family of this.#families) {
      const { spec } = family;
      lines.push(...linesOf(spec, family.samples()));
      for (const alias of spec.aliases ?? []) {
        const help = `Alias of ${spec.name}, for dashboards of the reference.`;
        lines.push(...linesOf({ name: alias.name, kind: spec.kind, help }, aliasSamples(alias, family.samples())));
      }
    }
    return `${lines.join('\n')}\n`;
  }

  #add<F extends Counter<MetricSpec> | Gauge<MetricSpec> | Histogram<MetricSpec>>(spec: MetricSpec, family: F): F {
    for (const name of [spec.name, ...(spec.aliases ?? []).map((alias) => alias.name)]) {
      if (this.#names.has(name)) throw new Error(`two metrics are called ${name}`);
      this.#names.add(name);
    }
    this.#families.push(family);
    return family;
  }

  #overflow(spec: MetricSpec): void {
    this.#dropped.add(1, { metric: spec.name });
  }
}
