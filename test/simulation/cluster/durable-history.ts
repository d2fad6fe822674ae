import type { ContainerRecord } from '@rivera/cells/executor/executor';
import { ActualLrpPresence, ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import type { ActualLrpRow, TaskRow } from '@rivera/server/bbs/core/model';
import type { Commit } from '@rivera/server/bbs/engine/batch';
import type { JournalBatch } from '@rivera/server/bbs/journal/journal';
import type { Coverage } from './coverage.js';

export interface DurableHistoryOptions {
  readonly coverage: Coverage;
  readonly onViolation: (what: string) => void;
  /** A Task is gone; whoever deleted it knows. */
  readonly onForgotten: (taskGuid: string) => void;
  readonly expireCompletedTaskMs: number;
  /** Whether a cell runs the process of a container. */
  readonly isRunning: (cellId: string, guid: string) => boolean;
  readonly onLine: (text: string) => void;
}

/** What was ever durable, and what may follow on it: Tasks go one way, and code runs only behind an acknowledgement. */
export class DurableHistory {
  private readonly tasks = new Map<string, TaskRow>();
  private readonly instances = new Map<string, ActualLrpRow>();
  /** Containers that a durable row named at some time. */
  private readonly named = new Set<string>();
  /** Task → the execution that ran its code. */
  private readonly ran = new Map<string, string>();

  constructor(private readonly options: DurableHistoryOptions) {}

  /** A batch has become durable. */
  take(batch: JournalBatch): void {
    const parts: string[] = [];
    for (const [guid, row] of batch.tasks) {
      this.taskBecame(guid, row);
      parts.push(row === null ? `task ${guid} gone` : `task ${guid} ${TaskState[row.state]} ${row.executionGuid}`);
    }
    for (const [guid, row] of batch.desiredLrps)
      parts.push(`LRP ${guid} ${row === null ? 'gone' : `×${row.instances}`}`);
    for (const [key, { row, deleted }] of batch.actualLrps) {
      if (deleted) this.instances.delete(key);
      else this.instances.set(key, row);
      if (row.instanceGuid !== '') this.named.add(row.instanceGuid);
      if (!deleted) this.noteInstance(row);
      parts.push(deleted ? `${key} gone` : `${key} ${stateOf(row)}`);
    }
    for (const [cellId, row] of batch.cells) {
      if (row?.silent) this.options.coverage.note('loss of most cells held back');
      parts.push(
        `${cellId} ${row === null ? 'forgotten' : row.missing ? 'missing' : row.evacuating ? 'evacuating' : 'present'}`,
      );
    }
    if (parts.length > 0) this.options.onLine(`durable ${batch.revision}: ${parts.join(', ')}`);
  }

  /** Commits of a leader, which show what a batch leaves out: images between. */
  published(commits: readonly Commit[]): void {
    for (const { changes, timeMs } of commits) {
      for (const change of changes) {
        if (change.kind === 'actual-lrp') this.slotChanged(change.before, change.after);
        if (change.kind !== 'task') continue;
        const { before, after } = change;
        if (after !== undefined) this.named.add(after.executionGuid);
        const wrong = before && wrongStep(before, after, timeMs - this.options.expireCompletedTaskMs);
        if (wrong !== undefined) this.options.onViolation(`task ${before?.guid} ${wrong}`);
        if (before && after) this.checkLoss(before, after);
      }
    }
  }

  /** Code of a piece of work begins to run. */
  executes(container: ContainerRecord, cellId: string): void {
    const { guid, tags } = container;
    this.options.onLine(
      `${cellId} runs ${guid} for ${tags['task-guid'] ?? `${tags['process-guid']}/${tags['process-index']}`}`,
    );
    if (!this.named.has(guid)) this.options.onViolation(`${cellId} runs ${guid}, which no durable record names`);
    const taskGuid = tags['task-guid'];
    if (taskGuid === undefined) return;
    const earlier = this.ran.get(taskGuid);
    if (earlier !== undefined) this.options.onViolation(`task ${taskGuid} runs twice: as ${earlier} and as ${guid}`);
    this.ran.set(taskGuid, guid);
  }

  /** An agent deletes a container: whatever the BBS had to know of its end, it has durably. */
  releases(container: ContainerRecord, cellId: string): void {
    const { guid, tags } = container;
    const task = this.tasks.get(tags['task-guid'] ?? '');
    if (task?.state === TaskState.RUNNING && task.executionGuid === guid) {
      this.options.onViolation(`${cellId} deletes ${guid}, which task ${task.guid} still runs as`);
    }
    for (const [key, row] of this.instances) {
      if (row.instanceGuid === guid && row.cellId === cellId && !row.retired) {
        this.options.onViolation(`${cellId} deletes ${guid}, which ${key} still is`);
      }
    }
  }

  /** A Task counts as lost with its container; then there must be none. */
  private checkLoss({ guid, cellId, executionGuid }: TaskRow, after: TaskRow): void {
    if (after.failureReason !== 'task container does not exist' || cellId === '') return;
    if (!this.options.isRunning(cellId, executionGuid)) return;
    this.options.onViolation(`task ${guid} was given up for lost, and ${cellId} runs it as ${executionGuid}`);
  }

  /** A container has its slot until it is given up, unless another one runs while it only tries. */
  private slotChanged(before: ActualLrpRow | undefined, after: ActualLrpRow | undefined): void {
    if (after === undefined) return;
    this.named.add(after.instanceGuid);
    const kept = before === undefined || before.instanceGuid === '' || after.instanceGuid === '';
    if (kept || before.instanceGuid === after.instanceGuid) return;
    if (before.state === ActualLrpState.CLAIMED && after.state === ActualLrpState.RUNNING) return;
    this.options.onViolation(
      `${before.instanceGuid} loses ${after.processGuid}/${after.index} to ${after.instanceGuid}`,
    );
  }

  private noteInstance({ presence, retired }: ActualLrpRow): void {
    const { coverage } = this.options;
    if (presence === ActualLrpPresence.ORDINARY) return;
    if (retired) coverage.note('container without a slot to be stopped');
    else if (presence === ActualLrpPresence.SUSPECT) coverage.note('instance of a silent cell kept in mind');
    else coverage.note('instance of a drained cell kept until replaced');
  }

  private taskBecame(guid: string, after: TaskRow | null): void {
    const before = this.tasks.get(guid);
    if (after === null) {
      this.tasks.delete(guid);
      this.options.onForgotten(guid);
      return;
    }
    const wrong = before && wrongStep(before, after, 0);
    if (wrong !== undefined) this.options.onViolation(`task ${guid} ${wrong}`);
    this.tasks.set(guid, after);
    if (after.executionGuid !== '') this.named.add(after.executionGuid);
    if (after.result !== '' && after.result !== this.ran.get(guid)) {
      this.options.onViolation(`task ${guid} has the result of ${after.result}, it ran as ${this.ran.get(guid)}`);
    }
  }
}

/** Why a Task can't go from the one image to the other, with or without others between. */
function wrongStep(before: TaskRow, after: TaskRow | undefined, expiredBeforeMs: number): string | undefined {
  const ended = before.state === TaskState.COMPLETED || before.state === TaskState.RESOLVING;
  if (after === undefined) {
    if (!ended) return `is gone and was ${TaskState[before.state]}`;
    const forgotten = before.state === TaskState.COMPLETED;
    return forgotten && before.firstCompletedAtMs > expiredBeforeMs ? 'was forgotten before its time' : undefined;
  }
  if (!ended) return undefined;
  if (after.state !== TaskState.COMPLETED && after.state !== TaskState.RESOLVING) {
    return `is ${TaskState[after.state]} and was ${TaskState[before.state]}`;
  }
  const same =
    after.result === before.result &&
    after.failed === before.failed &&
    after.firstCompletedAtMs === before.firstCompletedAtMs;
  return same ? undefined : 'has ended twice';
}

function stateOf(row: ActualLrpRow): string {
  const place = row.instanceGuid === '' ? '' : ` ${row.instanceGuid}`;
  const part = row.generation === '' ? '' : `${ActualLrpPresence[row.presence]} `;
  return `${part}${ActualLrpState[row.state]}${place}${row.retired ? ' to stop' : ''}`;
}
