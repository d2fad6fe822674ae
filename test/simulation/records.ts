import { ActualLrp, ActualLrpPresence } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { Cell } from '@rivera/gen/rivera/bbs/v1/cell';
import { DesiredLrp } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import type { Event } from '@rivera/gen/rivera/bbs/v1/event';
import type { SnapshotRecord } from '@rivera/gen/rivera/bbs/v1/event_service';
import { Task } from '@rivera/gen/rivera/bbs/v1/task';

/** A record of the BBS in the form in which records from different places are compared: what they say, whatever their order. */
export interface Item {
  /** Kind and name, unique among all. */
  readonly key: string;
  readonly text: string;
  /** Set for instances alone. */
  readonly instance?: ActualLrp;
}

export function taskItem(task: Task): Item {
  return { key: `task/${task.taskGuid}`, text: textOf(Task.toJSON(task)) };
}

export function desiredItem(lrp: DesiredLrp): Item {
  return { key: `desired/${lrp.processGuid}`, text: textOf(DesiredLrp.toJSON(lrp)) };
}

export function actualItem(instance: ActualLrp): Item {
  const generation = instance.presence === ActualLrpPresence.ORDINARY ? '' : `/${instance.instanceGuid}`;
  const key = `actual/${instance.key?.processGuid}/${instance.key?.index}${generation}`;
  return { key, text: textOf(ActualLrp.toJSON(instance)), instance };
}

/** Without what changes at every heartbeat and is no event. */
export function cellItem(cell: Cell): Item {
  const lasting = { ...cell, lastSeenAt: undefined, lrpInstances: 0, tasks: 0 };
  return { key: `cell/${cell.presence?.cellId}`, text: textOf(Cell.toJSON(lasting)) };
}

export function snapshotItem({ record }: SnapshotRecord): Item | undefined {
  switch (record?.$case) {
    case 'task':
      return taskItem(record.value);
    case 'desiredLrp':
      return desiredItem(record.value);
    case 'actualLrp':
      return actualItem(record.value);
    case 'cell':
      return cellItem(record.value);
    case undefined:
      return undefined;
  }
}

/** Both sides of an event; undefined for one that tells of a change without being it. */
export function sidesOf({ event }: Event): { before: Item | undefined; after: Item | undefined } | undefined {
  switch (event?.$case) {
    case 'taskCreated':
      return sides(taskItem, undefined, event.value.task);
    case 'taskChanged':
      return sides(taskItem, event.value.before, event.value.after);
    case 'taskRemoved':
      return sides(taskItem, event.value.task, undefined);
    case 'desiredLrpCreated':
      return sides(desiredItem, undefined, event.value.desiredLrp);
    case 'desiredLrpChanged':
      return sides(desiredItem, event.value.before, event.value.after);
    case 'desiredLrpRemoved':
      return sides(desiredItem, event.value.desiredLrp, undefined);
    case 'actualLrpCreated':
      return sides(actualItem, undefined, event.value.actualLrp);
    case 'actualLrpChanged':
      return sides(actualItem, event.value.before, event.value.after);
    case 'actualLrpRemoved':
      return sides(actualItem, event.value.actualLrp, undefined);
    case 'cellChanged':
      return sides(cellItem, event.value.before, event.value.after);
    case 'cellRemoved':
      return sides(cellItem, event.value.cell, undefined);
    case 'actualLrpCrashed':
    case undefined:
      return undefined;
  }
}

/** What two sets of records differ in, in words; at most a few. */
export function differences(
  a: { name: string; items: ReadonlyMap<string, string> },
  b: { name: string; items: ReadonlyMap<string, string> },
): string[] {
  const found: string[] = [];
  for (const key of new Set([...a.items.keys(), ...b.items.keys()])) {
    const [left, right] = [a.items.get(key), b.items.get(key)];
    if (left !== right) found.push(`${key}: ${a.name} has ${left ?? 'nothing'}, ${b.name} has ${right ?? 'nothing'}`);
    if (found.length === MOST_DIFFERENCES) break;
  }
  return found;
}

const MOST_DIFFERENCES = 5;

function sides<T>(make: (record: T) => Item, before: T | undefined, after: T | undefined) {
  return { before: before && make(before), after: after && make(after) };
}

/** Members in order of their names: maps say the same in any order. */
function textOf(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}
