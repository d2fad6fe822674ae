import { isDeepStrictEqual } from 'node:util';
import { type ActualLrp, ActualLrpPresence, ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import type { Event } from '@rivera/gen/rivera/bbs/v1/event';
import { TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import { actualLrpToProto, cellToProto, desiredLrpToProto, taskToProto } from '../api/to-proto.js';
import { eventsOf } from '../watch/events.js';
import type { RowChange } from './draft.js';
import { type ActualLrpRow, actualLrpKey, isShown } from './model.js';
import { completedTaskExpiresAt, dueKey, isDeadLetter, type State } from './state.js';

/** What must hold whatever happened, as checks that throw; for tests that make histories. */

type Row = NonNullable<RowChange['after']>;

/** Every row by kind and name, as the indexes that lead to it show it. */
export function rowsOf(state: State): Map<string, Row> {
  const rows = new Map<string, Row>();
  for (const row of state.tasks.values()) rows.set(`task/${row.guid}`, row);
  for (const row of state.desiredLrps.values()) rows.set(`desired-lrp/${row.processGuid}`, row);
  for (const row of state.domains.values()) rows.set(`domain/${row.domain}`, row);
  for (const row of state.cells.values()) rows.set(`cell/${row.cellId}`, row);
  for (const row of instancesOf(state)) rows.set(`actual-lrp/${actualLrpKey(row)}`, row);
  return rows;
}

export function instancesOf(state: State): ActualLrpRow[] {
  return [...state.slotOrder.after('')].flatMap((processGuid) =>
    state.slotsOf(processGuid).flatMap(([, { ordinary, others }]) => (ordinary ? [ordinary, ...others] : [...others])),
  );
}

/** The names of the row that a change is about, before and after it: an instance may get another part in its slot. */
export function keysOf({ kind, before, after }: RowChange): [before: string, after: string] {
  return [keyOf(kind, (before ?? after) as Row), keyOf(kind, (after ?? before) as Row)];
}

function keyOf(kind: RowChange['kind'], row: Row): string {
  switch (kind) {
    case 'task':
      return `task/${'guid' in row ? row.guid : ''}`;
    case 'actual-lrp':
      return `actual-lrp/${actualLrpKey(row as ActualLrpRow)}`;
    case 'desired-lrp':
      return `desired-lrp/${'processGuid' in row ? row.processGuid : ''}`;
    case 'domain':
      return `domain/${'domain' in row ? row.domain : ''}`;
    case 'cell':
      return `cell/${'cellId' in row ? row.cellId : ''}`;
  }
}

/** Indexes say what the rows say. */
export function checkIndexes(state: State, cellIds: readonly string[]): void {
  const instances = instancesOf(state);
  must(
    state.actualLrpCount === instances.length,
    `${state.actualLrpCount} instances are counted, ${instances.length} there`,
  );
  for (const cellId of ['', ...cellIds]) {
    const onCell = instances.filter((row) => row.cellId === cellId && cellId !== '');
    const indexed = state.lrpsOnCell(cellId);
    must(
      indexed.size === onCell.length && onCell.every((row) => indexed.has(row)),
      `the index of cell "${cellId}" has other instances than the rows`,
    );
    const tasks = [...state.tasks.values()].filter((task) => task.cellId === cellId && cellId !== '');
    const indexedTasks = state.tasksOnCell(cellId);
    must(
      indexedTasks.size === tasks.length && tasks.every(({ guid }) => indexedTasks.has(guid)),
      `the index of cell "${cellId}" has other tasks than the rows`,
    );
  }
  const letters = [...state.tasks.values()].filter(isDeadLetter);
  must(
    state.deadLetters.size === letters.length &&
      letters.every(({ guid, callbackGivenUpAtMs }) => state.deadLetters.at(guid) === callbackGivenUpAtMs),
    'the index of dead letters has others than the rows',
  );
  must(letters.length <= state.policy.maxDeadLetters, `${letters.length} dead letters are kept`);
  mustList('tasks', state.taskOrder.after(''), state.tasks.keys());
  mustList('desired LRPs', state.desiredLrpOrder.after(''), state.desiredLrps.keys());
  mustList('processes', state.slotOrder.after(''), new Set(instances.map(({ processGuid }) => processGuid)));
}

/** Whatever time has to look at is in the queue, early enough, and nothing else is. */
export function checkDue(state: State, now: number): void {
  const { policy, due } = state;
  let expected = 0;
  const mustBeDue = (key: string, latest: number) => {
    expected++;
    const at = due.at(key);
    must(at !== undefined && at <= latest, `${key} is due at ${at}, not before ${latest} (now ${now})`);
  };
  const { kickMs } = policy;
  for (const task of state.tasks.values()) {
    const key = dueKey.task(task.guid);
    const limit = (ms: number) =>
      must(ms + kickMs > now || (due.at(key) ?? now) <= now, `task ${task.guid} is kept beyond its limit`);
    if (task.state === TaskState.PENDING) {
      mustBeDue(key, Math.max(now, task.nextAttemptAtMs) + kickMs);
      limit(task.createdAtMs + policy.expirePendingTaskMs);
    } else if (task.state === TaskState.COMPLETED) {
      mustBeDue(key, Math.max(now + kickMs, completedTaskExpiresAt(task, policy)));
      limit(completedTaskExpiresAt(task, policy));
    } else if (task.state === TaskState.RESOLVING) mustBeDue(key, now + kickMs);
  }
  for (const row of instancesOf(state)) {
    const key = dueKey.actualLrp(row.processGuid, row.index, row.generation);
    if (row.retired || row.state === ActualLrpState.UNCLAIMED) mustBeDue(key, now + kickMs);
    else if (row.state === ActualLrpState.CRASHED && row.nextRestartAtMs > 0) mustBeDue(key, row.nextRestartAtMs);
  }
  for (const { domain, expiresAtMs } of state.domains.values()) {
    if (expiresAtMs !== 0) mustBeDue(dueKey.domain(domain), expiresAtMs);
  }
  for (const { cellId, missing, sinceMs } of state.cells.values()) {
    // Once its time is over it is kept for the sake of instances that may still be up, and looked at again.
    const forgotten = sinceMs + policy.forgetCellMs;
    const latest = forgotten > now ? forgotten : now + policy.forgetCellMs;
    mustBeDue(dueKey.cell(cellId), missing ? latest : now + policy.presenceTtlMs);
  }
  must(due.size === expected, `${due.size} things are due, ${expected} rows have a reason`);
}

/** What a row may look like at all. */
export function checkRows(state: State): void {
  const absent = (cellId: string) => cellId !== '' && state.cells.get(cellId)?.missing !== false;
  for (const row of instancesOf(state)) {
    const name = `${actualLrpKey(row)}, ${ActualLrpState[row.state]},`;
    const onCell = row.state === ActualLrpState.CLAIMED || row.state === ActualLrpState.RUNNING;
    must(onCell === (row.cellId !== ''), `${name} has cell "${row.cellId}"`);
    must(onCell === (row.instanceGuid !== ''), `${name} has container "${row.instanceGuid}"`);
    must((row.state === ActualLrpState.RUNNING) === (row.netInfo !== undefined), `${name} has address ${row.netInfo}`);
    must(onCell || !row.retired, `${name} is to stop and has no container`);
    const ordinary = row.generation === '';
    must(!ordinary || !absent(row.cellId), `${name} is on cell "${row.cellId}", which is missing`);
    must(ordinary || row.generation === row.instanceGuid, `${name} is not that of container ${row.instanceGuid}`);
    must(ordinary === (row.presence === ActualLrpPresence.ORDINARY), `${name} is ${ActualLrpPresence[row.presence]}`);
    must(ordinary || state.cells.has(row.cellId), `${name} is on cell "${row.cellId}", which is forgotten`);
    const evacuates = row.presence === ActualLrpPresence.EVACUATING && !row.retired;
    must(!evacuates || !absent(row.cellId), `${name} is evacuating on cell "${row.cellId}", which is missing`);
    if (!ordinary && !row.retired) {
      const successor = state.slot(row.processGuid, row.index).ordinary;
      must(successor?.state !== ActualLrpState.RUNNING, `${name} is there beside the one that runs`);
    }
  }
  for (const task of state.tasks.values()) {
    const name = `task ${task.guid}, ${TaskState[task.state]},`;
    must((task.state === TaskState.RUNNING) === (task.cellId !== ''), `${name} has cell "${task.cellId}"`);
    must(!absent(task.cellId), `${name} is on cell "${task.cellId}", which is missing`);
    const ended = task.state === TaskState.COMPLETED || task.state === TaskState.RESOLVING;
    // Cells of the model complete with their execution's name as the result.
    must(task.result === '' || task.result === task.executionGuid, `${name} was completed by ${task.result}`);
    must(ended === task.firstCompletedAtMs > 0, `${name} ended at ${task.firstCompletedAtMs}`);
    const { nextCallbackAtMs, callbackGivenUpAtMs } = task;
    if (callbackGivenUpAtMs > 0) must(ended && nextCallbackAtMs === 0, `${name} was given up and is still called back`);
    must(
      ended && task.callbackUrl !== '' && callbackGivenUpAtMs === 0 ? nextCallbackAtMs > 0 : nextCallbackAtMs === 0,
      `${name} is called back at ${nextCallbackAtMs}`,
    );
  }
  for (const desired of state.desiredLrps.values()) {
    for (let index = 0; index < desired.instances; index++) {
      const { ordinary } = state.slot(desired.processGuid, index);
      must(ordinary !== undefined, `${desired.processGuid}/${index} is wanted and has no record`);
      if (ordinary && !ordinary.retired) {
        must(
          ordinary.domain === desired.domain,
          `${desired.processGuid}/${index} is of domain ${ordinary.domain}, its LRP of ${desired.domain}`,
        );
      }
    }
  }
}

/** The records that a watcher has: a snapshot, and the events of every change after it. */
export class WatcherModel {
  private readonly records: Map<string, unknown>;

  constructor(state: State) {
    this.records = recordsOf(state);
  }

  take(change: RowChange, timeMs: number): void {
    for (const event of eventsOf(change, { revision: 1, timeMs })) this.apply(event);
  }

  check(state: State): void {
    const now = recordsOf(state);
    for (const key of new Set([...now.keys(), ...this.records.keys()])) {
      must(isDeepStrictEqual(this.records.get(key), now.get(key)), `a watcher has another record of ${key}`);
    }
  }

  private apply({ event }: Event): void {
    switch (event?.$case) {
      case 'taskCreated':
        return this.set(`task/${event.value.task?.taskGuid}`, undefined, event.value.task);
      case 'taskChanged':
        return this.set(`task/${event.value.after?.taskGuid}`, event.value.before, event.value.after);
      case 'taskRemoved':
        return this.set(`task/${event.value.task?.taskGuid}`, event.value.task, undefined);
      case 'desiredLrpCreated':
        return this.set(`desired/${event.value.desiredLrp?.processGuid}`, undefined, event.value.desiredLrp);
      case 'desiredLrpChanged':
        return this.set(`desired/${event.value.after?.processGuid}`, event.value.before, event.value.after);
      case 'desiredLrpRemoved':
        return this.set(`desired/${event.value.desiredLrp?.processGuid}`, event.value.desiredLrp, undefined);
      case 'actualLrpCreated':
        return this.set(slotName(event.value.actualLrp), undefined, event.value.actualLrp);
      case 'actualLrpChanged':
        return this.move(slotName(event.value.before), slotName(event.value.after), event.value);
      case 'actualLrpRemoved':
        return this.set(slotName(event.value.actualLrp), event.value.actualLrp, undefined);
      case 'cellChanged':
        return this.set(`cell/${event.value.after?.presence?.cellId}`, event.value.before, event.value.after);
      case 'cellRemoved':
        return this.set(`cell/${event.value.cell?.presence?.cellId}`, event.value.cell, undefined);
      case 'actualLrpCrashed':
      case undefined:
        return;
    }
  }

  private move(from: string, to: string, { before, after }: { before: unknown; after: unknown }): void {
    if (from === to) return this.set(to, before, after);
    this.set(from, before, undefined);
    this.set(to, undefined, after);
  }

  private set(key: string, before: unknown, after: unknown): void {
    must(
      isDeepStrictEqual(this.records.get(key), before),
      `an event changes another record of ${key} than a watcher has`,
    );
    if (after === undefined) this.records.delete(key);
    else this.records.set(key, after);
  }
}

function recordsOf(state: State): Map<string, unknown> {
  const records = new Map<string, unknown>();
  for (const row of state.tasks.values()) records.set(`task/${row.guid}`, taskToProto(row));
  for (const row of state.desiredLrps.values()) records.set(`desired/${row.processGuid}`, desiredLrpToProto(row));
  for (const row of instancesOf(state).filter(isShown)) {
    const record = actualLrpToProto(row);
    records.set(slotName(record), record);
  }
  const facts = { lastSeenMs: 0, lrpInstances: 0, tasks: 0 };
  for (const row of state.cells.values()) records.set(`cell/${row.cellId}`, cellToProto(row, facts));
  return records;
}

function slotName(record: ActualLrp | undefined): string {
  const generation = record?.presence === ActualLrpPresence.ORDINARY ? '' : record?.instanceGuid;
  return `actual/${record?.key?.processGuid}/${record?.key?.index}/${generation}`;
}

function mustList(what: string, listed: Iterable<string>, rows: Iterable<string>): void {
  const [list, keys] = [[...listed], [...rows].sort()];
  must(
    list.length === keys.length && list.every((key, i) => key === keys[i]),
    `the list of ${what} is ${list}, not ${keys}`,
  );
}

export function must(holds: boolean, otherwise: string): asserts holds {
  if (!holds) throw new Error(`invariant broken: ${otherwise}`);
}
