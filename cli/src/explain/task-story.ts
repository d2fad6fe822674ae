import { type Task, TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import { count, cut, oneLine } from '../terminal/text.js';
import { formatTook } from '../terminal/time.js';
import { cellSteps, cellTrouble } from './cell-story.js';
import type { Step, Story, TaskFacts } from './facts.js';
import { at, sentence, since, until } from './words.js';

/** Of a result, the beginning says whether it is the one that was hoped for. */
const RESULT_SHOWN = 200;

/** The story of a Task, from what is known. */
export function tellTask({ task, cell }: TaskFacts, nowMs: number): Story {
  const lines = [
    `${task.taskGuid} is a task of domain ${task.domain}, desired since ${at(task.createdAt, nowMs)}.`,
    '',
  ];
  const next: Step[] = [];
  const told = { lines, next };
  switch (task.state) {
    case TaskState.PENDING:
      tellWait(task, nowMs, told);
      break;
    case TaskState.RUNNING:
      lines.push(`It has been running on ${task.cellId} for ${since(task.updatedAt, nowMs)}.`);
      tellCell(task, cell, nowMs, told);
      if (task.rejectionCount > 0) lines.push(`Before that ${rejections(task)}`);
      next.push({ command: `rivera logs ${task.taskGuid} -f`, meaning: 'what it writes' });
      break;
    case TaskState.COMPLETED:
    case TaskState.RESOLVING:
      tellEnd(task, nowMs, told);
      break;
    default:
      lines.push('It is in a state that this program does not know.');
  }
  next.push({ command: `rivera task show ${task.taskGuid}`, meaning: 'every field of it' });
  return { lines, next };
}

interface Told {
  readonly lines: string[];
  readonly next: Step[];
}

function tellWait(task: Task, nowMs: number, { lines, next }: Told): void {
  lines.push(`It has been waiting for a cell for ${since(task.createdAt, nowMs)}.`);
  if (task.rejectionCount === 0) lines.push('No cell has refused it: it is being placed.');
  else lines.push(`So far ${rejections(task)}`);
  if (task.nextAttemptAt !== undefined)
    lines.push(`It is offered to the cells again ${until(task.nextAttemptAt, nowMs)}.`);
  if (task.expiresAt !== undefined) lines.push(`When no cell has taken it, it fails ${until(task.expiresAt, nowMs)}.`);
  next.push({ command: 'rivera cells', meaning: 'how full the cells are' });
  next.push({ command: `rivera task cancel ${task.taskGuid}`, meaning: 'give it up' });
}

/** `2 placements failed, the last one because: found no compatible cell.` */
function rejections({ rejectionCount, rejectionReason }: Task): string {
  const which = rejectionCount === 1 ? '' : ', the last one';
  return `${count(rejectionCount, 'placement')} failed${which} because: ${sentence(oneLine(rejectionReason))}`;
}

function tellCell({ cellId }: Task, cell: TaskFacts['cell'], nowMs: number, { lines, next }: Told): void {
  const trouble = cellTrouble(cellId, cell, nowMs);
  if (trouble === '') return;
  lines.push(trouble, 'When the cell is given up the task fails, as it must not run twice.');
  next.push(...cellSteps(cellId, cell));
}

function tellEnd(task: Task, nowMs: number, { lines, next }: Told): void {
  const { createdAt, firstCompletedAt, failed, failureReason, result } = task;
  const took = createdAt && firstCompletedAt ? firstCompletedAt.getTime() - createdAt.getTime() : 0;
  const when = `${at(firstCompletedAt, nowMs)}, ${formatTook(took)} after it was desired`;
  lines.push(failed ? `It failed ${when}: ${sentence(oneLine(failureReason))}` : `It succeeded ${when}.`);
  if (result !== '') lines.push(`Its result: ${cut(oneLine(result), RESULT_SHOWN)}`);
  if (failed && task.rejectionCount > 0 && failureReason !== task.rejectionReason) {
    lines.push(`Before that ${rejections(task)}`);
  }
  if (task.callback !== undefined) tellCallback(task, task.callback, nowMs, { lines, next });
  else if (task.state === TaskState.RESOLVING) lines.push('Somebody is taking its result.');
  else if (task.expiresAt !== undefined) lines.push(`It is forgotten ${until(task.expiresAt, nowMs)}.`);
  if (failed) next.unshift({ command: `rivera logs ${task.taskGuid}`, meaning: 'what it wrote' });
}

/** Whether whoever waits for it has been told, and if not, what becomes of that. */
function tellCallback(task: Task, callback: NonNullable<Task['callback']>, nowMs: number, { lines, next }: Told): void {
  const { attempts, lastError, nextAttemptAt, givenUpAt } = callback;
  const retry = { command: `rivera task retry-callback ${task.taskGuid}`, meaning: 'have it delivered at once' };
  const failures = `${count(attempts, 'attempt')} failed${lastError === '' ? '' : `, the last one with: ${oneLine(lastError)}`}`;
  if (givenUpAt !== undefined) {
    const tried = attempts === 0 ? 'it was never tried in time' : failures;
    lines.push(`Nobody could be told. Its callback was given up ${at(givenUpAt, nowMs)}: ${sentence(tried)}`);
    const end = task.expiresAt === undefined ? '' : ` It is forgotten ${until(task.expiresAt, nowMs)}.`;
    if (task.state === TaskState.RESOLVING) lines.push('Somebody is taking its result.');
    else lines.push(`It is a dead letter, kept until somebody looks after it.${end}`);
    next.push(retry, { command: `rivera task rm ${task.taskGuid}`, meaning: 'dismiss it' });
    return;
  }
  if (task.state === TaskState.RESOLVING) {
    lines.push('Its callback is being delivered, or a client is taking its result.');
    if (attempts > 0) lines.push(sentence(`Before that ${failures}`));
    return;
  }
  const when = nextAttemptAt === undefined ? 'soon' : until(nextAttemptAt, nowMs);
  lines.push(
    attempts === 0
      ? `Its callback is delivered ${when}.`
      : `Its callback is tried again ${when}: ${sentence(failures)}`,
  );
  if (task.expiresAt !== undefined) lines.push(`Without success that is given up ${until(task.expiresAt, nowMs)}.`);
  next.push(retry);
}
