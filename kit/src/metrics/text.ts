import type { Sample } from './family.js';
import type { MetricAlias, MetricSpec } from './spec.js';

/** Of the text that follows here. */
export const METRICS_CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/** One metric in the text format of Prometheus. */
export function* linesOf(
  spec: Pick<MetricSpec, 'name' | 'kind' | 'help'>,
  samples: Iterable<Sample & { readonly ending?: string }>,
): Generator<string> {
  yield `# HELP ${spec.name} ${spec.help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')}`;
  yield `# TYPE ${spec.name} ${spec.kind}`;
  for (const { ending = '', labels, value } of samples) {
    const inside = labels.map(([name, text]) => `${name}="${escaped(text)}"`).join(',');
    yield `${spec.name}${ending}${inside === '' ? '' : `{${inside}}`} ${numberText(value)}`;
  }
}

/** What an alias shows of a metric's series. */
export function aliasSamples(alias: MetricAlias, samples: Iterable<Sample>): Sample[] {
  const { where = {}, not = {}, by = {}, scale = 1, combine = 'sum' } = alias;
  const combined = new Map<string, { labels: [string, string][]; value: number }>();
  for (const { labels, value } of samples) {
    const given = new Map(labels);
    if (Object.entries(where).some(([name, wanted]) => given.get(name) !== wanted)) continue;
    if (Object.entries(not).some(([name, unwanted]) => given.get(name) === unwanted)) continue;
    const own = Object.entries(by).map(([name, source]): [string, string] => [name, given.get(source) ?? '']);
    const key = own.map(([, text]) => text).join('\0');
    const scaled = value * scale;
    const known = combined.get(key);
    if (known === undefined) combined.set(key, { labels: own, value: scaled });
    else known.value = combine === 'max' ? Math.max(known.value, scaled) : known.value + scaled;
  }
  return [...combined.values()];
}

function escaped(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}

function numberText(value: number): string {
  if (Number.isFinite(value)) return String(value);
  return Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf';
}
