import type { RowChange } from '../core/draft.js';
import type { ActualLrpRow, DesiredLrpRow, TaskRow } from '../core/model.js';

/** About how many bytes of a message are to be filled: well below what any client receives. */
export const PART_BYTES = 1024 * 1024;

/** Times, numbers, identifiers and what protobuf needs around them. */
const BASE_BYTES = 512;

/** About how many bytes a record takes in a message, never much too few. */
export function weightOfTask(row: TaskRow): number {
  return BASE_BYTES + 3 * (row.result.length + row.annotation.length) + weightOfTags(row.requirements.placementTags);
}

export function weightOfDesiredLrp(row: DesiredLrpRow): number {
  let bytes = BASE_BYTES + 3 * row.annotation.length + 2 * weightOfTags(row.requirements.placementTags);
  for (const [name, document] of Object.entries(row.routes)) bytes += 3 * (name.length + document.length);
  for (const [name, tag] of Object.entries(row.metricTags))
    bytes += 3 * (name.length + String(tag.value?.value).length);
  return bytes;
}

export function weightOfActualLrp(row: ActualLrpRow): number {
  let bytes = BASE_BYTES + 3 * (row.crashReason.length + row.placementError.length) + weightOfTags(row.internalRoutes);
  for (const [name, value] of Object.entries(row.metricTags)) bytes += 3 * (name.length + value.length);
  return bytes + 32 * (row.netInfo?.ports.length ?? 0) + 256 * row.obstacles.length;
}

/** An event carries the row as it was and as it is. */
export function weightOfChange({ kind, before, after }: RowChange): number {
  const of = (row: typeof before): number => {
    if (row === undefined) return 0;
    switch (kind) {
      case 'task':
        return weightOfTask(row as TaskRow);
      case 'desired-lrp':
        return weightOfDesiredLrp(row as DesiredLrpRow);
      case 'actual-lrp':
        return weightOfActualLrp(row as ActualLrpRow);
      default:
        return 4 * BASE_BYTES;
    }
  };
  return of(before) + of(after);
}

export function weightOfTags(tags: readonly string[]): number {
  return tags.reduce((bytes, tag) => bytes + 8 + 3 * tag.length, 0);
}
