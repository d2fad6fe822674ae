import { EventKind } from '@rivera/gen/rivera/bbs/v1/event';
import { type Task, TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import type { WatchItem } from '@rivera/sdk/client';
import { isAnswer } from '../describe.js';
import { CliError, EXIT } from '../failures.js';
import type { Session } from '../session.js';
import { count, oneLine } from '../terminal/text.js';
import { formatTook } from '../terminal/time.js';
import { hasEnded } from './states.js';
import { lateAfter } from './waiting.js';

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
  const client = await session.client();
  const { timeoutMs } = waiting;
  const late = timeoutMs === undefined ? undefined : lateAfter(timeoutMs);
  const signal = late === undefined ? session.signal : AbortSignal.any([session.signal, late]);
  let last: Task | undefined;
  let known = false;
  try {
    for await (const item of client.watch({
      ...{ snapshot: true, kinds: [EventKind.TASK], taskGuids: [taskGuid], signal },
    })) {
      const task = taskOf(item);
      if (task !== undefined) {
        last = task;
        known = true;
        waiting.onChange(task);
        // What a watch sends may lack the larger parts.
        if (hasEnded(task)) return await client.tasks.get(taskGuid, { signal }).catch((error) => ifGone(error, task));
      }
      const gone = item.kind === 'event' && item.event.event?.$case === 'taskRemoved';
      if (item.kind === 'reset') known = false;
      if (gone || (item.kind === 'snapshot-complete' && !known)) break;
    }
  } catch (error) {
    if (timeoutMs === undefined || !late?.aborted || session.signal.aborted) throw error;
    throw notEnded(taskGuid, timeoutMs, last);
  }
  throw new CliError(EXIT.answered, `${taskGuid} was removed before its end`, ['See what there is:  rivera task list']);
}

/** `waits for a cell: found no compatible cell (2 attempts so far)`; empty when it does not wait. */
export function waitingText(task: Pick<Task, 'state' | 'rejectionReason' | 'rejectionCount'>): string {
  if (task.state !== TaskState.PENDING) return '';
  if (task.rejectionReason === '') return 'waits for a cell';
  return `waits for a cell: ${oneLine(task.rejectionReason)} (${count(task.rejectionCount, 'attempt')} so far)`;
}

function notEnded(taskGuid: string, timeoutMs: number, task: Task | undefined): CliError {
  const waits = task === undefined ? '' : waitingText(task);
  return new CliError(EXIT.failed, `${taskGuid} did not end within ${formatTook(timeoutMs)}`, [
    ...(waits === '' ? [] : [`It ${waits}`]),
    `It goes on. See its state:  rivera task show ${taskGuid}`,
    `End it:                     rivera task cancel ${taskGuid}`,
  ]);
}

/** It has been removed between its end and the question for its result. */
function ifGone(error: unknown, seen: Task): Task {
  if (isAnswer(error) && error.codeName === 'NOT_FOUND') return seen;
  throw error;
}

/** The Task as an item shows it last. */
function taskOf(item: WatchItem): Task | undefined {
  if (item.kind === 'snapshot') return item.record.record?.$case === 'task' ? item.record.record.value : undefined;
  if (item.kind !== 'event') return undefined;
  switch (item.event.event?.$case) {
    case 'taskCreated':
    case 'taskRemoved':
      return item.event.event.value.task;
    case 'taskChanged':
      return item.event.event.value.after;
    default:
      return undefined;
  }
}
