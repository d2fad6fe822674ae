import { status } from '@grpc/grpc-js';
import { ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { CellPresence } from '@rivera/gen/rivera/bbs/v1/cell';
import { DesiredLrp } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import { TaskDefinition } from '@rivera/gen/rivera/bbs/v1/task';
import type { Action } from '@rivera/gen/rivera/recipe/v1/action';
import { ContainerSpec } from '@rivera/gen/rivera/recipe/v1/container';
import { systemClock } from '@rivera/kit/clock';
import { RiveraError } from '@rivera/kit/errors';
import { TestBed } from '@rivera/kit/grpc/test-bed';
import { silentLogger } from '@rivera/kit/log';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { ContainerRecord } from '../executor/executor.js';
import { Reconciler } from './reconciler.js';
import { CellSession } from './session.js';
import { FakeBbs } from './testing/fake-bbs.js';
import { ScriptedExecutor } from './testing/scripted-executor.js';
import { tagsOf, type Work } from './work.js';

const action: Action = {
  action: { $case: 'tryAction', value: { action: undefined, logSource: '' } },
};
const container = ContainerSpec.fromPartial({ rootFs: 'preloaded:busybox' });
const definition = { ...DesiredLrp.fromPartial({ processGuid: 'web', domain: 'd' }), container, action };
const task = { ...TaskDefinition.fromPartial({ resultFile: '/result' }), container, action };

const instance = (guid: string, index = 0): Work => ({
  kind: 'lrp',
  key: { processGuid: 'web', index, domain: 'd' },
  instanceGuid: guid,
});
const execution = (guid: string): Work => ({
  kind: 'task',
  taskGuid: `task-${guid}`,
  executionGuid: guid,
  domain: 'd',
});
const network = {
  hostAddress: '10.0.0.1',
  containerAddress: '10.1.0.2',
  ports: [{ containerPort: 80, hostPort: 61_001 }],
};
const ended = (failureReason: string, rest: Partial<NonNullable<ContainerRecord['result']>> = {}) => ({
  result: { failed: failureReason !== '', failureReason, retryable: false, stopped: false, ...rest },
});

/** Waits until it holds, at most a second or so. */
const eventually = (check: () => void) => vi.waitFor(check, { timeout: 20_000, interval: 5 });

let bed: TestBed;
let bbs: FakeBbs;
let address: string;
let executor: ScriptedExecutor;
let agents: { reconciler: Reconciler; session: CellSession }[];

beforeAll(async () => {
  bed = await TestBed.create();
});
afterAll(() => bed.close());

beforeEach(async () => {
  agents = [];
  executor = new ScriptedExecutor();
  bbs = new FakeBbs();
  bbs.definition = definition;
  bbs.task = task;
  const host = await bed.host();
  bbs.serveOn(host);
  address = `127.0.0.1:${(await host.listen('127.0.0.1:0')).port}`;
});
afterEach(async () => {
  for (const agent of agents) await stop(agent);
});

async function stop({ reconciler, session }: { reconciler: Reconciler; session: CellSession }): Promise<void> {
  await session.close();
  reconciler.close();
}

async function startAgent(servers = [address], clock = systemClock) {
  const reconciler = new Reconciler({ executor, clock, logger: silentLogger });
  const session = new CellSession({
    servers,
    identity: await bed.identity('cell', 'cell-1'),
    presence: CellPresence.fromPartial({ cellId: 'cell-1', zone: 'z1' }),
    incarnation: `incarnation-${agents.length}`,
    reconciler,
    clock,
    logger: silentLogger,
    random: () => 0,
    onEvacuate: () => {},
  });
  reconciler.start();
  session.start();
  const agent = { reconciler, session };
  agents.push(agent);
  return agent;
}

function reserve(guid: string, work: Work): void {
  executor.reserve({ guid, memoryMb: 1, diskMb: 1, rootFs: 'preloaded:busybox', tags: tagsOf(work) });
}

/** An instance that is up and announced. */
async function bringUp(guid: string): Promise<void> {
  reserve(guid, instance(guid));
  await eventually(() => expect(executor.get(guid)?.state).toBe('initializing'));
  executor.become(guid, 'created', { network });
  executor.become(guid, 'running', { routable: true });
  await eventually(() => expect(bbs.seen).toContain(`running ${guid}`));
}

describe('a session with the BBS', () => {
  it('begins with hello and an inventory and sends heartbeats with the digest of what is held', async () => {
    bbs.heartbeatMs = 20;
    const { reconciler, session } = await startAgent();
    await eventually(() => expect(bbs.inventories).toHaveLength(1));
    await bringUp('a');
    await eventually(() => expect(bbs.heartbeats.at(-1)?.count).toBe(1));
    expect(bbs.hellos).toMatchObject([{ presence: { cellId: 'cell-1', zone: 'z1' }, incarnation: 'incarnation-0' }]);
    expect(bbs.inventories[0]).toMatchObject({ requestId: 0, lrps: [], tasks: [], more: false });
    await eventually(() => expect(bbs.heartbeats.at(-1)).toMatchObject(reconciler.held.heartbeat()));
    expect(session.connected).toBe(true);
  });

  it('carries an instance from reservation to crash, and deletes the container only after the crash is durable', async () => {
    await startAgent();
    await bringUp('a');
    expect(executor.runs.get('a')).toMatchObject({ instanceEnv: { INSTANCE_GUID: 'a', INSTANCE_INDEX: '0' } });
    bbs.answer = () => undefined;
    executor.become('a', 'completed', ended('APP: Exited with status 3'));
    await eventually(() => expect(bbs.seen.at(-1)).toBe('crash a: APP: Exited with status 3'));
    expect(executor.get('a')).toBeDefined();
    bbs.ack({ sequence: bbs.transitions.at(-1)?.sequence ?? 0 });
    await eventually(() => expect(executor.get('a')).toBeUndefined());
    expect(bbs.seen).toEqual(['claim a', 'running a', 'crash a: APP: Exited with status 3']);
    expect(bbs.transitions.map(({ sequence }) => sequence)).toEqual([1, 2, 3]);
  });

  it('announces how an instance is reached, and again when it stops being routable', async () => {
    await startAgent();
    await bringUp('a');
    executor.become('a', 'running', { routable: false });
    await eventually(() => expect(bbs.seen.filter((seen) => seen === 'running a')).toHaveLength(2));
    const announced = bbs.transitions.flatMap(({ transition }) =>
      transition?.$case === 'lrpRunning' ? [transition.value] : [],
    );
    expect(announced.map(({ routable }) => routable)).toEqual([true, false]);
    expect(announced[0]?.netInfo).toMatchObject({
      address: '10.0.0.1',
      instanceAddress: '10.1.0.2',
      ports: [{ containerPort: 80, hostPort: 61_001 }],
    });
  });

  it('deletes a container whose claim or announcement is refused', async () => {
    bbs.answer = ({ transition }) => {
      if (transition?.$case === 'lrpClaimed' && transition.value.instanceGuid === 'a') {
        return { code: status.FAILED_PRECONDITION, reason: 'ACTUAL_LRP_CANNOT_BE_CLAIMED' };
      }
      if (transition?.$case === 'lrpRunning') {
        return { code: status.FAILED_PRECONDITION, reason: 'ACTUAL_LRP_CANNOT_BE_STARTED' };
      }
      return {};
    };
    const { reconciler } = await startAgent();
    reserve('a', instance('a'));
    await eventually(() => expect(executor.calls).toEqual(['delete a']));
    await bringUp('b');
    await eventually(() => expect(executor.calls).toEqual(['delete a', 'run b', 'delete b']));
    await eventually(() => expect(reconciler.size).toBe(0));
    expect(reconciler.held.heartbeat()).toEqual({ digest: '0000000000000000', count: 0 });
  });

  it('repeats a report that the BBS could not make durable', async () => {
    let refusals = 2;
    bbs.answer = () => (refusals-- > 0 ? { code: status.UNAVAILABLE, reason: 'DATABASE_UNAVAILABLE' } : {});
    await startAgent();
    reserve('a', instance('a'));
    await eventually(() => expect(executor.calls).toEqual(['run a']));
    expect(bbs.seen).toEqual(['claim a', 'claim a', 'claim a']);
  });

  it('names what it asked for in an inventory while the outcome is open', async () => {
    bbs.answer = () => ({ code: status.UNAVAILABLE, reason: 'OUTCOME_UNKNOWN' });
    await startAgent();
    reserve('a', execution('a'));
    await eventually(() => expect(bbs.seen.length).toBeGreaterThan(1));
    bbs.askInventory(9);
    await eventually(() => expect(bbs.inventories.at(-1)?.requestId).toBe(9));
    expect(bbs.inventories.at(-1)?.tasks.map(({ executionGuid }) => executionGuid)).toEqual(['a']);
  });

  it('reports a definition that can not be run at once and with its cause', async () => {
    bbs.definition = { ...definition, action: undefined };
    bbs.task = { ...task, action: undefined };
    await startAgent();
    reserve('a', instance('a'));
    reserve('b', execution('b'));
    await eventually(() => expect(executor.list()).toEqual([]));
    expect(bbs.seen).toContain('crash a: container cannot have empty action');
    expect(bbs.seen).toContain('complete task-b: failed container cannot have empty action');
  });

  it('completes a Task with the content of its result file', async () => {
    await startAgent();
    reserve('a', execution('a'));
    await eventually(() => expect(executor.get('a')?.state).toBe('initializing'));
    executor.files.set('a:/result', '42');
    executor.become('a', 'completed', ended(''));
    await eventually(() => expect(executor.get('a')).toBeUndefined());
    expect(bbs.seen).toEqual(['start task-a', 'complete task-a: 42']);
  });

  it('rejects a Task that failed before any of its code ran', async () => {
    await startAgent();
    reserve('a', execution('a'));
    await eventually(() => expect(executor.get('a')?.state).toBe('initializing'));
    executor.become('a', 'completed', ended('failed to create container: x', { retryable: true }));
    await eventually(() => expect(executor.get('a')).toBeUndefined());
    expect(bbs.seen).toEqual(['start task-a', 'reject task-a: failed to create container: x']);
  });

  it('never runs a Task that the BBS does not let start', async () => {
    bbs.answer = ({ transition }) =>
      transition?.$case === 'taskStarted' && transition.value.taskGuid === 'task-a'
        ? { shouldStart: false }
        : { code: status.FAILED_PRECONDITION, reason: 'INVALID_STATE_TRANSITION' };
    await startAgent();
    reserve('a', execution('a'));
    reserve('b', execution('b'));
    await eventually(() => expect(executor.list()).toEqual([]));
    expect(executor.calls.sort()).toEqual(['delete a', 'delete b']);
  });
});

describe('heartbeats', () => {
  it('are sent while transitions flow without a pause', async () => {
    bbs.heartbeatMs = 20;
    const containers = executor;
    // Every answer brings another change, of many instances: there is always something to report.
    bbs.answer = ({ transition }) => {
      if (transition?.$case !== 'lrpRunning') return {};
      const { instanceGuid, routable } = transition.value;
      setImmediate(() => containers.become(instanceGuid, 'running', { routable: !routable }));
      return {};
    };
    await startAgent();
    for (let n = 0; n < 50; n++) await bringUp(`i${n}`);
    await eventually(() => {
      const kinds = bbs.order.join(' ');
      expect(kinds).toMatch(/(transitions heartbeat .*){5}transitions/);
    });
  });

  it('go on in the same session after a pause, however long: whether it stands is the server’s to say', async () => {
    bbs.heartbeatMs = 20;
    let stoodStillMs = 0;
    await startAgent([address], { ...systemClock, now: () => Date.now() + stoodStillMs });
    await bringUp('a');
    await eventually(() => expect(bbs.heartbeats.length).toBeGreaterThan(2));
    stoodStillMs = bbs.presenceTtlMs + 1;
    const heard = bbs.heartbeats.length;
    await eventually(() => expect(bbs.heartbeats.length).toBeGreaterThan(heard + 5));
    expect(bbs.hellos).toHaveLength(1);
    expect(bbs.seen).toEqual(['claim a', 'running a']);
  });
});

describe('a session that follows another one', () => {
  const afterwards = () => bbs.order.slice(bbs.order.lastIndexOf('hello'));

  /** One of everything: an instance on its way and one that is up, a Task on its way and one that runs. */
  async function fill(): Promise<void> {
    await bringUp('up');
    reserve('coming', instance('coming', 1));
    reserve('made', execution('made'));
    reserve('busy', execution('busy'));
    await eventually(() => expect(executor.calls).toHaveLength(4));
    executor.become('busy', 'running');
    bbs.transitions.length = 0;
    executor.calls.length = 0;
  }

  it('announces everything once more behind the inventory, runs nothing twice, and is not long in coming', async () => {
    const { reconciler } = await startAgent();
    await fill();
    const digest = reconciler.held.heartbeat();
    bbs.breakSession(new RiveraError('CELL_NOT_FOUND', 'this cell was counted as missing'));
    await eventually(() => expect(bbs.transitions).toHaveLength(4));
    expect(bbs.seen.sort()).toEqual([
      'claim coming again',
      'running up',
      'start task-busy again',
      'start task-made again',
    ]);
    expect(afterwards()).toEqual(['hello', 'inventory', 'transitions']);
    // A command that changes something shows when all answers were taken.
    executor.become('up', 'running', { routable: false });
    await eventually(() => expect(bbs.seen.slice(4)).toEqual(['running up']));
    expect(executor.calls).toEqual([]);
    expect(reconciler.held.heartbeat()).toEqual(digest);
  });

  it('knows the result file of a Task still', async () => {
    await startAgent();
    await fill();
    bbs.breakSession();
    await eventually(() => expect(bbs.transitions).toHaveLength(4));
    executor.files.set('busy:/result', '42');
    executor.become('busy', 'completed', ended(''));
    await eventually(() => expect(bbs.seen).toContain('complete task-busy: 42'));
  });

  it('gives up what the BBS has given to somebody else meanwhile', async () => {
    const { reconciler } = await startAgent();
    await fill();
    const refusals: Record<string, string> = {
      lrpClaimed: 'ACTUAL_LRP_CANNOT_BE_CLAIMED',
      lrpRunning: 'ACTUAL_LRP_CANNOT_BE_STARTED',
      taskStarted: 'INVALID_STATE_TRANSITION',
    };
    bbs.answer = ({ transition }) => ({
      code: status.FAILED_PRECONDITION,
      reason: refusals[transition?.$case ?? ''] ?? '',
    });
    bbs.breakSession();
    await eventually(() => expect(executor.list()).toEqual([]));
    expect(executor.calls.sort()).toEqual(['delete busy', 'delete coming', 'delete made', 'delete up']);
    await eventually(() => expect(reconciler.size).toBe(0));
    expect(reconciler.held.heartbeat().count).toBe(0);
  });

  it('reports what ended in between as ended, and nothing else about it', async () => {
    await startAgent();
    await fill();
    bbs.breakSession();
    executor.become('up', 'completed', ended('APP: Exited with status 3'));
    executor.become('busy', 'completed', ended(''));
    await eventually(() => expect(executor.list().map(({ guid }) => guid)).toEqual(['coming', 'made']));
    expect(bbs.seen.filter((seen) => /up|busy/.test(seen)).sort()).toEqual([
      'complete task-busy: failed failed to fetch result',
      'crash up: APP: Exited with status 3',
    ]);
  });

  it('says again what could not be made durable', async () => {
    await startAgent();
    await bringUp('a');
    bbs.transitions.length = 0;
    let refusals = 2;
    bbs.answer = () => (refusals-- > 0 ? { code: status.UNAVAILABLE, reason: 'DATABASE_UNAVAILABLE' } : {});
    bbs.breakSession();
    await eventually(() => expect(bbs.seen).toEqual(['running a', 'running a', 'running a']));
  });

  it('announces everything when the BBS asks for the inventory, as it believes something else', async () => {
    await startAgent();
    await fill();
    bbs.askInventory(3);
    await eventually(() => expect(bbs.transitions).toHaveLength(4));
    expect(bbs.inventories.at(-1)).toMatchObject({ requestId: 3, more: false });
    expect(bbs.order.slice(-2)).toEqual(['inventory', 'transitions']);
  });
});

describe('a lost connection', () => {
  it('sends what was not acknowledged again, in order and with the same numbers, before the inventory that names it', async () => {
    await startAgent();
    await bringUp('a');
    bbs.answer = () => undefined;
    reserve('b', instance('b', 1));
    reserve('c', execution('c'));
    await eventually(() => expect(bbs.seen.slice(-2)).toEqual(['claim b', 'start task-c']));
    bbs.answer = () => undefined;
    bbs.breakSession();
    await eventually(() => expect(bbs.transitions.map(({ sequence }) => sequence)).toEqual([1, 2, 3, 4, 3, 4, 5]));
    expect(bbs.seen.slice(4)).toEqual(['claim b', 'start task-c', 'running a']);
    expect(bbs.order.slice(bbs.order.lastIndexOf('hello'))).toEqual([
      'hello',
      'transitions',
      'inventory',
      'transitions',
    ]);
    expect(bbs.hellos.map(({ incarnation }) => incarnation)).toEqual(['incarnation-0', 'incarnation-0']);
    expect(bbs.inventories[1]?.lrps.map(({ instanceGuid, state }) => [instanceGuid, state])).toEqual([
      ['a', ActualLrpState.RUNNING],
      ['b', ActualLrpState.CLAIMED],
    ]);
    expect(bbs.inventories[1]?.tasks.map(({ taskGuid }) => taskGuid)).toEqual(['task-c']);
    // The answer comes twice: once for each time it was sent.
    const ack = { sequence: 4, shouldStart: true, taskDefinition: task };
    bbs.ack(ack);
    bbs.ack(ack);
    bbs.ack({ sequence: 3, desiredLrp: definition });
    await eventually(() => expect(executor.calls.slice(-2).sort()).toEqual(['run b', 'run c']));
    expect(executor.calls.filter((call) => call === 'run c')).toHaveLength(1);
  });

  it('finds the leader that a standby names', async () => {
    const standby = new FakeBbs();
    standby.refuse = new RiveraError('NOT_LEADER', 'standing by', { metadata: { leader_address: address } });
    const host = await bed.host();
    standby.serveOn(host);
    const { port } = await host.listen('127.0.0.1:0');
    await startAgent([`127.0.0.1:${port}`, '127.0.0.1:1']);
    await eventually(() => expect(bbs.hellos).toHaveLength(1));
  });

  it('comes to the next server when one is gone', async () => {
    await startAgent(['127.0.0.1:1', address]);
    await eventually(() => expect(bbs.hellos).toHaveLength(1));
  });
});

describe('an agent that was started anew', () => {
  it('says what it holds, announces what runs and what ended meanwhile, and runs nothing twice', async () => {
    const first = await startAgent();
    await bringUp('up');
    await bringUp('crashed');
    reserve('done', execution('done'));
    reserve('busy', execution('busy'));
    await eventually(() => expect(executor.get('busy')?.state).toBe('initializing'));
    await eventually(() => expect(executor.get('done')?.state).toBe('initializing'));
    executor.become('busy', 'running');
    await stop(first);

    reserve('waiting', instance('waiting', 7));
    executor.become('crashed', 'completed', ended('APP: Exited with status 1'));
    executor.files.set('done:/result', 'result');
    executor.become('done', 'completed', ended(''));
    bbs.transitions.length = 0;
    executor.calls.length = 0;
    await startAgent();

    await eventually(() => expect(executor.list().map(({ guid }) => guid)).toEqual(['up', 'busy', 'waiting']));
    await eventually(() => expect(executor.get('waiting')?.state).toBe('initializing'));
    const inventory = bbs.inventories.at(-1);
    expect(inventory?.lrps.map(({ instanceGuid }) => instanceGuid)).toEqual(expect.arrayContaining(['up', 'crashed']));
    expect(inventory?.tasks.map(({ executionGuid }) => executionGuid).sort()).toEqual(['busy', 'done']);
    expect(bbs.seen.sort()).toEqual([
      'claim waiting',
      'complete task-done: result',
      'crash crashed: APP: Exited with status 1',
      'running up',
      'start task-busy',
      'start task-done',
    ]);
    expect(executor.calls.filter((call) => call.startsWith('run'))).toEqual(['run waiting']);
    expect(bbs.hellos.at(-1)?.incarnation).toBe('incarnation-1');
  });

  it('deletes the container of a Task that was cancelled meanwhile', async () => {
    const first = await startAgent();
    reserve('a', execution('a'));
    await eventually(() => expect(executor.get('a')?.state).toBe('initializing'));
    executor.become('a', 'running');
    await stop(first);
    bbs.answer = () => ({ code: status.FAILED_PRECONDITION, reason: 'INVALID_STATE_TRANSITION' });
    await startAgent();
    await eventually(() => expect(executor.get('a')).toBeUndefined());
  });
});

describe('a command of the BBS', () => {
  it('to stop an instance ends in its removal', async () => {
    await startAgent();
    await bringUp('a');
    bbs.command({
      $case: 'stopLrp',
      value: { key: { processGuid: 'web', index: 0, domain: 'd' }, instanceGuid: 'a', reason: '' },
    });
    await eventually(() => expect(executor.get('a')).toBeUndefined());
    expect(bbs.seen.at(-1)).toBe('remove a');
    expect(executor.calls.slice(-2)).toEqual(['stop a', 'delete a']);
  });

  it('to stop an instance that is not here is answered with its removal', async () => {
    const { reconciler } = await startAgent();
    await eventually(() => expect(bbs.hellos).toHaveLength(1));
    bbs.command({
      $case: 'stopLrp',
      value: { key: { processGuid: 'web', index: 0, domain: 'd' }, instanceGuid: 'x', reason: '' },
    });
    await eventually(() => expect(bbs.seen).toEqual(['remove x']));
    await eventually(() => expect(reconciler.size).toBe(0));
  });

  it('to cancel a Task deletes its container, without a report', async () => {
    await startAgent();
    reserve('a', execution('a'));
    await eventually(() => expect(executor.get('a')?.state).toBe('initializing'));
    bbs.command({ $case: 'cancelTask', value: { taskGuid: 'task-a', executionGuid: '' } });
    await eventually(() => expect(executor.get('a')).toBeUndefined());
    expect(bbs.seen).toEqual(['start task-a']);
  });

  it('to cancel a Task holds even while its start is not answered', async () => {
    bbs.answer = () => undefined;
    await startAgent();
    reserve('a', execution('a'));
    await eventually(() => expect(bbs.seen).toEqual(['start task-a']));
    bbs.command({ $case: 'cancelTask', value: { taskGuid: 'task-a', executionGuid: 'a' } });
    await eventually(() => expect(executor.get('a')).toBeUndefined());
    bbs.ack({ sequence: 1, shouldStart: true, taskDefinition: task });
    bbs.askInventory(5);
    await eventually(() => expect(bbs.inventories.at(-1)).toMatchObject({ requestId: 5, lrps: [], tasks: [] }));
    expect(executor.calls).toEqual(['delete a']);
  });

  it('to update an instance changes it and announces the change', async () => {
    await startAgent();
    await bringUp('a');
    bbs.command({
      $case: 'updateLrp',
      value: {
        key: { processGuid: 'web', index: 0, domain: 'd' },
        instanceGuid: 'a',
        internalRoutes: [{ hostname: 'web.internal' }],
        metricTags: { team: 'shop' },
      },
    });
    await eventually(() => expect(bbs.seen.filter((seen) => seen === 'running a')).toHaveLength(2));
    const last = bbs.transitions.at(-1)?.transition;
    expect(last?.value).toMatchObject({ internalRoutes: [{ hostname: 'web.internal' }], metricTags: { team: 'shop' } });
  });

  it('to update an instance to what it is already changes and reports nothing', async () => {
    await startAgent();
    await bringUp('a');
    const value = {
      key: { processGuid: 'web', index: 0, domain: 'd' },
      instanceGuid: 'a',
      internalRoutes: [{ hostname: 'web.internal' }],
      metricTags: { team: 'shop', tier: '1' },
    };
    bbs.command({ $case: 'updateLrp', value });
    await eventually(() => expect(bbs.seen).toEqual(['claim a', 'running a', 'running a']));
    bbs.command({ $case: 'updateLrp', value: { ...value, metricTags: { tier: '1', team: 'shop' } } });
    bbs.command({ $case: 'updateLrp', value: { ...value, instanceGuid: 'none' } });
    // What comes behind it shows that it was handled.
    await bringUp('b');
    expect(bbs.seen).toEqual(['claim a', 'running a', 'running a', 'claim b', 'running b']);
    bbs.command({ $case: 'updateLrp', value: { ...value, internalRoutes: [], metricTags: {} } });
    await eventually(() => expect(bbs.seen).toHaveLength(6));
    expect(bbs.transitions.at(-1)?.transition?.value).toMatchObject({ internalRoutes: [], metricTags: {} });
  });

  it('to evacuate is confirmed, and told again to the next server', async () => {
    await startAgent();
    await eventually(() => expect(bbs.hellos).toHaveLength(1));
    bbs.command({ $case: 'evacuate', value: {} });
    await eventually(() => expect(bbs.updates).toEqual([true]));
    bbs.breakSession();
    await eventually(() => expect(bbs.updates).toEqual([true, true]));
  });
});

describe('load', () => {
  it('carries ten thousand instances in batches', async () => {
    const { reconciler } = await startAgent();
    await eventually(() => expect(bbs.hellos).toHaveLength(1));
    executor.total.memoryMb = executor.total.diskMb = 100_000;
    const count = 10_000;
    for (let n = 0; n < count; n++) reserve(`i${n}`, instance(`i${n}`, n));
    await eventually(() => expect(executor.runs.size).toBe(count));
    for (let n = 0; n < count; n++) executor.become(`i${n}`, 'running', { routable: true, network });
    await vi.waitFor(() => expect(bbs.transitions).toHaveLength(2 * count), { timeout: 10_000, interval: 20 });
    bbs.askInventory(1);
    await eventually(() => expect(bbs.inventories.at(-1)?.more).toBe(false));
    await eventually(() => expect(bbs.inventories.filter(({ requestId }) => requestId === 1)).toHaveLength(10));
    expect(reconciler.held.size).toBe(count);
  }, 30_000);

  it('announces twenty thousand instances again in batches, behind an inventory without gaps', async () => {
    const { reconciler } = await startAgent();
    executor.total.memoryMb = executor.total.diskMb = 100_000;
    const count = 20_000;
    for (let n = 0; n < count; n++) reserve(`i${n}`, instance(`i${n}`, n));
    await eventually(() => expect(executor.runs.size).toBe(count));
    for (let n = 0; n < count; n++) executor.become(`i${n}`, 'running', { routable: true, network });
    await vi.waitFor(() => expect(bbs.transitions).toHaveLength(2 * count), { timeout: 10_000, interval: 20 });
    await eventually(() => expect(reconciler.outbox.size).toBe(0));
    bbs.transitions.length = 0;
    bbs.breakSession();
    await vi.waitFor(() => expect(bbs.transitions).toHaveLength(count), { timeout: 10_000, interval: 20 });
    const order = bbs.order.slice(bbs.order.lastIndexOf('hello'));
    expect(order.slice(0, 22)).toEqual(['hello', ...Array<string>(20).fill('inventory'), 'transitions']);
    expect(order.length).toBeLessThan(22 + 2 * (count / 1_000));
  }, 30_000);
});
