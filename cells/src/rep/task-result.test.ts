import { describe, expect, it } from 'vitest';
import { MAX_RESULT_BYTES, taskCompletion } from './task-result.js';
import type { TaskExecution } from './work.js';

const task: TaskExecution = { kind: 'task', taskGuid: 'job', executionGuid: 'exec', domain: 'd' };
const good = { failed: false, failureReason: '', retryable: false, stopped: false };
const bad = { failed: true, failureReason: 'APP: Exited with status 3', retryable: false, stopped: false };
const unreadable = () => Promise.reject(new Error('no such file'));

describe('the completion of a Task', () => {
  it('has the content of the result file', async () => {
    const asked: [string, number][] = [];
    const { completed } = await taskCompletion(task, good, '/result', async (path, maxBytes) => {
      asked.push([path, maxBytes]);
      return '42';
    });
    expect(asked).toEqual([['/result', MAX_RESULT_BYTES]]);
    expect(completed).toEqual({
      taskGuid: 'job',
      executionGuid: 'exec',
      failed: false,
      failureReason: '',
      result: '42',
    });
  });

  it('reads no file when none is named', async () => {
    expect((await taskCompletion(task, good, '', unreadable)).completed).toMatchObject({ failed: false, result: '' });
  });

  it('fails when the Task went well and its file can not be read', async () => {
    const { completed, readError } = await taskCompletion(task, good, '/result', unreadable);
    expect(completed).toMatchObject({ failed: true, failureReason: 'failed to fetch result', result: '' });
    expect(readError).toEqual(new Error('no such file'));
  });

  it("keeps the Task's own reason when it failed", async () => {
    const { completed } = await taskCompletion(task, bad, '/result', unreadable);
    expect(completed).toMatchObject({ failed: true, failureReason: 'APP: Exited with status 3', result: '' });
  });
});
