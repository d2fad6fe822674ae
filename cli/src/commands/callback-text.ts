import type { Task } from '@rivera/gen/rivera/bbs/v1/task';
import { count, oneLine } from '../terminal/text.js';
import { ageOf, formatAge } from '../terminal/time.js';
import { hasEnded } from './states.js';

/** How far telling that a Task has ended is: `tried 3 times, again in 4s: HTTP 500`; empty for a Task without a callback. */
export function callbackText(task: Task, nowMs: number): string {
  const { callback } = task;
  if (callback === undefined) return '';
  if (!hasEnded(task)) return 'when it has ended';
  const { attempts, nextAttemptAt, lastError, givenUpAt } = callback;
  const why = lastError === '' ? '' : `: ${oneLine(lastError)}`;
  const tried = attempts === 0 ? 'not tried yet' : `tried ${count(attempts, 'time')}`;
  if (givenUpAt !== undefined) return `given up ${ageOf(givenUpAt, nowMs)} ago, ${tried}${why}`;
  if (nextAttemptAt === undefined) return `${tried}, being delivered${why}`;
  const waitMs = nextAttemptAt.getTime() - nowMs;
  return `${tried}, ${attempts === 0 ? 'due' : 'again'} ${waitMs < 1_000 ? 'now' : `in ${formatAge(waitMs)}`}${why}`;
}
