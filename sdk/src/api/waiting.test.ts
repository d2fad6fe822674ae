import { status } from '@grpc/grpc-js';
import { ActualLrp, ActualLrpPresence, ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { DesiredLrp } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import type { Event } from '@rivera/gen/rivera/bbs/v1/event';
import { EventServiceService, type SnapshotRecord, WatchResponse } from '@rivera/gen/rivera/bbs/v1/event_service';
import { Task, TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import { TaskServiceService } from '@rivera/gen/rivera/bbs/v1/task_service';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { RunningProgress } from '../client.js';
import { CancelledError, DeadlineExceededError, NotFoundError, UnavailableError } from '../errors.js';
import { type FakeServer, statusOf } from '../testing/fake-server.js';
import { Setting } from '../testing/setting.js';

let setting: Setting;
beforeAll(async () => {
  setting = await Setting.make();
});
afterEach(() => setting.endTest());
afterAll(() => setting.end());

type Scene = { records: SnapshotRecord['record'][]; events?: Event['event'][] };
/** Scripts a watch: a snapshot, then one event a message, then silence. */
const showing = (server: FakeServer, { records, events = [] }: Scene) =>
  server.streaming(EventServiceService.watch, (call) => {
    const snapshotRecords = records.map((record) => ({ record }));
    call.write(WatchResponse.fromPartial({ snapshotRecords, snapshotComplete: true, resumeToken: 'k0' }));
    for (const [i, event] of events.entries()) {
      call.write(WatchResponse.fromPartial({ events: [{ revision: i + 1, event }], resumeToken: `k${i + 1}` }));
    }
    return new Promise(() => {});
  });

describe('waiting for a task', () => {
  const task = (state: TaskState, more: Partial<Task> = {}) => Task.fromPartial({ taskGuid: 't', state, ...more });
  const whole = (server: FakeServer) =>
    server.unary(TaskServiceService.getTask, () => ({ task: task(TaskState.COMPLETED, { result: 'whole' }) }));

  it('ends at once when the task has ended', async () => {
    const server = await setting.server();
    const { calls } = showing(server, { records: [{ $case: 'task', value: task(TaskState.COMPLETED) }] });
    whole(server);
    expect((await setting.client(server).tasks.waitForCompletion('t')).result).toBe('whole');
    expect(calls[0]).toMatchObject({ snapshot: true, taskGuids: ['t'] });
  });

  it('follows it until it ends, telling of every change', async () => {
    const server = await setting.server();
    const before = task(TaskState.PENDING);
    showing(server, {
      records: [{ $case: 'task', value: before }],
      events: [
        { $case: 'taskChanged', value: { before, after: task(TaskState.RUNNING) } },
        { $case: 'taskChanged', value: { before, after: task(TaskState.COMPLETED) } },
      ],
    });
    whole(server);
    const states: TaskState[] = [];
    const onChange = ({ state }: Task) => states.push(state);
    expect((await setting.client(server).tasks.waitForCompletion('t', { onChange })).result).toBe('whole');
    expect(states).toEqual([TaskState.PENDING, TaskState.RUNNING, TaskState.COMPLETED]);
  });

  it('is content with what the event shows when the task is gone by then', async () => {
    const server = await setting.server();
    showing(server, {
      records: [{ $case: 'task', value: task(TaskState.RUNNING) }],
      events: [{ $case: 'taskRemoved', value: { task: task(TaskState.RESOLVING, { result: 'seen' }) } }],
    });
    server.unary(TaskServiceService.getTask, () => {
      throw statusOf(status.NOT_FOUND, 'gone');
    });
    expect((await setting.client(server).tasks.waitForCompletion('t')).result).toBe('seen');
  });

  it('fails when there is no such task', async () => {
    const server = await setting.server();
    showing(server, { records: [] });
    await expect(setting.client(server).tasks.waitForCompletion('t')).rejects.toBeInstanceOf(NotFoundError);
  });

  it('outlasts a server that is away when the wait begins: the limit is the caller’s', async () => {
    const server = await setting.server();
    server.stop();
    const wait = setting.client(server, { maxAttempts: 2 }).tasks.waitForCompletion('t', { timeoutMs: 400 });
    await expect(wait).rejects.toBeInstanceOf(DeadlineExceededError);
    expect(setting.waits.length).toBeGreaterThan(2);
  });

  it('without a limit gives up on servers that are not there', async () => {
    const server = await setting.server();
    server.stop();
    const client = setting.client(server, { maxAttempts: 2 });
    const wait = client.tasks.waitForCompletion('t', { timeoutMs: Number.POSITIVE_INFINITY });
    await expect(wait).rejects.toBeInstanceOf(UnavailableError);
  });

  it('ends when time is over or its signal aborts', async () => {
    const server = await setting.server();
    showing(server, { records: [{ $case: 'task', value: task(TaskState.RUNNING) }] });
    const { tasks } = setting.client(server);
    const late = tasks.waitForCompletion('t', { timeoutMs: 50 });
    await expect(late).rejects.toBeInstanceOf(DeadlineExceededError);
    await expect(late).rejects.toThrow('task t ended not within 50 ms');
    const aborted = tasks.waitForCompletion('t', { signal: AbortSignal.abort('no more') });
    await expect(aborted).rejects.toMatchObject({ name: 'CancelledError', cause: 'no more' });
    await expect(aborted).rejects.toBeInstanceOf(CancelledError);
  });
});

describe('waiting for instances', () => {
  const { CLAIMED, RUNNING, UNCLAIMED } = ActualLrpState;
  const { EVACUATING, ORDINARY } = ActualLrpPresence;
  const instance = (index: number, state: ActualLrpState, presence = ORDINARY) =>
    ActualLrp.fromPartial({ key: { processGuid: 'p', index }, state, presence, instanceGuid: `i${index}-${presence}` });
  const record = (value: ActualLrp) => ({ $case: 'actualLrp', value }) as const;
  const desired = (instances: number) => DesiredLrp.fromPartial({ processGuid: 'p', instances });
  const wish = (instances: number) => ({ $case: 'desiredLrp', value: desired(instances) }) as const;
  const changed = (before: ActualLrp, after: ActualLrp) =>
    ({ $case: 'actualLrpChanged', value: { before, after } }) as const;

  it('ends when as many run as are desired, telling how it goes', async () => {
    const server = await setting.server();
    showing(server, {
      records: [wish(2), record(instance(1, RUNNING)), record(instance(0, UNCLAIMED))],
      events: [
        changed(instance(0, UNCLAIMED), instance(0, CLAIMED)),
        changed(instance(0, CLAIMED), instance(0, RUNNING)),
      ],
    });
    const steps: RunningProgress[] = [];
    const onProgress = (progress: RunningProgress) => steps.push(progress);
    const running = await setting.client(server).actualLrps.waitForRunning('p', { onProgress });
    expect(running.map((lrp) => lrp.key?.index)).toEqual([0, 1]);
    expect(steps.map((step) => `${step.running}/${step.wanted}`)).toEqual(['1/2', '1/2', '2/2']);
    expect(steps[1]?.instances.map((lrp) => lrp.state)).toEqual([CLAIMED, RUNNING]);
  });

  it('counts slots, not records: an evacuating instance and its replacement are one', async () => {
    const server = await setting.server();
    showing(server, {
      records: [wish(2), record(instance(0, RUNNING, EVACUATING)), record(instance(0, RUNNING))],
      events: [{ $case: 'actualLrpCreated', value: { actualLrp: instance(1, RUNNING) } }],
    });
    const running = await setting.client(server).actualLrps.waitForRunning('p');
    expect(running.map((lrp) => lrp.instanceGuid)).toEqual([`i0-${ORDINARY}`, `i1-${ORDINARY}`]);
  });

  it('waits for the number it is given, and heeds a change of what is desired', async () => {
    const server = await setting.server();
    const change = { before: desired(3), after: desired(1) };
    showing(server, {
      records: [wish(3), record(instance(0, RUNNING))],
      events: [{ $case: 'desiredLrpChanged', value: change }],
    });
    const { actualLrps } = setting.client(server);
    expect(await actualLrps.waitForRunning('p', { instances: 1 })).toHaveLength(1);
    expect(await actualLrps.waitForRunning('p')).toHaveLength(1);
  });

  it('ends when the LRP does not exist, or is removed meanwhile', async () => {
    const server = await setting.server();
    const { actualLrps } = setting.client(server);
    showing(server, { records: [] });
    await expect(actualLrps.waitForRunning('p')).rejects.toBeInstanceOf(NotFoundError);
    showing(server, {
      records: [wish(1)],
      events: [{ $case: 'desiredLrpRemoved', value: { desiredLrp: desired(1) } }],
    });
    await expect(actualLrps.waitForRunning('p')).rejects.toBeInstanceOf(NotFoundError);
  });
});
