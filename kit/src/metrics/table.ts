import type { MetricAlias, MetricSpec } from './spec.js';

/** A Markdown table of metrics: name, type, labels, meaning. */
export function metricTable(specs: readonly MetricSpec[]): string {
  const rows = specs.map(({ name, kind, labels = [], help }) => [
    `\`${name}\``,
    kind,
    labels.map((label) => `\`${label}\``).join(', ') || '—',
    help,
  ]);
  return table(['Metric', 'Type', 'Labels', 'Meaning'], rows);
}

/** A Markdown table of the reference's names that metrics also go by; '' when there are none. */
export function aliasTable(specs: readonly MetricSpec[]): string {
  const rows = specs.flatMap((spec) => (spec.aliases ?? []).map((alias) => aliasRow(spec, alias)));
  return rows.length === 0 ? '' : table(['Alias', 'Is', 'Labels', 'Unit'], rows);
}

function aliasRow({ name }: MetricSpec, { name: alias, where = {}, not = {}, by = {}, scale, combine }: MetricAlias) {
  const conditions = [
    ...Object.entries(where).map(([label, value]) => `${label}="${value}"`),
    ...Object.entries(not).map(([label, value]) => `${label}!="${value}"`),
  ];
  const series = `${name}${conditions.length === 0 ? '' : `{${conditions.join(',')}}`}`;
  const labels = Object.keys(by).map((label) => `\`${label}\``);
  return [
    `\`${alias}\``,
    `${combine === 'max' ? 'largest' : 'sum'} of \`${series}\``,
    labels.join(', ') || '—',
    scale === undefined ? 'the same' : `× ${scale} (nanoseconds)`,
  ];
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}
