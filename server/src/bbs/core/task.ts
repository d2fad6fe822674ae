import { TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import { RiveraError } from '@rivera/kit/errors';
import type { Draft } from './draft.js';
import type { TaskRow } from './model.js';
import { completedTaskExpiresAt, dueKey } from './state.js';
import { callBack, demote, giveUpCallback, owesCallback, tryCallbackAnew } from './task-callback.js';
import { truncateReason } from './text.js';

/**
 * The life of a Task (spec bbs §3). Everything that may happen to one, and from which states:
 *
 *   desire    —                    → PENDING
 *   start     PENDING              → RUNNING     should start
 *             RUNNING, same exec.  = RUNNING     should start: the answer was lost
 *   reject    PENDING              → PENDING     or COMPLETED as failed after too many
 *             RUNNING, same exec.  → PENDING     likewise: only its cell knows that nothing of it ran
 *   complete  RUNNING, same cell   → COMPLETED
 *   cancel    PENDING, RUNNING     → COMPLETED   failed
 *   lose      RUNNING              → COMPLETED   failed: its cell is gone, and it must not run twice
 *   expire    PENDING              → COMPLETED   failed: nobody took it
 *   resolve   COMPLETED            → RESOLVING   one party takes the result
 *   demote    RESOLVING            → COMPLETED   that party went away, or could not deliver the callback
 *   give up   COMPLETED            → COMPLETED   as a dead letter: its callback was tried for long enough
 *   retry     COMPLETED            → COMPLETED   its callback is tried anew, dead letter or not
 *   delete    RESOLVING            → gone
 *   forget    COMPLETED            → gone        nobody took the result, or a dead letter for long
 */
export type TaskOperation =
  | 'start'
  | 'reject'
  | 'complete'
  | 'cancel'
  | 'lose'
  | 'expire'
  | 'resolve'
  | 'demote'
  | 'retry'
  | 'delete'
  | 'forget';

const ALLOWED_FROM: Readonly<Record<TaskOperation, readonly TaskState[]>> = {
  start: [TaskState.PENDING],
  reject: [TaskState.PENDING, TaskState.RUNNING],
  complete: [TaskState.RUNNING],
  cancel: [TaskState.PENDING, TaskState.RUNNING],
  lose: [TaskState.RUNNING],
  expire: [TaskState.PENDING],
  resolve: [TaskState.COMPLETED],
  demote: [TaskState.RESOLVING],
  retry: [TaskState.COMPLETED],
  delete: [TaskState.RESOLVING],
  forget: [TaskState.COMPLETED],
};

const TARGET: Readonly<Record<TaskOperation, string>> = {
  start: 'Running',
  reject: 'Pending',
  complete: 'Completed',
  cancel: 'Completed',
  lose: 'Completed',
  expire: 'Completed',
  resolve: 'Resolving',
  demote: 'Completed',
  retry: 'Completed',
  delete: 'Deleted',
  forget: 'Deleted',
};

/** What a client asks for. */
export type NewTask = Pick<
  TaskRow,
  'guid' | 'domain' | 'requirements' | 'annotation' | 'callbackUrl' | 'definitionDigest'
> & { definition: Uint8Array };

/** The same request again succeeds, so that a client may repeat it when the answer was lost; a different one conflicts. */
export function desireTask(draft: Draft, wanted: NewTask): TaskRow {
  const existing = draft.state.tasks.get(wanted.guid);
  if (existing !== undefined) {
    if (existing.definitionDigest === wanted.definitionDigest && existing.domain === wanted.domain) return existing;
    throw new RiveraError('TASK_EXISTS', `task "${wanted.guid}" exists already with another definition`, {
      resource: { type: 'task', name: wanted.guid },
    });
  }
  const { guid, domain, requirements, annotation, callbackUrl, definition, definitionDigest } = wanted;
  draft.putTaskDefinition(guid, definition);
  draft.effect({ kind: 'auction-task', taskGuid: guid });
  return draft.putTask({
    guid,
    domain,
    requirements,
    annotation,
    callbackUrl,
    definitionDigest,
    state: TaskState.PENDING,
    createdAtMs: draft.now,
    updatedAtMs: draft.now,
    firstCompletedAtMs: 0,
    cellId: '',
    executionGuid: '',
    failed: false,
    failureReason: '',
    result: '',
    rejectionCount: 0,
    rejectionReason: '',
    nextAttemptAtMs: 0,
    callbackAttempts: 0,
    nextCallbackAtMs: 0,
    callbackError: '',
    callbackRetriedAtMs: 0,
    callbackGivenUpAtMs: 0,
  });
}

/** A cell asks to run it. The same execution may ask again and gets the same answer; any other is refused. */
export function startTask(draft: Draft, guid: string, cellId: string, executionGuid: string): TaskRow {
  const task = existingTask(draft, guid);
  if (task.state === TaskState.RUNNING && task.cellId === cellId && task.executionGuid === executionGuid) return task;
  requireAllowed(task, 'start');
  return draft.putTask({
    ...task,
    state: TaskState.RUNNING,
    updatedAtMs: draft.now,
    cellId,
    executionGuid,
    nextAttemptAtMs: 0,
  });
}

/**
 * It could not be placed, or its cell gave it back before any of its code ran. Without a cell to vouch for that a RUNNING Task is
 * never given back: an auctioneer may learn late that somebody has taken what it could not place.
 */
export function rejectTask(
  draft: Draft,
  guid: string,
  reason: string,
  by?: { cellId: string; executionGuid: string },
): TaskRow {
  const task = existingTask(draft, guid);
  requireAllowed(task, 'reject');
  // Told again: the execution that was given back is remembered until another one begins.
  if (by !== undefined && task.state === TaskState.PENDING && task.executionGuid === by.executionGuid) return task;
  if (by !== undefined || task.state === TaskState.RUNNING) requireHolder(task, by);
  const rejected: TaskRow = {
    ...task,
    rejectionCount: task.rejectionCount + 1,
    rejectionReason: truncateReason(reason),
    updatedAtMs: draft.now,
  };
  if (task.rejectionCount >= draft.policy.maxTaskRetries) return finish(draft, rejected, { failureReason: reason });
  const { taskRetryBackoffMs, kickMs } = draft.policy;
  return draft.putTask({
    ...rejected,
    state: TaskState.PENDING,
    cellId: '',
    nextAttemptAtMs: draft.now + Math.min(kickMs, taskRetryBackoffMs * 2 ** task.rejectionCount),
  });
}

/** It has ended on its cell. Telling it twice is harmless as long as it is remembered. */
export function completeTask(
  draft: Draft,
  guid: string,
  by: { cellId: string; executionGuid: string },
  outcome: { failed: boolean; failureReason: string; result: string },
): TaskRow {
  const task = existingTask(draft, guid);
  const repeated = task.executionGuid === by.executionGuid && task.state !== TaskState.RUNNING;
  if (repeated && task.firstCompletedAtMs > 0) return task;
  requireAllowed(task, 'complete');
  requireHolder(task, by);
  return finish(draft, task, outcome.failed ? { failureReason: outcome.failureReason } : { result: outcome.result });
}

/** A client gives it up. */
export function cancelTask(draft: Draft, guid: string): TaskRow {
  const task = existingTask(draft, guid);
  requireAllowed(task, 'cancel');
  if (task.cellId !== '') {
    draft.effect({ kind: 'cancel-task', cellId: task.cellId, taskGuid: guid, executionGuid: task.executionGuid });
  }
  return finish(draft, task, { failureReason: 'task was cancelled' });
}

/** Its cell is gone, or has lost the container. It is never run again. */
export function loseTask(draft: Draft, guid: string, reason: string): TaskRow {
  const task = existingTask(draft, guid);
  requireAllowed(task, 'lose');
  return finish(draft, task, { failureReason: reason });
}

/** Takes the sole right to the result. */
export function resolveTask(draft: Draft, guid: string): TaskRow {
  const task = existingTask(draft, guid);
  requireAllowed(task, 'resolve');
  return draft.putTask({ ...task, state: TaskState.RESOLVING, updatedAtMs: draft.now });
}

/** Forgets it. */
export function deleteTask(draft: Draft, guid: string): void {
  requireAllowed(existingTask(draft, guid), 'delete');
  draft.deleteTask(guid);
}

/** Somebody has the callback tried anew, whether delivery was given up or waits for its next attempt. */
export function retryTaskCallback(draft: Draft, guid: string): TaskRow {
  const task = existingTask(draft, guid);
  if (task.callbackUrl === '') {
    throw new RiveraError('TASK_HAS_NO_CALLBACK', `task "${guid}" has no completion callback`, {
      resource: { type: 'task', name: guid },
    });
  }
  requireAllowed(task, 'retry', `a callback is tried again once the Task is Completed, not ${stateName(task.state)}`);
  return tryCallbackAnew(draft, task);
}

/** What time alone does to a Task; called when it is due. */
export function taskDue(draft: Draft, guid: string): void {
  const task = draft.state.tasks.get(guid);
  if (task === undefined) return;
  switch (task.state) {
    case TaskState.PENDING:
      if (task.createdAtMs + draft.policy.expirePendingTaskMs <= draft.now) {
        finish(draft, task, { failureReason: 'not started within time limit' });
      } else {
        draft.effect({ kind: 'auction-task', taskGuid: guid });
        draft.lookAgainAt(dueKey.task(guid), draft.now + draft.policy.kickMs);
      }
      return;
    case TaskState.RESOLVING:
      demote(draft, task, { nextCallbackAtMs: draft.now });
      return;
    case TaskState.COMPLETED:
      if (completedTaskExpiresAt(task, draft.policy) <= draft.now) {
        if (owesCallback(task)) giveUpCallback(draft, task);
        else draft.deleteTask(guid);
      } else if (task.nextCallbackAtMs > 0 && task.nextCallbackAtMs <= draft.now) {
        callBack(draft, task);
      }
      return;
    default:
      return;
  }
}

function finish(draft: Draft, task: TaskRow, outcome: { failureReason: string } | { result: string }): TaskRow {
  const failed = 'failureReason' in outcome;
  const ended = draft.putTask({
    ...task,
    state: TaskState.COMPLETED,
    updatedAtMs: draft.now,
    firstCompletedAtMs: draft.now,
    cellId: '',
    failed,
    failureReason: failed ? truncateReason(outcome.failureReason) : '',
    result: failed ? '' : outcome.result,
    nextAttemptAtMs: 0,
    nextCallbackAtMs: task.callbackUrl === '' ? 0 : draft.now,
  });
  if (task.callbackUrl !== '') callBack(draft, ended);
  return ended;
}

function existingTask(draft: Draft, guid: string): TaskRow {
  const task = draft.state.tasks.get(guid);
  if (task !== undefined) return task;
  throw new RiveraError('TASK_NOT_FOUND', `there is no task "${guid}"`, { resource: { type: 'task', name: guid } });
}

function requireAllowed(
  task: TaskRow,
  operation: TaskOperation,
  refusal = `cannot transition from ${stateName(task.state)} to ${TARGET[operation]}`,
): void {
  if (ALLOWED_FROM[operation].includes(task.state)) return;
  throw new RiveraError('INVALID_STATE_TRANSITION', `task "${task.guid}": ${refusal}`, {
    resource: { type: 'task', name: task.guid },
    metadata: { state: TaskState[task.state] ?? String(task.state) },
  });
}

function requireHolder(task: TaskRow, by: { cellId: string; executionGuid: string } | undefined): void {
  if (task.cellId === by?.cellId && task.executionGuid === by.executionGuid) return;
  const claimant = by?.cellId ?? '';
  throw new RiveraError(
    'RUNNING_ON_DIFFERENT_CELL',
    `task "${task.guid}" runs on cell ${task.cellId}${by ? `, not ${claimant}` : ''}`,
    {
      resource: { type: 'task', name: task.guid },
      metadata: { actual_cell: task.cellId, expected_cell: claimant },
    },
  );
}

function stateName(state: TaskState): string {
  const name = TaskState[state] ?? String(state);
  return name.charAt(0) + name.slice(1).toLowerCase();
}
