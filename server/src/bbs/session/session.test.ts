import { ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { DesiredLrp } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import type {
  CellInventory,
  SessionRequest,
  SessionResponse,
  Transition,
  TransitionAck,
} from '@rivera/gen/rivera/bbs/v1/session_service';
import { SessionResponse as SessionResponseMessage } from '@rivera/gen/rivera/bbs/v1/session_service';
import { TaskDefinition, TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import { RiveraError } from '@rivera/kit/errors';
import { silentLogger } from '@rivera/kit/log';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Outgoing } from '../../stream/outgoing.js';
import { cellLost } from '../core/cell.js';
import { removeDesiredLrp } from '../core/desired-lrp.js';
import { EngineBench, Gate, turns } from '../engine/testing.js';
import { PayloadCache } from '../payload-cache.js';
import { digestOfCell } from './digest.js';
import { Session, type SessionContext } from './session.js';

let bench: EngineBench;
beforeEach(async () => {
  bench = await EngineBench.open();
  await bench.cell('c1');
});
afterEach(() => bench.close());

/** One cell's session, and what is heard on it. */
function openSession({ capacity = 1_000, ...context }: Partial<SessionContext> & { capacity?: number } = {}) {
  const { engine, journal } = bench;
  const seen: string[] = [];
  const unheard: string[] = [];
  const outgoing = new Outgoing<SessionResponse>(capacity);
  const session = new Session(
    {
      engine,
      runInfos: new PayloadCache(0, (guids) => journal.readRunInfos(guids)),
      taskDefinitions: new PayloadCache(0, (guids) => journal.readTaskDefinitions(guids)),
      log: silentLogger,
      seen: (cellId) => seen.push(cellId),
      deafTo: (cellId) => {
        unheard.push(cellId);
        return () => void unheard.pop();
      },
      ...context,
    },
    { cellId: 'c1', zone: 'z1' },
    outgoing,
  );
  const heard = outgoing[Symbol.asyncIterator]();
  /** The next message; throws what the session ends with. */
  const hears = async (): Promise<SessionResponse['message']> => {
    const next = await heard.next();
    if (next.done) throw new Error('the session has ended');
    return next.value.message;
  };
  /** The acknowledgements of the next message. */
  const hearsAcks = async (): Promise<TransitionAck[]> => {
    const message = await hears();
    if (message?.$case !== 'acks') throw new Error(`heard ${message?.$case}`);
    return message.value.acks;
  };
  const says = (message: SessionRequest['message']) => session.receive({ message });
  let sequence = 0;
  const reports = (...transitions: Transition['transition'][]) =>
    says({
      $case: 'transitions',
      value: { transitions: transitions.map((transition) => ({ sequence: ++sequence, transition })) },
    });
  return { session, seen, unheard, outgoing, hears, hearsAcks, says, reports };
}

const claimed = (processGuid: string, options: { instanceGuid?: string; includeDefinition?: boolean } = {}) => ({
  $case: 'lrpClaimed' as const,
  value: {
    key: { processGuid, index: 0, domain: 'd' },
    instanceGuid: options.instanceGuid ?? `i-${processGuid}`,
    includeDefinition: options.includeDefinition ?? false,
  },
});
const started = (taskGuid: string, includeDefinition = false) => ({
  $case: 'taskStarted' as const,
  value: { taskGuid, executionGuid: `e-${taskGuid}`, includeDefinition },
});
const inventory = (value: Partial<CellInventory>) => ({
  $case: 'inventory' as const,
  value: { requestId: 0, lrps: [], tasks: [], more: false, ...value },
});
const recipe = (processGuid: string, annotation = '') =>
  DesiredLrp.encode(DesiredLrp.fromPartial({ processGuid, annotation })).finish();

describe('acknowledgements', () => {
  it('leave only once what they acknowledge is durable, in the order of their batches', async () => {
    for (const guid of ['p', 'q', 'r']) await bench.lrp(guid);
    const cell = openSession();
    const gate = bench.closeGate();
    const heard: number[] = [];
    await cell.reports(claimed('p'), claimed('q'));
    await cell.reports(claimed('r'));
    const listening = (async () => {
      while (heard.length < 3) heard.push(...(await cell.hearsAcks()).map(({ sequence }) => sequence));
    })();
    await gate.reached;
    await turns();
    expect(heard).toEqual([]);
    gate.open();
    await listening;
    expect(heard).toEqual([1, 2, 3]);
    expect(bench.database.actualLrps.get('r/0')).toMatchObject({ state: ActualLrpState.CLAIMED, cellId: 'c1' });
  });

  it('do not overtake those of an earlier batch whose recipes are still being read', async () => {
    await bench.lrp('p', 1, { runInfo: recipe('p') });
    await bench.lrp('q');
    const gate = new Gate();
    const read = async (guids: readonly string[]) => {
      await gate.pass();
      return bench.journal.readRunInfos(guids);
    };
    const cell = openSession({ runInfos: new PayloadCache(0, read) });
    await cell.reports(claimed('p', { includeDefinition: true }));
    await cell.reports(claimed('q'));
    const first = cell.hearsAcks();
    await gate.reached;
    await bench.engine.durable();
    await turns();
    gate.open();
    expect((await first).map(({ sequence }) => sequence)).toEqual([1]);
    expect((await cell.hearsAcks()).map(({ sequence }) => sequence)).toEqual([2]);
  });

  it('say what the BBS does not agree with, each in its place, and the session goes on', async () => {
    await bench.lrp('p');
    const cell = openSession();
    await cell.reports(claimed('nobody-wants-it'), claimed('p'), undefined);
    expect(await cell.hearsAcks()).toMatchObject([
      { sequence: 1, code: 5, reason: 'ACTUAL_LRP_NOT_FOUND' },
      { sequence: 2, code: 0, reason: '' },
      { sequence: 3, code: 3, reason: 'INVALID_REQUEST' },
    ]);
    await cell.reports(claimed('p'));
    expect(await cell.hearsAcks()).toMatchObject([{ code: 0 }]);
  });

  it('tell to start a Task, and so again to the same execution that asks again', async () => {
    await bench.task('t');
    const cell = openSession();
    for (let i = 0; i < 2; i++) {
      await cell.reports(started('t'));
      expect(await cell.hearsAcks()).toMatchObject([{ code: 0, shouldStart: true }]);
    }
    await cell.reports({ $case: 'taskStarted', value: { ...started('t').value, executionGuid: 'another' } });
    expect(await cell.hearsAcks()).toMatchObject([{ reason: 'INVALID_STATE_TRANSITION', shouldStart: false }]);
  });
});

describe('recipes', () => {
  it('come with the acknowledgement that asks for them, and with no other', async () => {
    await bench.lrp('p', 1, { runInfo: recipe('p', 'of p') });
    await bench.lrp('q', 1, { runInfo: recipe('q') });
    const definition = TaskDefinition.encode(TaskDefinition.fromPartial({ annotation: 'of t' })).finish();
    await bench.task('t', { definition });
    const cell = openSession();
    await cell.reports(claimed('p', { includeDefinition: true }), claimed('q'), started('t', true));
    expect(await cell.hearsAcks()).toMatchObject([
      { desiredLrp: { processGuid: 'p', requirements: { memoryMb: 64 } }, taskDefinition: undefined },
      { desiredLrp: undefined, taskDefinition: undefined },
      { desiredLrp: undefined, taskDefinition: { annotation: 'of t' }, shouldStart: true },
    ]);
  });

  it('go in several messages when they are large, each of a bounded size, in order', async () => {
    const guids = ['a', 'b', 'c', 'd', 'e'];
    for (const guid of guids) await bench.lrp(guid, 1, { runInfo: recipe(guid, 'x'.repeat(600_000)) });
    const cell = openSession();
    await cell.reports(...guids.map((guid) => claimed(guid, { includeDefinition: true })));
    const heard: string[][] = [];
    while (heard.flat().length < guids.length) {
      const acks = await cell.hearsAcks();
      const message = { $case: 'acks' as const, value: { acks } };
      expect(SessionResponseMessage.encode({ message }).finish().length).toBeLessThan(2 * 1024 * 1024);
      heard.push(acks.map((ack) => ack.desiredLrp?.processGuid ?? ''));
    }
    expect(heard).toEqual([['a', 'b'], ['c', 'd'], ['e']]);
  });

  it('that are gone by the time they are read refuse what asked for them', async () => {
    await bench.lrp('p');
    await bench.task('t');
    const nothing = new PayloadCache(0, async () => new Map());
    const cell = openSession({ runInfos: nothing, taskDefinitions: nothing });
    await cell.reports(claimed('p', { includeDefinition: true }), started('t', true));
    expect(await cell.hearsAcks()).toMatchObject([
      { reason: 'DESIRED_LRP_NOT_FOUND', code: 5 },
      { reason: 'TASK_NOT_FOUND', code: 5, shouldStart: false },
    ]);
  });

  it('are of the LRP as it was claimed: what is not durable yet is told to nobody', async () => {
    await bench.lrp('p', 1, { runInfo: recipe('p') });
    const cell = openSession();
    const gate = bench.closeGate();
    await cell.reports(claimed('p', { includeDefinition: true }));
    await gate.reached;
    bench.engine.apply((draft) => removeDesiredLrp(draft, 'p'));
    const removal = bench.closeGate();
    gate.open();
    expect(await cell.hearsAcks()).toMatchObject([{ code: 0, desiredLrp: { processGuid: 'p', instances: 1 } }]);
    expect(bench.database.desiredLrps.has('p')).toBe(true);
    removal.open();
  });

  it('that can not be read end the session: the cell comes again', async () => {
    await bench.lrp('p');
    const away = new PayloadCache(0, () => Promise.reject(new RiveraError('DATABASE_UNAVAILABLE', 'away')));
    const cell = openSession({ runInfos: away });
    await cell.reports(claimed('p', { includeDefinition: true }));
    await expect(cell.hears()).rejects.toMatchObject({ reason: 'DATABASE_UNAVAILABLE' });
  });
});

describe('a session that is over', () => {
  it('is not heard any more: what is left on a replaced one speaks of a time that is over', async () => {
    await bench.lrp('p');
    const cell = openSession();
    cell.session.replace(new RiveraError('SESSION_REPLACED', 'the cell has come again'));
    await expect(cell.reports(claimed('p'))).rejects.toMatchObject({ reason: 'SESSION_REPLACED' });
    await expect(cell.hears()).rejects.toMatchObject({ reason: 'SESSION_REPLACED' });
    expect(bench.slot('p')).toMatchObject({ state: ActualLrpState.UNCLAIMED });
    expect(cell.seen).toEqual([]);
  });

  it('is not heard when the cell was declared missing: it begins anew, with all that the cell has', async () => {
    await bench.lrp('p');
    const cell = openSession();
    await bench.engine.execute((draft) => cellLost(draft, 'c1'));
    const heartbeat = { $case: 'heartbeat' as const, value: { digest: '', count: 0, unanswered: 0 } };
    await expect(cell.says(heartbeat)).rejects.toMatchObject({ reason: 'SESSION_REPLACED' });
    await expect(cell.reports(claimed('p'))).rejects.toMatchObject({ reason: 'SESSION_REPLACED' });
    expect(bench.slot('p')?.cellId).toBe('');
    expect(cell.seen).toEqual([]);
  });

  it('ends for a cell that does not read what it is sent', async () => {
    const cell = openSession({ capacity: 1 });
    const stop = { command: { $case: 'evacuate' as const, value: {} } };
    cell.session.command([stop]);
    cell.session.command([stop]);
    await expect(cell.hears()).rejects.toMatchObject({ reason: 'TOO_MANY_REQUESTS' });
  });

  it('ends with the engine, also while a recipe is being read for ever', async () => {
    await bench.task('t');
    const cell = openSession({ taskDefinitions: new PayloadCache(0, () => new Promise(() => {})) });
    await cell.reports(started('t', true));
    await bench.engine.durable();
    bench.engine.close(new RiveraError('NOT_LEADER', 'the lease is lost'));
    // What the term does with its sessions; anything left unhandled fails this file.
    await cell.reports(started('t'));
    cell.session.replace(new RiveraError('NOT_LEADER', 'the lease is lost'));
    await expect(cell.hears()).rejects.toMatchObject({ reason: 'NOT_LEADER' });
  });
});

describe('bounds', () => {
  it('let 32 batches wait for the database; then the cell is not read until one is durable', async () => {
    await bench.lrp('p');
    const cell = openSession();
    const gate = bench.closeGate();
    for (let i = 0; i < 31; i++) await cell.reports(claimed('p'));
    let room = false;
    const last = cell.reports(claimed('p')).then(() => {
      room = true;
    });
    await gate.reached;
    await turns();
    expect(room).toBe(false);
    // That it is not read is no silence of the cell.
    expect(cell.unheard).toEqual(['c1']);
    gate.open();
    await last;
    expect(cell.unheard).toEqual([]);
    for (let sequence = 1; sequence <= 32; sequence++) expect(await cell.hearsAcks()).toMatchObject([{ sequence }]);
  });

  it('hold nobody for ever: a session that is replaced while it waits for room ends', async () => {
    await bench.lrp('p');
    const cell = openSession();
    bench.closeGate();
    for (let i = 0; i < 31; i++) await cell.reports(claimed('p'));
    const waiting = cell.reports(claimed('p'));
    cell.session.replace(new RiveraError('SESSION_REPLACED', 'the cell has come again'));
    await waiting;
    expect(cell.unheard).toEqual([]);
    await expect(cell.hears()).rejects.toMatchObject({ reason: 'SESSION_REPLACED' });
  });

  it('hold nobody for ever: an engine that ends makes room, and the session learns of it', async () => {
    await bench.lrp('p');
    const cell = openSession();
    const gate = bench.closeGate();
    for (let i = 0; i < 31; i++) await cell.reports(claimed('p'));
    const waiting = cell.reports(claimed('p'));
    await gate.reached;
    bench.engine.close(new RiveraError('NOT_LEADER', 'the lease is lost'));
    await waiting;
    await expect(cell.hears()).rejects.toMatchObject({ reason: 'OUTCOME_UNKNOWN' });
  });

  it('refuse a batch of more than 1,000 transitions and an inventory of more than 100,000 items', async () => {
    const cell = openSession();
    const tooMany = cell.reports(...Array.from({ length: 1_001 }, () => claimed('p')));
    await expect(tooMany).rejects.toMatchObject({ reason: 'INVALID_REQUEST' });
    const tasks = Array.from({ length: 50_001 }, (_, i) => ({ taskGuid: `t${i}`, executionGuid: 'e' }));
    await cell.says(inventory({ tasks, more: true }));
    await expect(cell.says(inventory({ tasks }))).rejects.toMatchObject({ reason: 'INVALID_REQUEST' });
  });

  it('let hello be said once, and a message that means nothing pass', async () => {
    const cell = openSession();
    const hello = { $case: 'hello' as const, value: { presence: undefined, incarnation: '' } };
    await expect(cell.says(hello)).rejects.toMatchObject({ reason: 'INVALID_REQUEST' });
    await cell.says(undefined);
    expect(cell.seen).toEqual(['c1', 'c1']);
  });
});

describe('the inventory', () => {
  const held = (processGuid: string) => ({
    key: { processGuid, index: 0, domain: 'd' },
    instanceGuid: `i-${processGuid}`,
    state: ActualLrpState.CLAIMED,
  });

  beforeEach(async () => {
    for (const guid of ['p', 'q', 'new']) await bench.lrp(guid);
    for (const guid of ['t', 'u', 'new-task']) await bench.task(guid);
  });

  it('is compared when its last part has come: what the cell does not have is lost', async () => {
    const cell = openSession();
    await cell.reports(claimed('p'), claimed('q'), started('t'), started('u'));
    await cell.says(inventory({ lrps: [held('p')], more: true }));
    expect(bench.slot('q')?.cellId).toBe('c1');
    await cell.says(inventory({ tasks: [{ taskGuid: 't', executionGuid: 'e-t' }] }));
    expect(bench.slot('p')).toMatchObject({ state: ActualLrpState.CLAIMED, cellId: 'c1' });
    expect(bench.slot('q')).toMatchObject({ state: ActualLrpState.UNCLAIMED, cellId: '' });
    expect(bench.engine.state.tasks.get('t')?.state).toBe(TaskState.RUNNING);
    expect(bench.engine.state.tasks.get('u')).toMatchObject({
      state: TaskState.COMPLETED,
      failureReason: 'task container does not exist',
    });
  });

  it('does not lose what the cell took while the parts came in', async () => {
    const cell = openSession();
    await cell.says(inventory({ more: true }));
    await cell.reports(claimed('new'), started('new-task'));
    await cell.says(inventory({}));
    expect(bench.slot('new')).toMatchObject({ state: ActualLrpState.CLAIMED, cellId: 'c1' });
    expect(bench.engine.state.tasks.get('new-task')?.state).toBe(TaskState.RUNNING);
  });

  it('excuses what was taken meanwhile once: the next inventory must have it', async () => {
    const cell = openSession();
    await cell.says(inventory({ more: true }));
    await cell.reports(claimed('new'));
    await cell.says(inventory({}));
    await cell.says(inventory({}));
    expect(bench.slot('new')).toMatchObject({ state: ActualLrpState.UNCLAIMED });
  });

  it('excuses nothing that was taken before its first part, or refused', async () => {
    const cell = openSession();
    await cell.reports(claimed('p'));
    await cell.says(inventory({ more: true }));
    await cell.reports(claimed('p', { instanceGuid: 'another' }));
    await cell.says(inventory({}));
    expect(bench.slot('p')).toMatchObject({ state: ActualLrpState.UNCLAIMED });
  });

  it('has what nobody wants stopped', async () => {
    const cell = openSession();
    await cell.reports(claimed('p'));
    await bench.engine.execute((draft) => removeDesiredLrp(draft, 'p'));
    await cell.says(inventory({ lrps: [held('p')], tasks: [{ taskGuid: 'gone', executionGuid: 'e' }] }));
    expect(bench.commits.at(-1)?.effects).toMatchObject([
      { kind: 'stop-lrp', instance: { instanceGuid: 'i-p', cellId: 'c1' } },
      { kind: 'cancel-task', cellId: 'c1', taskGuid: 'gone', executionGuid: 'e' },
    ]);
  });
});

describe('heartbeats', () => {
  const beat = (digest: string, count: number, unanswered = 0) => ({
    $case: 'heartbeat' as const,
    value: { digest, count, unanswered },
  });

  it('are compared at every sixth: a difference asks for the inventory, agreement says nothing', async () => {
    await bench.lrp('p');
    const cell = openSession();
    await cell.reports(claimed('p'));
    await cell.hearsAcks();
    const { digest, count } = digestOfCell(bench.engine.state, 'c1');
    expect(count).toBe(1);
    for (let i = 0; i < 6; i++) await cell.says(beat(digest, count));
    for (let i = 0; i < 11; i++) await cell.says(beat(digest, 2));
    await cell.says(beat('another', count));
    // Had the first six asked as well, these would not be the first two.
    expect(await cell.hears()).toEqual({ $case: 'inventoryRequest', value: { requestId: 1 } });
    expect(await cell.hears()).toEqual({ $case: 'inventoryRequest', value: { requestId: 2 } });
  });

  it('are not compared while answers are on their way to the cell: the comparison waits for one that says all', async () => {
    const cell = openSession();
    for (let i = 0; i < 12; i++) await cell.says(beat('another', 0, 1));
    cell.session.command([{ command: { $case: 'evacuate', value: {} } }]);
    expect((await cell.hears())?.$case).toBe('commands');
    await cell.says(beat('another', 0));
    expect(await cell.hears()).toEqual({ $case: 'inventoryRequest', value: { requestId: 1 } });
  });

  it('are not compared while the cell waits for acknowledgements, as it can not know yet', async () => {
    await bench.lrp('p');
    const cell = openSession();
    const gate = bench.closeGate();
    await cell.reports(claimed('p'));
    await gate.reached;
    for (let i = 0; i < 6; i++) await cell.says(beat('0000000000000000', 0));
    gate.open();
    expect((await cell.hears())?.$case).toBe('acks');
    for (let i = 0; i < 6; i++) await cell.says(beat('0000000000000000', 0));
    expect(await cell.hears()).toEqual({ $case: 'inventoryRequest', value: { requestId: 1 } });
  });
});

describe('an update', () => {
  it('tells of a new capacity and of evacuation, which is not taken back', async () => {
    const cell = openSession();
    const capacity = { memoryMb: 1, diskMb: 2, containers: 3 };
    await cell.says({ $case: 'update', value: { evacuating: true, capacity } });
    await cell.says({ $case: 'update', value: { evacuating: false, capacity: undefined } });
    expect(bench.database.cells.get('c1')).toMatchObject({ evacuating: true, presence: { capacity } });
  });
});
