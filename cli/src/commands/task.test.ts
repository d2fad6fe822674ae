import { type Task, TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import { TaskServiceService as tasks } from '@rivera/gen/rivera/bbs/v1/task_service';
import { statusOf } from '@rivera/sdk/testing/fake-server';
import { describe, expect, it } from 'vitest';
import { EXIT } from '../failures.js';
import { NOW, task } from '../testing/fake-installation.js';
import { WithServer } from '../testing/with-server.js';

const FAILED_PRECONDITION = 9;

const NOT_FOUND = 5;

const fake = new WithServer();
const rivera = (...args: string[]) => fake.rivera(args);

const page = { nextPageToken: '', revision: 1 };

describe('rivera task', () => {
  it('lists tasks as a table, how they ended included', async () => {
    const ended = { state: TaskState.COMPLETED, cellId: '' };
    fake.server.unary(tasks.listTasks, () => ({
      ...page,
      tasks: [
        task(),
        task({ ...ended, taskGuid: 'a', result: 'done\n' }),
        task({ ...ended, taskGuid: 'b', failed: true, failureReason: 'exit status 3' }),
      ],
    }));
    const { exitCode, stdout } = await rivera('task', 'list');
    expect(exitCode).toBe(EXIT.ok);
    expect(stdout).toBe(
      [
        'name      domain    state       age   cell     outcome\n',
        'nightly   reports   running     3m    cell-1\n',
        'a         reports   succeeded   3m             done\n',
        'b         reports   failed      3m             exit status 3\n',
      ].join(''),
    );
  });

  it('lists them as JSON, one a line, with the filters handed on', async () => {
    const { calls } = fake.server.unary(tasks.listTasks, () => ({ ...page, tasks: [task(), task({ taskGuid: 'b' })] }));
    const { stdout } = await rivera('task', 'list', '--json', '--domain', 'd', '--cell', 'c', '--state', 'running');
    const lines = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines).toMatchObject([{ taskGuid: 'nightly', state: 'TASK_STATE_RUNNING' }, { taskGuid: 'b' }]);
    expect(calls[0]).toMatchObject({ domain: 'd', cellId: 'c', states: [TaskState.RUNNING] });
  });

  it('lists those that ended in one way or the other, as the table calls it', async () => {
    const ended = { state: TaskState.COMPLETED, cellId: '' };
    const { calls } = fake.server.unary(tasks.listTasks, () => ({
      ...page,
      tasks: [task({ ...ended, taskGuid: 'good' }), task({ ...ended, taskGuid: 'bad', failed: true })],
    }));
    const names = async (state: string) =>
      (await rivera('task', 'list', '--json', '--state', state)).stdout.match(/(?<="taskGuid":")\w+/g);
    expect(await names('succeeded')).toEqual(['good']);
    expect(await names('failed')).toEqual(['bad']);
    expect(await names('completed')).toEqual(['good', 'bad']);
    expect(calls[0]?.states).toEqual([TaskState.COMPLETED, TaskState.RESOLVING]);
    expect((await rivera('task', 'list', '--state', 'suceeded')).stderr).toContain("Did you mean 'succeeded'?");
  });

  it('lists dead letters with when, how often and why nobody could be told', async () => {
    const callback = {
      attempts: 37,
      nextAttemptAt: undefined,
      lastError: 'HTTP 500',
      givenUpAt: new Date(NOW - 7_200_000),
    };
    const { calls } = fake.server.unary(tasks.listTasks, () => ({
      ...page,
      tasks: [task({ state: TaskState.COMPLETED, cellId: '', callback })],
    }));
    expect((await rivera('task', 'list', '--dead-letters')).stdout).toBe(
      [
        'name      domain    state       given up   attempts   last error\n',
        'nightly   reports   succeeded   2h               37   HTTP 500\n',
      ].join(''),
    );
    expect(calls[0]).toMatchObject({ deadLetters: true });
  });

  it('shows how far the callback is', async () => {
    const shown = async (callback: Task['callback'], state = TaskState.COMPLETED) => {
      fake.server.unary(tasks.getTask, () => ({ task: task({ state, callback }) }));
      return (await rivera('task', 'show', 'nightly')).stdout.match(/callback: +(.*)\n/)?.[1];
    };
    const fresh = { attempts: 0, nextAttemptAt: new Date(NOW), lastError: '', givenUpAt: undefined };
    const failed = { ...fresh, attempts: 3, lastError: 'HTTP 500', nextAttemptAt: new Date(NOW + 4_000) };
    expect(await shown(undefined)).toBeUndefined();
    expect(await shown({ ...fresh, nextAttemptAt: undefined }, TaskState.RUNNING)).toBe('when it has ended');
    expect(await shown(fresh)).toBe('not tried yet, due now');
    expect(await shown({ ...fresh, nextAttemptAt: undefined }, TaskState.RESOLVING)).toBe(
      'not tried yet, being delivered',
    );
    expect(await shown(failed)).toBe('tried 3 times, again in 4s: HTTP 500');
    expect(await shown({ ...failed, nextAttemptAt: undefined, givenUpAt: new Date(NOW - 60_000) })).toBe(
      'given up 60s ago, tried 3 times: HTTP 500',
    );
  });

  it('has callbacks tried again, one after the other', async () => {
    const { calls } = fake.server.unary(tasks.retryTaskCallback, ({ taskGuid }) => ({ task: task({ taskGuid }) }));
    expect(await rivera('task', 'retry-callback', 'a', 'b')).toEqual({ exitCode: EXIT.ok, stdout: '', stderr: '' });
    expect(calls.map(({ taskGuid }) => taskGuid)).toEqual(['a', 'b']);
    expect(JSON.parse((await rivera('task', 'retry-callback', 'a', '--json')).stdout)).toMatchObject({ taskGuid: 'a' });
    fake.server.unary(tasks.retryTaskCallback, () => {
      throw statusOf(FAILED_PRECONDITION, 'task "a" has no completion callback', { reason: 'TASK_HAS_NO_CALLBACK' });
    });
    expect(await rivera('task', 'retry-callback', 'a')).toMatchObject({ exitCode: EXIT.answered });
  });

  it('says that there are none on stderr, so that counting lines gives 0', async () => {
    fake.server.unary(tasks.listTasks, () => ({ ...page, tasks: [] }));
    expect(await rivera('task', 'list')).toEqual({ exitCode: EXIT.ok, stdout: '', stderr: 'No tasks found.\n' });
  });

  it('suggests the nearest name when there is no such task', async () => {
    fake.server.unary(tasks.getTask, () => {
      throw statusOf(NOT_FOUND, "there is no task 'nihgtly'", { reason: 'TASK_NOT_FOUND' });
    });
    fake.server.unary(tasks.listTasks, () => ({ ...page, tasks: [task()] }));
    const { exitCode, stdout, stderr } = await rivera('task', 'show', 'nihgtly');
    expect(exitCode).toBe(EXIT.answered);
    expect(stdout).toBe('');
    expect(stderr).toBe(
      [
        "rivera: there is no task 'nihgtly' (TASK_NOT_FOUND)\n",
        "  Did you mean 'nightly'?\n",
        '  See what there is:  rivera task list\n',
      ].join(''),
    );
  });

  it('removes what has ended: resolves it, then deletes it', async () => {
    const ended = task({ state: TaskState.COMPLETED });
    fake.server.unary(tasks.getTask, () => ({ task: ended }));
    const resolved = fake.server.unary(tasks.resolveTask, () => ({ task: ended }));
    const deleted = fake.server.unary(tasks.deleteTask, () => ({}));
    expect(await rivera('task', 'rm', 'nightly')).toEqual({ exitCode: EXIT.ok, stdout: '', stderr: '' });
    expect([resolved.calls, deleted.calls].map((calls) => calls[0]?.taskGuid)).toEqual(['nightly', 'nightly']);
  });

  it('removes what runs only when forced, by cancelling it', async () => {
    fake.server.unary(tasks.getTask, () => ({ task: task() }));
    const cancelled = fake.server.unary(tasks.cancelTask, () => ({ task: task() }));
    fake.server.unary(tasks.resolveTask, () => {
      if (cancelled.calls.length > 0) return { task: task() };
      throw statusOf(FAILED_PRECONDITION, 'the task is RUNNING', { reason: 'INVALID_STATE_TRANSITION' });
    });
    fake.server.unary(tasks.deleteTask, () => ({}));
    const refused = await rivera('task', 'rm', 'nightly');
    expect(refused).toMatchObject({ exitCode: EXIT.answered, stdout: '' });
    expect(refused.stderr).toContain('the task is RUNNING (INVALID_STATE_TRANSITION)');
    expect((await rivera('task', 'rm', '--force', 'nightly')).exitCode).toBe(EXIT.ok);
    expect(cancelled.calls).toHaveLength(1);
  });
});
