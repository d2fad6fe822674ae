import { ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import { DueQueue } from './due-queue.js';
import type { ActualLrpRow, CellRow, DesiredLrpRow, DomainRow, TaskRow } from './model.js';
import { OrderedKeys } from './ordered-keys.js';
import type { Policy } from './policy.js';

/** The records of one slot. */
export interface Slot {
  readonly ordinary: ActualLrpRow | undefined;
  /** Evacuating and suspect ones. */
  readonly others: readonly ActualLrpRow[];
}

const EMPTY_SLOT: Slot = { ordinary: undefined, others: [] };

/**
 * Everything the BBS knows, with the indexes that make a pass cost what changed. Only `Draft` writes here, and the loading
 * of a journal.
 */
export class State {
  readonly tasks = new Map<string, TaskRow>();
  readonly desiredLrps = new Map<string, DesiredLrpRow>();
  readonly domains = new Map<string, DomainRow>();
  readonly cells = new Map<string, CellRow>();
  /** Process guid → slots by index. */
  private readonly slots = new Map<string, Map<number, Slot>>();
  private readonly lrpsByCell = new Map<string, Set<ActualLrpRow>>();
  private readonly tasksByCell = new Map<string, Set<string>>();
  /** Cells that are there and to be emptied. */
  readonly drainingCells = new Set<string>();

  readonly taskOrder = new OrderedKeys();
  readonly desiredLrpOrder = new OrderedKeys();
  /** Process guids that have slots. */
  readonly slotOrder = new OrderedKeys();
  /** Keys of `dueKey`. */
  readonly due = new DueQueue();
  /** Guids of dead letters by when each became one. */
  readonly deadLetters = new DueQueue();
  actualLrpCount = 0;
  /** LRPs whose record the journal holds and could not decode: nothing may be concluded from its absence. */
  unreadableLrps: ReadonlySet<string> = new Set();

  constructor(readonly policy: Policy) {}

  slot(processGuid: string, index: number): Slot {
    return this.slots.get(processGuid)?.get(index) ?? EMPTY_SLOT;
  }

  /** Slots of a process, in order of index. */
  slotsOf(processGuid: string): [number, Slot][] {
    const slots = this.slots.get(processGuid);
    if (slots === undefined) return [];
    const entries = [...slots];
    return entries.length < 2 ? entries : entries.sort(([a], [b]) => a - b);
  }

  lrpsOnCell(cellId: string): ReadonlySet<ActualLrpRow> {
    return this.lrpsByCell.get(cellId) ?? new Set();
  }

  tasksOnCell(cellId: string): ReadonlySet<string> {
    return this.tasksByCell.get(cellId) ?? new Set();
  }

  /** Whether a client recently vouched for the domain. */
  isFresh(domain: string, now: number): boolean {
    const row = this.domains.get(domain);
    return row !== undefined && (row.expiresAtMs === 0 || row.expiresAtMs > now);
  }

  /** Whether an LRP without a record here is surely not desired: its domain is vouched for, and its record is not just unreadable. */
  isSurelyUndesired(processGuid: string, domain: string, now: number): boolean {
    return !this.desiredLrps.has(processGuid) && !this.unreadableLrps.has(processGuid) && this.isFresh(domain, now);
  }

  setTask(guid: string, before: TaskRow | undefined, after: TaskRow | undefined): void {
    if (before?.cellId) removeFrom(this.tasksByCell, before.cellId, guid);
    if (after?.cellId) addTo(this.tasksByCell, after.cellId, guid);
    setRow(this.tasks, this.taskOrder, guid, before, after);
    this.setDue(dueKey.task(guid), after && taskDueAt(after, this.policy));
    if (after !== undefined && isDeadLetter(after)) this.deadLetters.set(guid, after.callbackGivenUpAtMs);
    else this.deadLetters.clear(guid);
  }

  setDesiredLrp(processGuid: string, before: DesiredLrpRow | undefined, after: DesiredLrpRow | undefined): void {
    setRow(this.desiredLrps, this.desiredLrpOrder, processGuid, before, after);
  }

  setDomain(domain: string, after: DomainRow | undefined): void {
    if (after === undefined) this.domains.delete(domain);
    else this.domains.set(domain, after);
    this.setDue(dueKey.domain(domain), after?.expiresAtMs || undefined);
  }

  setCell(cellId: string, after: CellRow | undefined): void {
    if (after === undefined) this.cells.delete(cellId);
    else this.cells.set(cellId, after);
    if (after?.evacuating && !after.missing) this.drainingCells.add(cellId);
    else this.drainingCells.delete(cellId);
  }

  /** `before` and `after` may be of different generations: the instance has another part in its slot then. */
  setActualLrp(before: ActualLrpRow | undefined, after: ActualLrpRow | undefined): void {
    if (before !== undefined && after !== undefined && before.generation !== after.generation) {
      this.setActualLrp(before, undefined);
      this.setActualLrp(undefined, after);
      return;
    }
    const { processGuid, index, generation } = (after ?? before) as ActualLrpRow;
    if (before?.cellId) removeFrom(this.lrpsByCell, before.cellId, before);
    if (after?.cellId) addTo(this.lrpsByCell, after.cellId, after);
    if (before === undefined) this.actualLrpCount++;
    if (after === undefined) this.actualLrpCount--;
    this.setSlot(processGuid, index, replaceInSlot(this.slot(processGuid, index), generation, before, after));
    this.setDue(dueKey.actualLrp(processGuid, index, generation), after && actualLrpDueAt(after, this.policy));
  }

  private setSlot(processGuid: string, index: number, slot: Slot): void {
    let slots = this.slots.get(processGuid);
    const empty = slot.ordinary === undefined && slot.others.length === 0;
    if (empty) {
      slots?.delete(index);
      if (slots?.size === 0) {
        this.slots.delete(processGuid);
        this.slotOrder.delete(processGuid);
      }
      return;
    }
    if (slots === undefined) {
      slots = new Map();
      this.slots.set(processGuid, slots);
      this.slotOrder.add(processGuid);
    }
    slots.set(index, slot);
  }

  private setDue(key: string, at: number | undefined): void {
    if (at === undefined) this.due.clear(key);
    else this.due.set(key, at);
  }
}

/** Names of what can be due. */
export const dueKey = {
  task: (guid: string) => `t/${guid}`,
  actualLrp: (processGuid: string, index: number, generation: string) => `l/${processGuid}/${index}/${generation}`,
  domain: (domain: string) => `d/${domain}`,
  cell: (cellId: string) => `c/${cellId}`,
};

/** When a Task is to be looked at next; undefined: never by itself. */
export function taskDueAt(task: TaskRow, policy: Policy): number | undefined {
  switch (task.state) {
    case TaskState.PENDING:
      return Math.min(
        task.createdAtMs + policy.expirePendingTaskMs,
        Math.max(task.nextAttemptAtMs, 0) || task.updatedAtMs + policy.kickMs,
      );
    case TaskState.COMPLETED:
      return Math.min(completedTaskExpiresAt(task, policy), task.nextCallbackAtMs || Number.POSITIVE_INFINITY);
    case TaskState.RESOLVING:
      return task.updatedAtMs + policy.kickMs;
    default:
      return undefined;
  }
}

/** When a COMPLETED Task is forgotten or, while its callback is tried, becomes a dead letter. */
export function completedTaskExpiresAt(task: TaskRow, policy: Policy): number {
  if (task.callbackUrl === '') return task.firstCompletedAtMs + policy.expireCompletedTaskMs;
  if (task.callbackGivenUpAtMs > 0) return task.callbackGivenUpAtMs + policy.deadLetterRetentionMs;
  return (task.callbackRetriedAtMs || task.firstCompletedAtMs) + policy.callbackRetentionMs;
}

/** Whether it is kept although its callback is not tried any more, and nobody is just taking its result. */
export function isDeadLetter(task: TaskRow): boolean {
  return task.state === TaskState.COMPLETED && task.callbackGivenUpAtMs > 0;
}

/** When time alone ends the state a Task is in; undefined: never. */
export function taskExpiresAt(task: TaskRow, policy: Policy): number | undefined {
  switch (task.state) {
    case TaskState.PENDING:
      return task.createdAtMs + policy.expirePendingTaskMs;
    case TaskState.COMPLETED:
      return completedTaskExpiresAt(task, policy);
    default:
      return undefined;
  }
}

/** When an instance is to be looked at next; undefined: never by itself. */
export function actualLrpDueAt(row: ActualLrpRow, policy: Policy): number | undefined {
  if (row.retired) return row.sinceMs + policy.kickMs;
  switch (row.state) {
    case ActualLrpState.UNCLAIMED:
      return row.sinceMs + policy.kickMs;
    case ActualLrpState.CRASHED:
      return row.nextRestartAtMs || undefined;
    default:
      return undefined;
  }
}

function setRow<Row>(
  rows: Map<string, Row>,
  order: OrderedKeys,
  key: string,
  before: Row | undefined,
  after: Row | undefined,
): void {
  if (after === undefined) {
    rows.delete(key);
    if (before !== undefined) order.delete(key);
    return;
  }
  rows.set(key, after);
  if (before === undefined) order.add(key);
}

function replaceInSlot(
  slot: Slot,
  generation: string,
  before: ActualLrpRow | undefined,
  after: ActualLrpRow | undefined,
): Slot {
  if (generation === '') return { ordinary: after, others: slot.others };
  const others = slot.others.filter((row) => row !== before);
  if (after !== undefined) others.push(after);
  return { ordinary: slot.ordinary, others };
}

function addTo<Item>(index: Map<string, Set<Item>>, key: string, item: Item): void {
  const items = index.get(key);
  if (items === undefined) index.set(key, new Set([item]));
  else items.add(item);
}

function removeFrom<Item>(index: Map<string, Set<Item>>, key: string, item: Item): void {
  const items = index.get(key);
  if (items === undefined) return;
  items.delete(item);
  if (items.size === 0) index.delete(key);
}
