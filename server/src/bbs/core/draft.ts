import type { ActualLrpRow, CellRow, DesiredLrpRow, DomainRow, TaskRow } from './model.js';
import type { Policy } from './policy.js';
import type { State } from './state.js';

/** The change of one row: `before` undefined: it is new; `after` undefined: it is gone. */
export type RowChange =
  | { kind: 'task'; before: TaskRow | undefined; after: TaskRow | undefined }
  | { kind: 'desired-lrp'; before: DesiredLrpRow | undefined; after: DesiredLrpRow | undefined }
  | { kind: 'actual-lrp'; before: ActualLrpRow | undefined; after: ActualLrpRow | undefined }
  | { kind: 'domain'; before: DomainRow | undefined; after: DomainRow | undefined }
  | { kind: 'cell'; before: CellRow | undefined; after: CellRow | undefined };

/** A payload that lives in the journal alone; `undefined` deletes it. */
export type PayloadChange =
  | { kind: 'task-definition'; guid: string; payload: Uint8Array | undefined }
  | { kind: 'run-info'; guid: string; payload: Uint8Array | undefined };

/** A container in a slot; every `ActualLrpRow` on a cell is one. */
export interface InstanceRef {
  readonly processGuid: string;
  readonly index: number;
  readonly domain: string;
  readonly instanceGuid: string;
  readonly cellId: string;
}

/** What is to be done outside once the changes are durable. */
export type Effect =
  | { kind: 'auction-lrp'; processGuid: string; index: number }
  | { kind: 'auction-task'; taskGuid: string }
  | { kind: 'stop-lrp'; instance: InstanceRef; reason: string }
  | { kind: 'update-lrp'; instance: InstanceRef; internalRoutes: string[]; metricTags: Record<string, string> }
  | { kind: 'cancel-task'; cellId: string; taskGuid: string; executionGuid: string }
  | { kind: 'evacuate-cell'; cellId: string }
  | { kind: 'end-session'; cellId: string; reason: string }
  | { kind: 'callback'; taskGuid: string };

/** What a decision may use besides the state: nothing here has effects. */
export interface DecisionContext {
  readonly now: number;
  /** A short random name for a new record's modification tag. */
  newEpoch(): string;
}

/**
 * One command's view of the state, and what it did to it. Writes show at once; `rollback` takes all of them back, so a decision
 * may throw at any point and nothing is half applied.
 */
export class Draft {
  readonly changes: RowChange[] = [];
  readonly payloads: PayloadChange[] = [];
  readonly effects: Effect[] = [];
  /** Times that were set otherwise than by a row, with the number of changes before them. */
  private readonly looks: { key: string; before: number | undefined; changes: number }[] = [];
  readonly policy: Policy;
  readonly now: number;

  constructor(
    readonly state: State,
    private readonly context: DecisionContext,
  ) {
    this.policy = state.policy;
    this.now = context.now;
  }

  newEpoch(): string {
    return this.context.newEpoch();
  }

  putTask(after: TaskRow): TaskRow {
    return this.setTask(after.guid, after) as TaskRow;
  }

  deleteTask(guid: string): void {
    this.setTask(guid, undefined);
    this.payloads.push({ kind: 'task-definition', guid, payload: undefined });
  }

  putTaskDefinition(guid: string, payload: Uint8Array): void {
    this.payloads.push({ kind: 'task-definition', guid, payload });
  }

  putDesiredLrp(after: DesiredLrpRow): DesiredLrpRow {
    return this.setDesiredLrp(after.processGuid, after) as DesiredLrpRow;
  }

  deleteDesiredLrp(processGuid: string): void {
    this.setDesiredLrp(processGuid, undefined);
    this.payloads.push({ kind: 'run-info', guid: processGuid, payload: undefined });
  }

  putRunInfo(processGuid: string, payload: Uint8Array): void {
    this.payloads.push({ kind: 'run-info', guid: processGuid, payload });
  }

  /** Replaces `before`, or adds when it is undefined. */
  putActualLrp(before: ActualLrpRow | undefined, after: ActualLrpRow): ActualLrpRow {
    this.state.setActualLrp(before, after);
    this.changes.push({ kind: 'actual-lrp', before, after });
    return after;
  }

  /** One and the same instance gets another part in its slot (`generation`); nobody sees it go in between. */
  moveActualLrp(before: ActualLrpRow, after: ActualLrpRow): ActualLrpRow {
    return this.putActualLrp(before, after);
  }

  deleteActualLrp(before: ActualLrpRow): void {
    this.state.setActualLrp(before, undefined);
    this.changes.push({ kind: 'actual-lrp', before, after: undefined });
  }

  putDomain(after: DomainRow): DomainRow {
    this.changes.push({ kind: 'domain', before: this.state.domains.get(after.domain), after });
    this.state.setDomain(after.domain, after);
    return after;
  }

  deleteDomain(domain: string): void {
    this.changes.push({ kind: 'domain', before: this.state.domains.get(domain), after: undefined });
    this.state.setDomain(domain, undefined);
  }

  putCell(after: CellRow): CellRow {
    this.changes.push({ kind: 'cell', before: this.state.cells.get(after.cellId), after });
    this.state.setCell(after.cellId, after);
    return after;
  }

  deleteCell(cellId: string): void {
    this.changes.push({ kind: 'cell', before: this.state.cells.get(cellId), after: undefined });
    this.state.setCell(cellId, undefined);
  }

  effect(effect: Effect): void {
    this.effects.push(effect);
  }

  /** Has something looked at at another time than its row says (keys of `dueKey`); the next change of the row overrules it. */
  lookAgainAt(key: string, at: number): void {
    this.looks.push({ key, before: this.state.due.at(key), changes: this.changes.length });
    this.state.due.set(key, at);
  }

  /** Takes everything back. A row that was to be looked at later than it says itself is looked at earlier, which is harmless. */
  rollback(): void {
    for (let i = this.changes.length; i >= 0; i--) {
      for (let look = this.looks.at(-1); look?.changes === i; look = this.looks.at(-1)) {
        if (look.before === undefined) this.state.due.clear(look.key);
        else this.state.due.set(look.key, look.before);
        this.looks.pop();
      }
      if (i > 0) undo(this.state, this.changes[i - 1] as RowChange);
    }
    this.changes.length = 0;
    this.payloads.length = 0;
    this.effects.length = 0;
  }

  private setTask(guid: string, after: TaskRow | undefined): TaskRow | undefined {
    const before = this.state.tasks.get(guid);
    this.state.setTask(guid, before, after);
    this.changes.push({ kind: 'task', before, after });
    return after;
  }

  private setDesiredLrp(processGuid: string, after: DesiredLrpRow | undefined): DesiredLrpRow | undefined {
    const before = this.state.desiredLrps.get(processGuid);
    this.state.setDesiredLrp(processGuid, before, after);
    this.changes.push({ kind: 'desired-lrp', before, after });
    return after;
  }
}

function undo(state: State, change: RowChange): void {
  switch (change.kind) {
    case 'task':
      return state.setTask((change.after ?? change.before)?.guid as string, change.after, change.before);
    case 'desired-lrp':
      return state.setDesiredLrp((change.after ?? change.before)?.processGuid as string, change.after, change.before);
    case 'actual-lrp':
      return state.setActualLrp(change.after, change.before);
    case 'domain':
      return state.setDomain((change.after ?? change.before)?.domain as string, change.before);
    case 'cell':
      return state.setCell((change.after ?? change.before)?.cellId as string, change.before);
  }
}
