import type { Effect, PayloadChange, RowChange } from '../core/draft.js';
import {
  type ActualLrpRow,
  actualLrpKey,
  type CellRow,
  type DesiredLrpRow,
  type DomainRow,
  type TaskRow,
} from '../core/model.js';
import type { ActualLrpChange, JournalBatch } from '../journal/journal.js';

/** What one command did. Commands without changes share the revision of the one before. */
export interface Commit {
  readonly revision: number;
  readonly timeMs: number;
  readonly changes: readonly RowChange[];
  readonly payloads: readonly PayloadChange[];
  readonly effects: readonly Effect[];
}

/** Many commits as one transaction: of each row only the last image is written. */
export function toJournalBatch(epoch: number, baseRevision: number, commits: readonly Commit[]): JournalBatch {
  const tasks = new Map<string, TaskRow | null>();
  const desiredLrps = new Map<string, DesiredLrpRow | null>();
  const actualLrps = new Map<string, ActualLrpChange>();
  const domains = new Map<string, DomainRow | null>();
  const cells = new Map<string, CellRow | null>();
  const taskDefinitions = new Map<string, Uint8Array | null>();
  const runInfos = new Map<string, Uint8Array | null>();
  for (const commit of commits) {
    for (const change of commit.changes) {
      switch (change.kind) {
        case 'task':
          tasks.set(((change.after ?? change.before) as TaskRow).guid, change.after ?? null);
          break;
        case 'desired-lrp':
          desiredLrps.set(((change.after ?? change.before) as DesiredLrpRow).processGuid, change.after ?? null);
          break;
        case 'actual-lrp': {
          const { before } = change;
          const row = (change.after ?? before) as ActualLrpRow;
          if (before && before.generation !== row.generation)
            actualLrps.set(actualLrpKey(before), { row: before, deleted: true });
          actualLrps.set(actualLrpKey(row), { row, deleted: change.after === undefined });
          break;
        }
        case 'domain':
          domains.set(((change.after ?? change.before) as DomainRow).domain, change.after ?? null);
          break;
        case 'cell':
          cells.set(((change.after ?? change.before) as CellRow).cellId, change.after ?? null);
          break;
      }
    }
    for (const { kind, guid, payload } of commit.payloads) {
      (kind === 'task-definition' ? taskDefinitions : runInfos).set(guid, payload ?? null);
    }
  }
  const revision = (commits[commits.length - 1] as Commit).revision;
  return {
    epoch,
    baseRevision,
    revision,
    tasks,
    taskDefinitions,
    desiredLrps,
    runInfos,
    actualLrps,
    domains,
    cells,
  };
}
