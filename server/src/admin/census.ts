import { ActualLrpPresence, ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import type { RowChange } from '../bbs/core/draft.js';
import { type ActualLrpRow, type DesiredLrpRow, isShown, type TaskRow } from '../bbs/core/model.js';
import { isDeadLetter, type State } from '../bbs/core/state.js';
import { owesCallback } from '../bbs/core/task-callback.js';

const PRESENCES = [ActualLrpPresence.ORDINARY, ActualLrpPresence.EVACUATING, ActualLrpPresence.SUSPECT] as const;
const LRP_STATES = [
  ActualLrpState.UNCLAIMED,
  ActualLrpState.CLAIMED,
  ActualLrpState.RUNNING,
  ActualLrpState.CRASHED,
] as const;
const TASK_STATES = [TaskState.PENDING, TaskState.RUNNING, TaskState.COMPLETED, TaskState.RESOLVING] as const;

/**
 * How many records of each sort there are. Counted once when a term begins and kept up to date by what becomes durable, so that
 * asking costs nothing however many there are, and equals what a listing would show.
 */
export class Census {
  desiredLrps = 0;
  desiredInstances = 0;
  callbacksWaiting = 0;
  deadLetters = 0;
  private readonly lrps = new Map<string, number>();
  private readonly tasks = new Map<TaskState, number>();
  /** Process guid → instances that are CRASHED. */
  private readonly crashed = new Map<string, number>();

  /** Everything in the state must be durable. */
  constructor(state: State) {
    for (const row of state.desiredLrps.values()) this.countDesired(row, 1);
    for (const row of state.tasks.values()) this.countTask(row, 1);
    for (const processGuid of state.slotOrder.after('')) {
      for (const [, { ordinary, others }] of state.slotsOf(processGuid)) {
        if (ordinary !== undefined) this.countLrp(ordinary, 1);
        for (const row of others) this.countLrp(row, 1);
      }
    }
  }

  /** Takes a durable change in. */
  take(change: RowChange): void {
    switch (change.kind) {
      case 'actual-lrp':
        if (change.before) this.countLrp(change.before, -1);
        if (change.after) this.countLrp(change.after, 1);
        return;
      case 'desired-lrp':
        if (change.before) this.countDesired(change.before, -1);
        if (change.after) this.countDesired(change.after, 1);
        return;
      case 'task':
        if (change.before) this.countTask(change.before, -1);
        if (change.after) this.countTask(change.after, 1);
        return;
    }
  }

  /** Processes of which an instance is CRASHED. */
  get crashing(): number {
    return this.crashed.size;
  }

  /** Every combination, also those of which there is none. */
  *instances(): Generator<[count: number, { presence: string; state: string }]> {
    for (const presence of PRESENCES) {
      for (const state of LRP_STATES) {
        const labels = { presence: nameOf(ActualLrpPresence[presence]), state: nameOf(ActualLrpState[state]) };
        yield [this.lrps.get(`${presence} ${state}`) ?? 0, labels];
      }
    }
  }

  *tasksByState(): Generator<[count: number, { state: string }]> {
    for (const state of TASK_STATES) yield [this.tasks.get(state) ?? 0, { state: nameOf(TaskState[state]) }];
  }

  private countLrp(row: ActualLrpRow, by: 1 | -1): void {
    if (!isShown(row)) return;
    const { presence, state, processGuid } = row;
    const key = `${presence} ${state}`;
    this.lrps.set(key, (this.lrps.get(key) ?? 0) + by);
    if (state !== ActualLrpState.CRASHED) return;
    const crashed = (this.crashed.get(processGuid) ?? 0) + by;
    if (crashed === 0) this.crashed.delete(processGuid);
    else this.crashed.set(processGuid, crashed);
  }

  private countDesired({ instances }: DesiredLrpRow, by: 1 | -1): void {
    this.desiredLrps += by;
    this.desiredInstances += by * instances;
  }

  private countTask(task: TaskRow, by: 1 | -1): void {
    this.tasks.set(task.state, (this.tasks.get(task.state) ?? 0) + by);
    if (hasEnded(task) && owesCallback(task)) this.callbacksWaiting += by;
    if (isDeadLetter(task)) this.deadLetters += by;
  }
}

function hasEnded({ state }: TaskRow): boolean {
  return state === TaskState.COMPLETED || state === TaskState.RESOLVING;
}

/** Enum names as label values. */
export function nameOf(enumName: string | undefined): string {
  return (enumName ?? 'unknown').toLowerCase();
}
