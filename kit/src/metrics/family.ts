import type { LabelsOf, MetricSpec } from './spec.js';

/** Series of one metric, at most; label values come from outside, and memory must not grow with them. */
const MAX_SERIES = 10_000;

/** One number with its labels. */
export interface Sample {
  readonly labels: readonly (readonly [name: string, value: string])[];
  readonly value: number;
}

interface Series {
  readonly labels: readonly (readonly [string, string])[];
  value: number;
}

/** All series of a counter or a gauge. */
class Family<S extends MetricSpec> {
  protected readonly series = new Map<string, Series>();

  constructor(
    readonly spec: S,
    /** Called for each number that is not kept because there are too many series. */
    private readonly overflow: () => void,
    private readonly maxSeries = MAX_SERIES,
  ) {
    // What never happened is 0, which can be told apart from what is not measured.
    if (spec.labels === undefined) this.at([] as unknown as LabelsOf<S>);
  }

  *samples(): Generator<Sample> {
    yield* this.series.values();
  }

  /** The series of these labels; undefined when there are too many. */
  protected at(given: LabelsOf<S>): Series | undefined {
    const labels = labelsIn(given);
    const key = keyOf(this.spec, labels);
    const known = this.series.get(key);
    if (known !== undefined) return known;
    if (this.series.size >= this.maxSeries) {
      this.overflow();
      return undefined;
    }
    const fresh = { labels: pairsOf(this.spec, labels), value: 0 };
    this.series.set(key, fresh);
    return fresh;
  }
}

/** Only grows. */
export class Counter<S extends MetricSpec> extends Family<S> {
  add(by: number, ...labels: LabelsOf<S>): void {
    const series = this.at(labels);
    if (series !== undefined) series.value += by;
  }
}

/** Is as large as something is now. */
export class Gauge<S extends MetricSpec> extends Family<S> {
  set(value: number, ...labels: LabelsOf<S>): void {
    const series = this.at(labels);
    if (series !== undefined) series.value = value;
  }

  /** These series and no others. */
  replace(entries: Iterable<readonly [value: number, ...labels: LabelsOf<S>]>): void {
    this.series.clear();
    for (const [value, ...labels] of entries) this.set(value, ...labels);
  }
}

interface Distribution {
  readonly labels: readonly (readonly [string, string])[];
  readonly counts: number[];
  count: number;
  sum: number;
}

/** How often how large. */
export class Histogram<S extends MetricSpec> {
  private readonly series = new Map<string, Distribution>();
  private readonly buckets: readonly number[];

  constructor(
    readonly spec: S,
    private readonly overflow: () => void,
    private readonly maxSeries = MAX_SERIES,
  ) {
    this.buckets = spec.buckets ?? [];
  }

  observe(value: number, ...given: LabelsOf<S>): void {
    const labels = labelsIn(given);
    const key = keyOf(this.spec, labels);
    let series = this.series.get(key);
    if (series === undefined) {
      if (this.series.size >= this.maxSeries) return this.overflow();
      series = { labels: pairsOf(this.spec, labels), counts: this.buckets.map(() => 0), count: 0, sum: 0 };
      this.series.set(key, series);
    }
    series.count++;
    series.sum += value;
    const bucket = this.buckets.findIndex((bound) => value <= bound);
    if (bucket >= 0) series.counts[bucket] = (series.counts[bucket] ?? 0) + 1;
  }

  /** Name endings and samples, as Prometheus writes them. */
  *samples(): Generator<Sample & { readonly ending: '_bucket' | '_sum' | '_count' }> {
    for (const { labels, counts, count, sum } of this.series.values()) {
      let below = 0;
      for (const [i, bound] of this.buckets.entries()) {
        below += counts[i] ?? 0;
        yield { ending: '_bucket', labels: [...labels, ['le', String(bound)]], value: below };
      }
      yield { ending: '_bucket', labels: [...labels, ['le', '+Inf']], value: count };
      yield { ending: '_sum', labels, value: sum };
      yield { ending: '_count', labels, value: count };
    }
  }
}

function labelsIn([labels = {}]: readonly Readonly<Record<string, string>>[]): Readonly<Record<string, string>> {
  return labels;
}

function keyOf(spec: MetricSpec, labels: Readonly<Record<string, string>>): string {
  const [first, second] = spec.labels ?? [];
  if (first === undefined) return '';
  if (second === undefined) return labels[first] ?? '';
  return (spec.labels ?? []).map((name) => labels[name] ?? '').join('\0');
}

function pairsOf(spec: MetricSpec, labels: Readonly<Record<string, string>>): [string, string][] {
  return (spec.labels ?? []).map((name) => [name, labels[name] ?? '']);
}
