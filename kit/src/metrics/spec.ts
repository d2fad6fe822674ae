/**
 * What a metric is called and means, apart from its numbers, so that documentation can list what a program measures without
 * starting it.
 */
export interface MetricSpec {
  /** As Prometheus has it: unit at the end, `_total` for what only grows. */
  readonly name: string;
  readonly kind: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  readonly labels?: readonly string[];
  /** Upper bounds of a histogram, ascending, without the infinite one. */
  readonly buckets?: readonly number[];
  /** Names under which the reference's dashboards look for parts of it. */
  readonly aliases?: readonly MetricAlias[];
}

/** Part of a counter's or gauge's series under another name; series that fall together are combined. */
export interface MetricAlias {
  readonly name: string;
  /** Series with these label values. */
  readonly where?: Readonly<Record<string, string>>;
  /** No series with any of these label values. */
  readonly not?: Readonly<Record<string, string>>;
  /** Labels of the alias, each with the label of the metric that it is. */
  readonly by?: Readonly<Record<string, string>>;
  /** Factor between the units, such as 1e9 from seconds to nanoseconds. */
  readonly scale?: number;
  /** Default: sum. */
  readonly combine?: 'sum' | 'max';
}

/** Label values of a metric by name; a metric without labels has none. */
export type LabelsOf<S extends MetricSpec> = S extends { readonly labels: readonly (infer L extends string)[] }
  ? [labels: Readonly<Record<L, string>>]
  : [];

/** Seconds, for what usually takes from a millisecond to some seconds. */
export const LATENCY_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] as const;

/** From seconds to the reference's nanoseconds. */
export const NANOSECONDS = 1e9;

/** Keeps the exact labels of each metric, for the types of what writes them. */
export function defineMetrics<const T extends Readonly<Record<string, MetricSpec>>>(specs: T): T {
  return specs;
}
