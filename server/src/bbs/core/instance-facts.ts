import { ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { type MetricTagValue, MetricTagValue_DynamicValue } from '@rivera/gen/rivera/recipe/v1/container';
import type { Draft } from './draft.js';
import type { ActualLrpRow } from './model.js';

/** What an LRP says of its running instances and may change under them: internal routes and metric tags. */

/** Tells an instance of what it does not have yet (spec bbs §5.2, rules 13 and 14). Telling it twice is harmless. */
export function updateWhereItDiffers(draft: Draft, row: ActualLrpRow): void {
  const desired = draft.state.desiredLrps.get(row.processGuid);
  if (row.state !== ActualLrpState.RUNNING || row.retired || desired === undefined) return;
  const internalRoutes = internalRouteHostnames(desired.routes);
  const metricTags = resolveMetricTags(desired.metricTags, row);
  if (sameNames(internalRoutes, row.internalRoutes) && sameTags(metricTags, row.metricTags)) return;
  draft.effect({ kind: 'update-lrp', instance: row, internalRoutes, metricTags });
}

/** Names under `internal-router` of the routes. */
export function internalRouteHostnames(routes: Readonly<Record<string, string>>): string[] {
  const text = routes['internal-router'];
  if (text === undefined) return [];
  const parsed: unknown = JSON.parse(text);
  if (!Array.isArray(parsed)) return [];
  return parsed.flatMap((entry: unknown) => {
    const hostname = typeof entry === 'object' && entry !== null && 'hostname' in entry ? entry.hostname : undefined;
    return typeof hostname === 'string' ? [hostname] : [];
  });
}

/** Tags with what only the instance knows filled in. */
export function resolveMetricTags(
  tags: Readonly<Record<string, MetricTagValue>>,
  instance: { index: number; instanceGuid: string },
): Record<string, string> {
  const resolved: Record<string, string> = {};
  for (const [name, tag] of Object.entries(tags)) {
    if (tag.value?.$case === 'static') resolved[name] = tag.value.value;
    else if (tag.value?.value === MetricTagValue_DynamicValue.INDEX) resolved[name] = String(instance.index);
    else if (tag.value?.value === MetricTagValue_DynamicValue.INSTANCE_GUID) resolved[name] = instance.instanceGuid;
  }
  return resolved;
}

/** Whether two maps of tags say the same, in whatever order. */
export function sameTags(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): boolean {
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => a[key] === b[key]);
}

function sameNames(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((name, i) => name === b[i]);
}
