import { ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { type PlacementResult, PlaceResponse, type WorkBatch } from '@rivera/gen/rivera/bbs/v1/placement_service';
import { TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import { RiveraError } from '@rivera/kit/errors';
import { silentLogger } from '@rivera/kit/log';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Outgoing } from '../../stream/outgoing.js';
import { claimActualLrp } from '../core/actual-lrp.js';
import { desireLrp, removeDesiredLrp } from '../core/desired-lrp.js';
import { cancelTask, deleteTask, desireTask, rejectTask, resolveTask, startTask } from '../core/task.js';
import { instance, newLrp, newTask, REQUIREMENTS } from '../core/testing.js';
import { EngineBench, turns } from '../engine/testing.js';
import { PlacementHub } from './placement-hub.js';

let bench: EngineBench;
let hub: PlacementHub;
beforeEach(async () => {
  bench = await EngineBench.open();
  hub = new PlacementHub(bench.engine, silentLogger);
  bench.engine.onDurable((commits) => hub.dispatch(commits));
});
afterEach(() => bench.close());

/** An auctioneer that has connected. */
function connect(id = 'a', epoch = 1) {
  const outgoing = hub.connect(id, epoch);
  const incoming = outgoing[Symbol.asyncIterator]();
  return {
    outgoing,
    hears: async (): Promise<WorkBatch> => {
      const next = await incoming.next();
      if (next.done || next.value.message?.$case !== 'work') throw new Error('no work came');
      return next.value.message.value;
    },
  };
}

/** What a batch says, in the order in which an auctioneer follows it. */
const wordsOf = (batch: WorkBatch): string[] => [
  ...batch.withdrawn.map(({ key }) =>
    key?.$case === 'lrp' ? `not ${key.value.processGuid}/${key.value.index}` : `not ${key?.value}`,
  ),
  ...batch.lrps.flatMap((lrp) => lrp.indices.map((index) => `${lrp.processGuid}/${index}`)),
  ...batch.tasks.map((task) => task.taskGuid),
];

const OBSTACLE = { kind: 'MEMORY', description: 'not enough memory', cells: 1, exampleCellIds: ['c1'] };
const notPlaced = (key: PlacementResult['key'], reason = 'no room'): PlacementResult => ({
  key,
  outcome: { $case: 'notPlaced', value: { reason, obstacles: [OBSTACLE] } },
});
const ofTask = (value: string): PlacementResult['key'] => ({ key: { $case: 'taskGuid', value } });
const ofLrp = (processGuid: string, index: number): PlacementResult['key'] => ({
  key: { $case: 'lrp', value: { processGuid, index } },
});

describe('an auctioneer that connects', () => {
  it('is told everything that waits, and nothing else', async () => {
    await bench.lrp('p', 3);
    for (const guid of ['t', 'running', 'cancelled', 'later']) await bench.task(guid);
    await bench.engine.execute((draft) => {
      claimActualLrp(draft, instance('p', 1, 'c1', 'i'));
      startTask(draft, 'running', 'c1', 'e');
      cancelTask(draft, 'cancelled');
      rejectTask(draft, 'later', 'no room');
    });
    const batch = await connect().hears();
    expect(wordsOf(batch)).toEqual(['p/0', 'p/2', 't']);
    expect(batch.lrps[0]).toMatchObject({ domain: 'd', requirements: { memoryMb: 64 }, queuedAt: new Date(1_000_000) });
  });

  it('is told only once it is durable', async () => {
    const gate = bench.closeGate();
    const happened: string[] = [];
    bench.database.faults.afterCommit = () => void happened.push('durable');
    bench.engine.apply((draft) => desireTask(draft, newTask('t')));
    const told = connect()
      .hears()
      .then((batch) => happened.push(...wordsOf(batch)));
    await gate.reached;
    await turns();
    gate.open();
    await told;
    expect(happened).toEqual(['durable', 't']);
  });

  it('is not told of what was withdrawn before it became durable', async () => {
    const gate = bench.closeGate();
    bench.engine.apply((draft) => desireTask(draft, newTask('first')));
    await gate.reached;
    bench.engine.apply((draft) => desireTask(draft, newTask('t')));
    const auctioneer = connect();
    bench.engine.apply((draft) => cancelTask(draft, 't'));
    gate.open();
    await bench.engine.durable();
    await bench.task('last');
    const words: string[] = [];
    while (!words.includes('last')) words.push(...wordsOf(await auctioneer.hears()));
    expect(words.indexOf('not t')).toBeGreaterThanOrEqual(0);
    expect(words.indexOf('t')).toBe(-1);
  });

  it('learns that it can not be told, when the engine ends before', async () => {
    bench.closeGate();
    bench.engine.apply((draft) => desireTask(draft, newTask('t')));
    const auctioneer = connect();
    bench.engine.close(new RiveraError('NOT_LEADER', 'the lease is lost'));
    await expect(auctioneer.hears()).rejects.toMatchObject({ reason: 'OUTCOME_UNKNOWN' });
  });

  it('ends the stream of the one before, whose late end does not harm it', async () => {
    const earlier = connect('a', 1);
    const later = connect('b', 1);
    await expect(earlier.hears()).rejects.toMatchObject({ reason: 'SESSION_REPLACED' });
    hub.disconnect(earlier.outgoing);
    expect(hub.connected).toBe(true);
    await bench.task('t');
    expect(wordsOf(await later.hears())).toEqual(['t']);
    hub.disconnect(later.outgoing);
    expect(hub.connected).toBe(false);
  });

  it('is refused when a later one has begun, also after that one went', () => {
    const { outgoing } = connect('b', 2);
    hub.disconnect(outgoing);
    expect(() => connect('a', 1)).toThrow(expect.objectContaining({ reason: 'STALE_EPOCH' }));
    connect('b', 2);
  });

  it('is refused when the term is over', async () => {
    const earlier = connect();
    hub.close(new RiveraError('NOT_LEADER', 'this server no longer leads'));
    await expect(earlier.hears()).rejects.toMatchObject({ reason: 'NOT_LEADER' });
    expect(() => connect()).toThrow(expect.objectContaining({ reason: 'NOT_LEADER' }));
  });
});

describe('batches', () => {
  /** Of what is heard until so many items have come. */
  async function hear(auctioneer: ReturnType<typeof connect>, items: number) {
    const batches: { words: string[]; bytes: number }[] = [];
    while (batches.flatMap(({ words }) => words).length < items) {
      const value = await auctioneer.hears();
      const bytes = PlaceResponse.encode({ message: { $case: 'work', value } }).finish().length;
      batches.push({ words: wordsOf(value), bytes });
    }
    return batches;
  }

  it('are bounded in number', async () => {
    await Promise.all(Array.from({ length: 2_500 }, (_, i) => bench.lrp(`p${i}`)));
    const batches = await hear(connect(), 2_500);
    expect(batches.length).toBeGreaterThan(1);
    expect(Math.max(...batches.map(({ words }) => words.length))).toBeLessThanOrEqual(2_000);
    expect(new Set(batches.flatMap(({ words }) => words)).size).toBe(2_500);
  });

  it('are bounded in bytes, however many tags work has', async () => {
    const placementTags = Array.from({ length: 1_000 }, (_, i) => `${i}-${'é'.repeat(250)}`);
    const guids = ['a', 'b', 'c', 'd', 'e', 'f'];
    for (const guid of guids) await bench.task(guid, { requirements: { ...REQUIREMENTS, placementTags } });
    await bench.lrp('p', 100, { requirements: { ...REQUIREMENTS, placementTags } });
    const batches = await hear(connect(), 106);
    for (const { bytes } of batches) expect(bytes).toBeLessThan(2 * 1024 * 1024);
    expect(batches.length).toBeGreaterThan(3);
    expect(batches.flatMap(({ words }) => words).slice(-6)).toEqual(guids);
  });
});

describe('what becomes durable', () => {
  it('is offered, and taken back when nobody wants it any more', async () => {
    const auctioneer = connect();
    await bench.lrp('p', 2);
    await bench.task('t');
    expect(wordsOf(await auctioneer.hears())).toEqual(['p/0', 'p/1']);
    expect(wordsOf(await auctioneer.hears())).toEqual(['t']);
    await bench.engine.execute((draft) => {
      removeDesiredLrp(draft, 'p');
      cancelTask(draft, 't');
    });
    expect(wordsOf(await auctioneer.hears())).toEqual(['not p/0', 'not p/1', 'not t']);
  });

  it('says all that is withdrawn before all that is offered: the same work may be both in one breath', async () => {
    const guids = Array.from({ length: 1_200 }, (_, i) => `t${i}`);
    await bench.engine.execute((draft) => {
      for (const guid of guids) desireTask(draft, newTask(guid));
    });
    const auctioneer = connect();
    const hear = async (count: number) => {
      const words: string[] = [];
      while (words.length < count) words.push(...wordsOf(await auctioneer.hears()));
      return words;
    };
    expect(await hear(1_200)).toEqual(guids);
    await bench.engine.execute((draft) => {
      for (const guid of guids) {
        cancelTask(draft, guid);
        resolveTask(draft, guid);
        deleteTask(draft, guid);
        desireTask(draft, newTask(guid));
      }
    });
    expect(await hear(2_400)).toEqual([...guids.map((guid) => `not ${guid}`), ...guids]);
  });

  it('is not withdrawn when the slot waits anew for another LRP of the same name', async () => {
    const auctioneer = connect();
    await bench.lrp('p');
    expect(wordsOf(await auctioneer.hears())).toEqual(['p/0']);
    await bench.engine.execute((draft) => {
      removeDesiredLrp(draft, 'p');
      desireLrp(draft, newLrp('p'));
    });
    expect(wordsOf(await auctioneer.hears())).toEqual(['p/0']);
  });

  it('is not offered when it was taken meanwhile, and not withdrawn when a cell has it', async () => {
    const auctioneer = connect();
    const gate = bench.closeGate();
    bench.engine.apply((draft) => desireTask(draft, newTask('t')));
    bench.engine.apply((draft) => startTask(draft, 't', 'c1', 'e'));
    gate.open();
    await bench.engine.durable();
    await bench.task('next');
    expect(wordsOf(await auctioneer.hears())).toEqual(['next']);
  });

  it('ends the stream of an auctioneer that does not read', async () => {
    const auctioneer = connect();
    await bench.task('t');
    const offer = { revision: 1, timeMs: 0, changes: [], payloads: [] };
    const effects = [{ kind: 'auction-task' as const, taskGuid: 't' }];
    for (let i = 0; i < 4_096; i++) hub.dispatch([{ ...offer, effects }]);
    expect(hub.connected).toBe(false);
    await expect(auctioneer.hears()).rejects.toMatchObject({ reason: 'TOO_MANY_REQUESTS' });
  });
});

describe('results', () => {
  let outgoing: Outgoing<PlaceResponse>;
  beforeEach(async () => {
    await bench.lrp('p');
    await bench.task('t');
    ({ outgoing } = connect());
  });
  const task = () => bench.engine.state.tasks.get('t');

  it('that work could not be placed are recorded with the reason and the obstacles', () => {
    hub.results(outgoing, [notPlaced(ofLrp('p', 0)), notPlaced(ofTask('t'))]);
    expect(bench.slot('p')).toMatchObject({ placementError: 'no room', obstacles: [OBSTACLE] });
    expect(task()).toMatchObject({ state: TaskState.PENDING, rejectionCount: 1, rejectionReason: 'no room' });
  });

  it('without a reason say that there was none', () => {
    hub.results(outgoing, [notPlaced(ofLrp('p', 0), '')]);
    expect(bench.slot('p')?.placementError).toBe('no reason was given');
  });

  it('that come late change nothing: the work has gone on', async () => {
    await bench.engine.execute((draft) => {
      startTask(draft, 't', 'c1', 'e');
      claimActualLrp(draft, instance('p', 0, 'c1', 'i'));
    });
    const [taskBefore, slotBefore] = [task(), bench.slot('p')];
    hub.results(outgoing, [
      notPlaced(ofTask('t')),
      notPlaced(ofLrp('p', 0)),
      notPlaced(ofLrp('gone', 7)),
      notPlaced(ofTask('gone')),
    ]);
    expect(task()).toBe(taskBefore);
    expect(bench.slot('p')).toBe(slotBefore);
    expect(bench.slot('p')?.state).toBe(ActualLrpState.CLAIMED);
  });

  it('that came to nothing do not keep those behind them from being recorded', () => {
    hub.results(outgoing, [notPlaced(ofTask('gone')), { key: undefined, outcome: undefined }, notPlaced(ofTask('t'))]);
    expect(task()?.rejectionCount).toBe(1);
  });

  it('of a stream that was replaced are refused', () => {
    connect('b', 2);
    const late = () => hub.results(outgoing, [notPlaced(ofTask('t'))]);
    expect(late).toThrow(expect.objectContaining({ reason: 'SESSION_REPLACED' }));
    expect(task()?.rejectionCount).toBe(0);
  });

  it('that come when the term is over are refused', () => {
    hub.close(new RiveraError('NOT_LEADER', 'this server no longer leads'));
    const late = () => hub.results(outgoing, [notPlaced(ofTask('t'))]);
    expect(late).toThrow(expect.objectContaining({ reason: 'NOT_LEADER' }));
  });

  it('that can not be recorded, as the database is away, are not taken for recorded', async () => {
    bench.loseDatabase();
    bench.engine.apply((draft) => desireTask(draft, newTask('waits')));
    await turns();
    await bench.clock.advance(5_001);
    const record = () => hub.results(outgoing, [notPlaced(ofTask('t'))]);
    expect(record).toThrow(expect.objectContaining({ reason: 'DATABASE_UNAVAILABLE' }));
  });
});
