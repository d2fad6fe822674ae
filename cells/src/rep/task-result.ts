import type { TaskCompleted } from '@rivera/gen/rivera/bbs/v1/session_service';
import type { RunResult } from '../executor/executor.js';
import { REASON } from './decide.js';
import type { TaskExecution } from './work.js';

/** Bytes of a result file that are read; a longer file is an error (spec cell §12). */
export const MAX_RESULT_BYTES = 51_200;

/**
 * How a Task that ran has ended, as the BBS is told. The result file is read whether the Task failed or not; only a Task that
 * went well fails because of a file that can't be read.
 */
export async function taskCompletion(
  task: TaskExecution,
  run: RunResult,
  resultFile: string,
  readFile: (path: string, maxBytes: number) => Promise<string>,
): Promise<{ completed: TaskCompleted; readError?: unknown }> {
  const { taskGuid, executionGuid } = task;
  const failureReason = run.failed ? run.failureReason : '';
  const ended = { taskGuid, executionGuid, failed: run.failed, failureReason };
  if (resultFile === '') return { completed: { ...ended, result: '' } };
  try {
    return { completed: { ...ended, result: await readFile(resultFile, MAX_RESULT_BYTES) } };
  } catch (readError) {
    if (run.failed) return { completed: { ...ended, result: '' }, readError };
    return { completed: { ...ended, failed: true, failureReason: REASON.noResult, result: '' }, readError };
  }
}
