import { type ServerDuplexStream, status } from '@grpc/grpc-js';
import { Task, TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import { TaskServiceService as methods } from '@rivera/gen/rivera/bbs/v1/task_service';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { AlreadyExistsError, FailedPreconditionError, NotFoundError, UnavailableError } from '../errors.js';
import { run } from '../recipes.js';
import { statusOf } from '../testing/fake-server.js';
import { collect, Setting, take } from '../testing/setting.js';

let setting: Setting;
beforeAll(async () => {
  setting = await Setting.make();
});
afterEach(() => setting.endTest());
afterAll(() => setting.end());

const gone = () => statusOf(status.UNAVAILABLE, 'connection lost');
const wrongState = () => statusOf(status.FAILED_PRECONDITION, 'wrong state', { reason: 'INVALID_STATE_TRANSITION' });
const unknownTask = () => statusOf(status.NOT_FOUND, 'no such task', { reason: 'TASK_NOT_FOUND' });
const task = (state: TaskState, more: Partial<Task> = {}) => Task.fromPartial({ taskGuid: 't', state, ...more });

describe('desire', () => {
  it('sends the request whole and repeats it after an attempt of unknown outcome', async () => {
    const server = await setting.server();
    const { calls } = server.unary(methods.desireTask, ({ taskGuid }, attempt) => {
      if (attempt === 1) throw gone();
      return { task: Task.fromPartial({ taskGuid, state: TaskState.PENDING }) };
    });
    const action = run({ path: '/bin/echo', args: ['hello'], user: 'root', env: { A: '1' } });
    const definition = { container: { rootFs: 'preloaded:busybox', memoryMb: 32 }, action };
    const desired = await setting.client(server).tasks.desire({ taskGuid: 't', domain: 'd', definition });
    expect(desired.state).toBe(TaskState.PENDING);
    expect(calls).toHaveLength(2);
    expect(calls[0]).toEqual(calls[1]);
    expect(calls[0]).toMatchObject({ taskGuid: 't', domain: 'd', definition: { container: { memoryMb: 32 } } });
    expect(calls[0]?.definition?.action?.action).toMatchObject({ value: { env: [{ name: 'A', value: '1' }] } });
  });
});

describe('list', () => {
  it('fetches a page when it is needed and not before', async () => {
    const server = await setting.server();
    const pages = new Map([
      ['', { tasks: ['a', 'b'], next: 'p2' }],
      ['p2', { tasks: [], next: 'p3' }],
      ['p3', { tasks: ['c'], next: '' }],
    ]);
    const { calls } = server.unary(methods.listTasks, ({ pageToken }) => {
      const page = pages.get(pageToken);
      const tasks = (page?.tasks ?? []).map((taskGuid) => Task.fromPartial({ taskGuid }));
      return { tasks, nextPageToken: page?.next ?? '', revision: 7 };
    });
    const { tasks } = setting.client(server);
    expect((await take(tasks.list({ domain: 'd' }), 2)).map((t) => t.taskGuid)).toEqual(['a', 'b']);
    expect(calls.map((c) => c.pageToken)).toEqual(['']);
    expect((await collect(tasks.list({ domain: 'd' }))).map((t) => t.taskGuid)).toEqual(['a', 'b', 'c']);
    expect(calls.slice(1).map((c) => [c.domain, c.pageToken])).toEqual([
      ['d', ''],
      ['d', 'p2'],
      ['d', 'p3'],
    ]);
  });

  it('does not walk in circles when a server repeats its page token', async () => {
    const server = await setting.server();
    server.unary(methods.listTasks, () => ({ tasks: [], nextPageToken: 'same', revision: 1 }));
    await expect(collect(setting.client(server).tasks.list())).rejects.toThrow('same page token');
  });
});

describe('after an attempt of unknown outcome', () => {
  it('delete succeeds when the repeat no longer finds the task', async () => {
    const server = await setting.server();
    server.unary(methods.deleteTask, (_request, attempt) => {
      throw attempt === 1 ? gone() : unknownTask();
    });
    await expect(setting.client(server).tasks.delete('t')).resolves.toBeUndefined();
  });

  it('cancel succeeds when the task has ended as failed, and shows it', async () => {
    const server = await setting.server();
    server.unary(methods.cancelTask, (_request, attempt) => {
      throw attempt === 1 ? gone() : wrongState();
    });
    server.unary(methods.getTask, () => ({
      task: task(TaskState.COMPLETED, { failed: true, failureReason: 'cancelled' }),
    }));
    const cancelled = await setting.client(server).tasks.cancel('t');
    expect(cancelled.failureReason).toBe('cancelled');
  });

  it('cancel fails when the task ended well by itself', async () => {
    const server = await setting.server();
    server.unary(methods.cancelTask, (_request, attempt) => {
      throw attempt === 1 ? gone() : wrongState();
    });
    server.unary(methods.getTask, () => ({ task: task(TaskState.COMPLETED) }));
    await expect(setting.client(server).tasks.cancel('t')).rejects.toBeInstanceOf(FailedPreconditionError);
  });

  it('resolve never claims a result that another caller may have taken', async () => {
    const server = await setting.server();
    server.unary(methods.resolveTask, (_request, attempt) => {
      throw attempt === 1 ? gone() : wrongState();
    });
    const resolving = setting.client(server).tasks.resolve('t');
    await expect(resolving).rejects.toBeInstanceOf(UnavailableError);
    await expect(resolving).rejects.toThrow('connection lost');
  });

  it('resolve succeeds when the repeat does: then nobody else has it', async () => {
    const server = await setting.server();
    server.unary(methods.resolveTask, (_request, attempt) => {
      if (attempt === 1) throw gone();
      return { task: task(TaskState.RESOLVING, { result: '42' }) };
    });
    expect((await setting.client(server).tasks.resolve('t')).result).toBe('42');
  });

  it('retryCallback succeeds when the callback is being delivered, and not when a client takes the result of a dead letter', async () => {
    const server = await setting.server();
    let attempts = 0;
    server.unary(methods.retryTaskCallback, () => {
      throw ++attempts % 2 === 1 ? gone() : wrongState();
    });
    const callback = { attempts: 0, nextAttemptAt: undefined, lastError: '', givenUpAt: undefined };
    server.unary(methods.getTask, () => ({ task: task(TaskState.RESOLVING, { callback }) }));
    const { tasks } = setting.client(server);
    expect((await tasks.retryCallback('t')).state).toBe(TaskState.RESOLVING);
    const letter = task(TaskState.RESOLVING, { callback: { ...callback, givenUpAt: new Date(1) } });
    server.unary(methods.getTask, () => ({ task: letter }));
    await expect(tasks.retryCallback('t')).rejects.toBeInstanceOf(FailedPreconditionError);
  });
});

describe('without doubt about an earlier attempt the decision stands', () => {
  it('delete of an unknown task is an error', async () => {
    const server = await setting.server();
    server.unary(methods.deleteTask, () => {
      throw unknownTask();
    });
    await expect(setting.client(server).tasks.delete('t')).rejects.toBeInstanceOf(NotFoundError);
  });

  it('cancel of a task that has ended is an error, also after a server refused to decide', async () => {
    const [standby, leader] = [await setting.server(), await setting.server()];
    standby.unary(methods.cancelTask, () => {
      const metadata = { leader_address: leader.address };
      throw statusOf(status.UNAVAILABLE, 'standby', { reason: 'NOT_LEADER', metadata });
    });
    leader.unary(methods.cancelTask, () => {
      throw wrongState();
    });
    await expect(setting.client(standby).tasks.cancel('t')).rejects.toBeInstanceOf(FailedPreconditionError);
  });
});

describe('many over one stream', () => {
  const requestsOf = <Q>(call: ServerDuplexStream<Q, unknown>) =>
    call.iterator({ destroyOnReturn: false }) as AsyncIterable<Q>;

  it('are desired, each with its result', async () => {
    const server = await setting.server();
    const asked: unknown[] = [];
    server.duplex(methods.desireTasks, async (call) => {
      for await (const { sequence, task: wanted } of requestsOf(call)) {
        asked.push(wanted);
        const taken = wanted?.taskGuid === 'b';
        call.write({ sequence, code: taken ? status.ALREADY_EXISTS : 0, message: taken ? 'differs' : '' });
      }
    });
    const results = await collect(
      setting.client(server).tasks.desireMany(['a', 'b'].map((taskGuid) => ({ taskGuid, domain: 'd' }))),
    );
    expect(results.map(({ index, taskGuid, error }) => [index, taskGuid, error?.constructor])).toEqual([
      [0, 'a', undefined],
      [1, 'b', AlreadyExistsError],
    ]);
    expect(asked).toMatchObject([{ taskGuid: 'a', domain: 'd' }, { taskGuid: 'b' }]);
  });

  it('are resolved; what was refused after a break may have been taken by this call or by another', async () => {
    const server = await setting.server();
    server.duplex(methods.resolveTasks, async (call, attempt) => {
      for await (const { sequence, taskGuid } of requestsOf(call)) {
        if (attempt === 1 && taskGuid === 'c') throw gone();
        if (taskGuid === 'a') call.write({ sequence, code: 0, message: '', task: task(TaskState.RESOLVING) });
        else call.write({ sequence, code: status.FAILED_PRECONDITION, message: 'wrong state', task: undefined });
      }
    });
    const results = await collect(setting.client(server).tasks.resolveMany(['a', 'b', 'c']));
    expect(results.map(({ taskGuid, task: found, error }) => [taskGuid, found?.state, error?.constructor])).toEqual([
      ['a', TaskState.RESOLVING, undefined],
      ['b', undefined, FailedPreconditionError],
      ['c', undefined, UnavailableError],
    ]);
  });

  it('are deleted; what is not found after a break is gone', async () => {
    const server = await setting.server();
    server.duplex(methods.deleteTasks, async (call, attempt) => {
      for await (const { sequence, taskGuid } of requestsOf(call)) {
        if (attempt === 1 && taskGuid === 'b') throw gone();
        call.write({ sequence, code: status.NOT_FOUND, message: 'no such task' });
      }
    });
    const results = await collect(setting.client(server).tasks.deleteMany(['a', 'b']));
    expect(results.map(({ taskGuid, error }) => [taskGuid, error?.constructor])).toEqual([
      ['a', NotFoundError],
      ['b', undefined],
    ]);
  });
});
