import { TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import type { Draft } from './draft.js';
import type { TaskRow } from './model.js';
import { completedTaskExpiresAt, dueKey } from './state.js';
import { truncateReason } from './text.js';

/** What is kept of a delivery that failed, at most. */
const MAX_ERROR_BYTES = 256;
/** Longest wait between two attempts. */
const MAX_BACKOFF_MS = 60_000;

type CallbackProgress = Partial<Pick<TaskRow, 'callbackAttempts' | 'callbackError' | 'nextCallbackAtMs'>>;

/** Whether somebody is still to be told that the Task has ended, or will be when it has. */
export function owesCallback(task: TaskRow): boolean {
  return task.callbackUrl !== '' && task.callbackGivenUpAtMs === 0;
}

/** Has it delivered now. Should that be lost with this leader, or wait for long, it is asked for again. */
export function callBack(draft: Draft, task: TaskRow): void {
  draft.effect({ kind: 'callback', taskGuid: task.guid });
  const again = Math.min(draft.now + draft.policy.kickMs, completedTaskExpiresAt(task, draft.policy));
  draft.lookAgainAt(dueKey.task(task.guid), again);
}

/** It was not delivered: back to COMPLETED, to be tried again after a pause that grows. */
export function postponeCallback(draft: Draft, guid: string, error: string): void {
  const task = draft.state.tasks.get(guid);
  if (task?.state !== TaskState.RESOLVING) return;
  if (!owesCallback(task)) return demote(draft, task, {});
  const waitMs = Math.min(MAX_BACKOFF_MS, draft.policy.callbackBackoffMs * 2 ** Math.min(task.callbackAttempts, 16));
  demote(draft, task, {
    callbackAttempts: task.callbackAttempts + 1,
    callbackError: truncateReason(error, MAX_ERROR_BYTES),
    nextCallbackAtMs: draft.now + waitMs,
  });
}

/** Whoever was taking the result does so no more. What was a dead letter before is one again. */
export function demote(draft: Draft, task: TaskRow, callback: CallbackProgress): void {
  const owed = owesCallback(task);
  draft.putTask({ ...task, ...(owed && callback), state: TaskState.COMPLETED, updatedAtMs: draft.now });
  if (!owed) boundDeadLetters(draft);
}

/** It was tried for long enough: the Task stays as a dead letter, for somebody to look at. */
export function giveUpCallback(draft: Draft, task: TaskRow): void {
  draft.putTask({ ...task, callbackGivenUpAtMs: draft.now, nextCallbackAtMs: 0 });
  boundDeadLetters(draft);
}

/** Tries it as if the Task had just ended. */
export function tryCallbackAnew(draft: Draft, task: TaskRow): TaskRow {
  const anew = draft.putTask({
    ...task,
    callbackAttempts: 0,
    nextCallbackAtMs: draft.now,
    callbackRetriedAtMs: draft.now,
    callbackGivenUpAtMs: 0,
  });
  callBack(draft, anew);
  return anew;
}

/** A receiver that is gone for good must not fill the journal. */
function boundDeadLetters(draft: Draft): void {
  const { deadLetters } = draft.state;
  while (deadLetters.size > draft.policy.maxDeadLetters) draft.deleteTask(deadLetters.first() as string);
}
