import { type Task, TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import { isAnswer } from '../describe.js';
import { CliError, EXIT } from '../failures.js';
import type { Session } from '../session.js';
import { isSilence } from '../silence.js';
import { count, oneLine } from '../terminal/text.js';
import { formatTook } from '../terminal/time.js';

/** What to do while waiting. */
export interface TaskWaiting {
  /** Milliseconds; undefined: for ever. */
  timeoutMs: number | undefined;
  /** Told of every change. */
  onChange: (task: Task) => void;
}

/**
 * Follows a Task to its end.
 * @returns the whole Task, result included
 * @throws CliError (failed) when it has not ended in time, with what it waits for
 */
export async function untilEnded(session: Session, taskGuid: string, waiting: TaskWaiting): Promise<Task> {
  const { tasks } = await session.client();
  const { timeoutMs = Number.POSITIVE_INFINITY, onChange } = waiting;
  let last: Task | undefined;
  const follow = (task: Task) => {
    last = task;
    onChange(task);
  };
  try {
    return await tasks.waitForCompletion(taskGuid, { signal: session.signal, timeoutMs, onChange: follow });
  } catch (error) {
    if (session.signal.aborted) throw error;
    const isLate = Number.isFinite(timeoutMs) && isSilence(error) && error.codeName === 'DEADLINE_EXCEEDED';
    if (isLate) throw notEnded(taskGuid, timeoutMs, last, error);
    if (!isAnswer(error) || error.codeName !== 'NOT_FOUND') throw error;
    const next = ['See what there is:  rivera task list'];
    throw new CliError(EXIT.answered, `${taskGuid} was removed before its end`, next, { cause: error });
  }
}

/** `waits for a cell: found no compatible cell (2 attempts so far)`; empty when it does not wait. */
export function waitingText(task: Pick<Task, 'state' | 'rejectionReason' | 'rejectionCount'>): string {
  if (task.state !== TaskState.PENDING) return '';
  if (task.rejectionReason === '') return 'waits for a cell';
  return `waits for a cell: ${oneLine(task.rejectionReason)} (${count(task.rejectionCount, 'attempt')} so far)`;
}

function notEnded(taskGuid: string, timeoutMs: number, task: Task | undefined, cause: unknown): CliError {
  const waits = task === undefined ? '' : waitingText(task);
  const next = [
    ...(waits === '' ? [] : [`It ${waits}`]),
    `It goes on. See its state:  rivera task show ${taskGuid}`,
    `End it:                     rivera task cancel ${taskGuid}`,
  ];
  return new CliError(EXIT.failed, `${taskGuid} did not end within ${formatTook(timeoutMs)}`, next, { cause });
}
