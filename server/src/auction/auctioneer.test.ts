import type { WorkItem } from '@rivera/gen/rivera/auction/v1/bid_service';
import { type PlacementResult, WorkBatch } from '@rivera/gen/rivera/bbs/v1/placement_service';
import { ManualClock } from '@rivera/kit/clock';
import { RiveraError } from '@rivera/kit/errors';
import { silentLogger } from '@rivera/kit/log';
import { afterEach, describe, expect, it } from 'vitest';
import type { z } from 'zod';
import { Auctioneer } from './auctioneer.js';
import { auctionConfig } from './config.js';
import { heldOf } from './simulation/wire-cell.js';
import { FakeCell } from './testing/fake-cell.js';
import { heldLrp, lrpAuction, taskAuction } from './testing/samples.js';
import { keyOf } from './work.js';

let open: Auctioneer | undefined;

afterEach(() => {
  open?.close(new RiveraError('SHUTTING_DOWN', 'the test is over'));
  open = undefined;
});

/** An auctioneer on a clock that stands still; `pass` lets it place what it has. */
function auction(
  changes: Partial<z.input<typeof auctionConfig>> = {},
  others: { elapsedMs?: () => number; holdsLease?: () => boolean } = {},
) {
  const clock = new ManualClock(1_000_000);
  const results: PlacementResult[] = [];
  const soon: (() => void)[] = [];
  let works = 0;
  const auctioneer = new Auctioneer({
    epoch: 7,
    config: auctionConfig.parse({ gather: 0, startingContainerWeight: 0, ...changes }),
    clock,
    log: silentLogger,
    newWorkId: () => `7-${works++}`,
    holdsLease: () => true,
    report: (more) => results.push(...more),
    schedule: (fn) => {
      soon.push(fn);
      return () => soon.splice(soon.indexOf(fn), 1);
    },
    elapsedMs: () => 0,
    ...others,
  });
  open = auctioneer;
  return {
    auctioneer,
    clock,
    cell: (id: string, fields = {}) => new FakeCell(auctioneer, id, fields).connect(),
    offer: (batch: Partial<WorkBatch>) => auctioneer.offer(WorkBatch.fromPartial(batch)),
    /** One slice. */
    slice: () => soon.shift()?.(),
    pass: () => {
      for (let fn = soon.shift(); fn !== undefined; fn = soon.shift()) fn();
    },
    /** What was reported since the last time. */
    outcomes: () =>
      results.splice(0).map(({ key, outcome }) => {
        const id = key && keyOf(key);
        return outcome?.$case === 'placed' ? `${id} on ${outcome.value.cellId}` : `${id}: ${outcome?.value.reason}`;
      }),
    results,
  };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));
const keys = (items: WorkItem[]) =>
  items.map(({ work }) =>
    work?.$case === 'lrp' ? `l/${work.value.processGuid}/${work.value.index}` : `t/${work?.value.taskGuid}`,
  );
const only = (cell: FakeCell): WorkItem => {
  expect(cell.received).toHaveLength(1);
  return cell.received.splice(0)[0] as WorkItem;
};

describe('work from the BBS', () => {
  it('is sent to a cell, and reported as placed when the cell has said yes', () => {
    const { cell, offer, pass, outcomes } = auction();
    const a = cell('a');
    offer({ lrps: [lrpAuction('p', [0])] });
    pass();
    expect(outcomes()).toEqual([]);
    const item = only(a);
    expect(item).toMatchObject({ workId: '7-0', domain: 'd', requirements: { memoryMb: 1 } });
    a.accept(item);
    expect(outcomes()).toEqual(['l/p/0 on a']);
  });

  it('is placed in its order, once for each key', () => {
    const { cell, offer, pass } = auction();
    const a = cell('a');
    offer({ lrps: [lrpAuction('p', [2, 0, 1, 1])], tasks: [taskAuction('t'), taskAuction('t')] });
    offer({ lrps: [lrpAuction('p', [0])] });
    pass();
    expect(keys(a.received)).toEqual(['l/p/0', 't/t', 'l/p/1', 'l/p/2']);
  });

  it('that no cell can take is reported with reason and obstacles', () => {
    const { cell, offer, pass, results } = auction();
    cell('a');
    offer({ lrps: [lrpAuction('p', [0], { memoryMb: 101 })] });
    pass();
    expect(results).toMatchObject([
      {
        outcome: {
          value: {
            reason: 'insufficient resources: memory',
            obstacles: [{ kind: 'MEMORY', cells: 1, exampleCellIds: ['a'] }],
          },
        },
      },
    ]);
  });

  it('that is withdrawn is not placed', () => {
    const { cell, offer, pass } = auction();
    const a = cell('a');
    offer({ lrps: [lrpAuction('p', [0])], tasks: [taskAuction('t')] });
    offer({ withdrawn: [{ key: { $case: 'lrp', value: { processGuid: 'p', index: 0 } } }] });
    pass();
    expect(keys(a.received)).toEqual(['t/t']);
  });

  it('that is senseless is dropped, and the rest placed', () => {
    const { cell, offer, pass, outcomes } = auction();
    const a = cell('a');
    offer({ lrps: [lrpAuction('', [0]), lrpAuction('p', [0])], tasks: [taskAuction('t', { memoryMb: -1 })] });
    pass();
    expect(keys(a.received)).toEqual(['l/p/0']);
    expect(outcomes()).toEqual([]);
  });

  it('is placed in slices, so that a storm does not stop everything else', () => {
    let now = 0;
    const { cell, offer, slice, auctioneer } = auction({ slice: 2 }, { elapsedMs: () => now++ });
    const a = cell('a', { total: { memoryMb: 1000, diskMb: 1000, containers: 1000 } });
    offer({ lrps: [lrpAuction('p', [...Array(100).keys()])] });
    slice();
    const first = a.received.length;
    expect(first).toBeGreaterThan(0);
    expect(first).toBeLessThan(100);
    offer({ lrps: [lrpAuction('urgent', [0])] });
    slice();
    expect(keys(a.received)[first]).toBe('l/urgent/0');
    expect(auctioneer.queued).toBeGreaterThan(0);
  });

  it('is not read further while the queue is full', async () => {
    const { cell, offer, pass, auctioneer } = auction({ maxQueued: 2 });
    offer({ lrps: [lrpAuction('p', [0, 1])] });
    let room = false;
    const waiting = auctioneer.room().then(() => {
      room = true;
    });
    await Promise.resolve();
    expect(room).toBe(false);
    cell('a');
    pass();
    await waiting;
    expect(room).toBe(true);
  });

  it('is read further once what filled the queue turns out not to be wanted any more', async () => {
    const { cell, offer, pass, outcomes, auctioneer } = auction({ maxQueued: 1, placementAttempts: 1 });
    const a = cell('a');
    offer({ lrps: [lrpAuction('p', [0])] });
    pass();
    // A new leader of the BBS offers it again while the cell has not answered.
    offer({ lrps: [lrpAuction('p', [0])] });
    let room = false;
    void auctioneer.room().then(() => {
      room = true;
    });
    await turn();
    expect(room).toBe(false);
    a.refuse('full', only(a));
    expect(outcomes()).toHaveLength(1);
    await turn();
    expect(room).toBe(true);
  });

  it('is not handed out while the lease is in doubt', () => {
    let held = false;
    const { cell, offer, pass, auctioneer } = auction({}, { holdsLease: () => held });
    const a = cell('a');
    offer({ lrps: [lrpAuction('p', [0])] });
    pass();
    expect(a.received).toEqual([]);
    held = true;
    offer({});
    pass();
    expect(keys(a.received)).toEqual(['l/p/0']);
    expect(auctioneer.queued).toBe(0);
  });
});

describe('a new auctioneer', () => {
  it('holds work while no cell is there, and fails it when the grace is over', async () => {
    const { offer, pass, outcomes, clock } = auction({ noCellGrace: 5000 });
    offer({ lrps: [lrpAuction('p', [0])] });
    await clock.advance(4999);
    pass();
    expect(outcomes()).toEqual([]);
    await clock.advance(1);
    pass();
    expect(outcomes()).toEqual(['l/p/0: unable to communicate to compatible cells']);
  });

  it('places at once when the first cell comes', () => {
    const { cell, offer, pass } = auction();
    offer({ lrps: [lrpAuction('p', [0])] });
    const a = cell('a');
    pass();
    expect(keys(a.received)).toEqual(['l/p/0']);
  });

  it('lets cells gather before the first placement', async () => {
    const { cell, offer, pass, clock } = auction({ gather: 500 });
    const a = cell('a');
    offer({ lrps: [lrpAuction('p', [0]), lrpAuction('q', [0])] });
    pass();
    expect(a.received).toEqual([]);
    const b = cell('b');
    await clock.advance(500);
    pass();
    expect([a.received.length, b.received.length]).toEqual([1, 1]);
  });

  it('does not place what a cell has just shown to hold, until the cell gives it up', () => {
    const { cell, offer, pass, auctioneer } = auction();
    offer({ lrps: [lrpAuction('p', [0, 1])] });
    const a = new FakeCell(auctioneer, 'a').connect([heldLrp('p', 0)]);
    const b = cell('b');
    offer({ lrps: [lrpAuction('p', [0])] });
    pass();
    expect(keys(b.received)).toEqual(['l/p/1']);
    expect(auctioneer.queued).toBe(1);
    a.change({ removed: [heldLrp('p', 0)] });
    pass();
    expect([...keys(a.received), ...keys(b.received)].sort()).toEqual(['l/p/0', 'l/p/1']);
  });

  it('does place again what an evacuating cell holds', () => {
    const { cell, offer, pass, auctioneer } = auction();
    new FakeCell(auctioneer, 'a', { evacuating: true }).connect([heldLrp('p', 0)]);
    const b = cell('b');
    offer({ lrps: [lrpAuction('p', [0])] });
    pass();
    expect(keys(b.received)).toEqual(['l/p/0']);
  });
});

describe('work that a cell refuses', () => {
  it('is sent to another one at once', () => {
    const { cell, offer, pass, outcomes } = auction();
    const [a, b] = [cell('a'), cell('b')];
    offer({ lrps: [lrpAuction('p', [0])] });
    pass();
    a.refuse('disk broken', only(a));
    pass();
    b.accept(only(b));
    expect(a.received).toEqual([]);
    expect(outcomes()).toEqual(['l/p/0 on b']);
  });

  it('fails when everybody who could take it refused, and says why', () => {
    const { cell, offer, pass, results } = auction();
    const a = cell('a');
    offer({ lrps: [lrpAuction('p', [0])] });
    pass();
    a.refuse('disk broken', only(a));
    pass();
    expect(results).toMatchObject([
      {
        outcome: {
          value: {
            reason: 'insufficient resources',
            obstacles: [{ kind: 'REFUSED', description: 'refused it: disk broken', exampleCellIds: ['a'] }],
          },
        },
      },
    ]);
  });

  it('is offered to so many cells and no more', () => {
    const { cell, offer, pass, outcomes } = auction({ placementAttempts: 3 });
    const cells = ['a', 'b', 'c', 'd', 'e'].map((id) => cell(id));
    offer({ lrps: [lrpAuction('p', [0])] });
    for (let n = 0; n < 3; n++) {
      pass();
      const cell = cells[n] as FakeCell;
      cell.refuse('no', only(cell));
    }
    pass();
    expect(cells.flatMap((cell) => cell.received)).toEqual([]);
    expect(outcomes()).toEqual(['l/p/0: insufficient resources']);
  });

  it('goes to nobody else when it was withdrawn meanwhile', () => {
    const { cell, offer, pass, outcomes } = auction();
    const [a, b] = [cell('a'), cell('b')];
    offer({ tasks: [taskAuction('t')] });
    pass();
    offer({ withdrawn: [{ key: { $case: 'taskGuid', value: 't' } }] });
    a.refuse('no', only(a));
    pass();
    expect(b.received).toEqual([]);
    expect(outcomes()).toEqual([]);
  });

  it('makes the cell avoided for a while when it happens again and again, longer each time', async () => {
    const { cell, offer, pass, auctioneer, clock } = auction({ avoidAfterStrikes: 2, avoidFor: 10_000 });
    const a = cell('a');
    const b = cell('b', { available: { memoryMb: 50, diskMb: 50, containers: 50 } });
    let n = 0;
    const offerAndRefuse = () => {
      offer({ tasks: [taskAuction(`t${n++}`)] });
      pass();
      a.refuse('no', only(a));
      pass();
      b.accept(only(b));
      b.change({
        removed: [
          heldOf({
            workId: '',
            domain: '',
            requirements: undefined,
            work: { $case: 'task', value: { taskGuid: `t${n - 1}` } },
          }),
        ],
      });
    };
    offerAndRefuse();
    offerAndRefuse();
    expect(auctioneer.cells()[0]?.avoidedUntilMs).toBe(clock.now() + 10_000);
    offer({ tasks: [taskAuction('u')] });
    pass();
    expect(a.received).toEqual([]);
    b.accept(only(b));
    b.change({
      removed: [
        heldOf({ workId: '', domain: '', requirements: undefined, work: { $case: 'task', value: { taskGuid: 'u' } } }),
      ],
    });
    await clock.advance(10_000);
    expect(auctioneer.cells()[0]?.avoidedUntilMs).toBe(0);
    offerAndRefuse();
    offerAndRefuse();
    expect(auctioneer.cells()[0]?.avoidedUntilMs).toBe(clock.now() + 20_000);
  });
});

describe('what the BBS offers again', () => {
  it('is not placed twice while a cell has not answered, nor for a while after it said yes', async () => {
    const { cell, offer, pass, outcomes, clock, auctioneer } = auction({ settle: 10_000, answerTimeout: 60_000 });
    const [a, b] = [cell('a'), cell('b')];
    const again = () => {
      offer({ lrps: [lrpAuction('p', [0])] });
      pass();
    };
    again();
    again();
    const item = only(a);
    a.accept(item);
    again();
    expect([a.received, b.received]).toEqual([[], []]);
    expect(outcomes()).toEqual(['l/p/0 on a']);
    // Ten seconds later nobody has claimed it, or it would have been withdrawn: it really waits.
    await clock.advance(10_000);
    pass();
    expect(keys(b.received)).toEqual(['l/p/0']);
    expect(auctioneer.queued).toBe(0);
  });

  it('is placed as soon as the cell gives it up, as after a crash', () => {
    const { cell, offer, pass } = auction();
    const a = cell('a');
    offer({ lrps: [lrpAuction('p', [0])] });
    pass();
    const item = only(a);
    a.accept(item);
    offer({ lrps: [lrpAuction('p', [0])] });
    pass();
    expect(a.received).toEqual([]);
    a.change({ removed: [heldOf(item)] });
    pass();
    expect(keys(a.received)).toEqual(['l/p/0']);
  });
});

describe('a cell that goes away', () => {
  it('leaves what was never sent to be placed elsewhere at once', () => {
    const { cell, offer, pass } = auction();
    const [a, b] = [cell('a'), cell('b')];
    offer({ lrps: [lrpAuction('p', [0])] });
    pass();
    a.kept.add(only(a).workId);
    a.disconnect();
    pass();
    expect(keys(b.received)).toEqual(['l/p/0']);
  });

  it('and comes back with the work has it placed', () => {
    const { cell, offer, pass, outcomes, auctioneer } = auction();
    const [a, b] = [cell('a'), cell('b')];
    offer({ lrps: [lrpAuction('p', [0])] });
    pass();
    const item = only(a);
    a.disconnect();
    pass();
    expect(b.received).toEqual([]);
    new FakeCell(auctioneer, 'a').connect([heldOf(item)]);
    pass();
    expect(outcomes()).toEqual(['l/p/0 on a']);
    expect(b.received).toEqual([]);
  });

  it('and comes back without the work leaves it to be placed at once', () => {
    const { cell, offer, pass, auctioneer } = auction();
    const [a, b] = [cell('a'), cell('b', { available: { memoryMb: 50, diskMb: 50, containers: 50 } })];
    offer({ lrps: [lrpAuction('p', [0])] });
    pass();
    only(a);
    a.disconnect();
    const again = new FakeCell(auctioneer, 'a').connect();
    pass();
    expect(keys([...again.received, ...b.received])).toEqual(['l/p/0']);
  });

  it('and stays away leaves it to the BBS, whose next offer is placed once the time for an answer is over', async () => {
    const { cell, offer, pass, outcomes, clock } = auction({ answerTimeout: 10_000 });
    const [a, b] = [cell('a'), cell('b')];
    offer({ lrps: [lrpAuction('p', [0])] });
    pass();
    a.disconnect();
    offer({ lrps: [lrpAuction('p', [0])] });
    await clock.advance(9_000);
    pass();
    expect(b.received).toEqual([]);
    await clock.advance(1_500);
    pass();
    expect(keys(b.received)).toEqual(['l/p/0']);
    expect(outcomes()).toEqual([]);
  });

  it('for a newer stream of its own is told so, and what the older one says is void', () => {
    const { cell, auctioneer } = auction();
    const older = cell('a');
    const newer = new FakeCell(auctioneer, 'a').connect();
    expect(older.ended?.reason).toBe('SESSION_REPLACED');
    older.change({ available: { memoryMb: 1, diskMb: 1, containers: 1 } }, 2);
    older.disconnect();
    expect(auctioneer.cells().map(({ id, free }) => [id, free.memoryMb])).toEqual([['a', 100]]);
    expect(newer.ended).toBeUndefined();
  });
});

describe('a cell that does not answer', () => {
  it('gets its room back, and the work is left to the BBS', async () => {
    const { cell, offer, pass, outcomes, auctioneer, clock } = auction({ answerTimeout: 10_000 });
    const a = cell('a');
    offer({ lrps: [lrpAuction('p', [0])] });
    pass();
    const item = only(a);
    expect(auctioneer.cells()[0]?.free.memoryMb).toBe(99);
    await clock.advance(10_500);
    expect(auctioneer.cells()[0]?.free.memoryMb).toBe(100);
    expect(outcomes()).toEqual([]);
    // Late words change nothing.
    a.refuse('late', item);
    expect(outcomes()).toEqual([]);
  });

  it('but shows the work, has it', async () => {
    const { cell, offer, pass, outcomes, clock } = auction({ answerTimeout: 10_000 });
    const a = cell('a');
    offer({ lrps: [lrpAuction('p', [0])] });
    pass();
    a.change({ added: [heldOf(only(a))] });
    await clock.advance(10_500);
    expect(outcomes()).toEqual(['l/p/0 on a']);
  });

  it('but said yes and never shows the work, gets its room back', async () => {
    const { cell, offer, pass, auctioneer, clock } = auction({ settle: 10_000 });
    const a = cell('a');
    offer({ tasks: [taskAuction('t')] });
    pass();
    auctioneer.answer(a, [{ workId: only(a).workId, accepted: true, reason: '' }]);
    expect(auctioneer.cells()[0]?.assignments.size).toBe(1);
    await clock.advance(10_500);
    expect(auctioneer.cells()[0]?.assignments.size).toBe(0);
    expect(auctioneer.cells()[0]?.free.memoryMb).toBe(100);
  });
});

describe('a cell that keeps silent or goes away with work', () => {
  it('is avoided like one that refuses', async () => {
    const { cell, offer, pass, auctioneer, clock } = auction({ avoidAfterStrikes: 1, answerTimeout: 10_000 });
    cell('a');
    offer({ tasks: [taskAuction('t')] });
    pass();
    await clock.advance(10_500);
    expect(auctioneer.cells()[0]?.avoidedUntilMs).toBeGreaterThan(clock.now());
  });

  it('is avoided once for all that it was handed before', async () => {
    const settings = { avoidAfterStrikes: 1, avoidFor: 60_000, answerTimeout: 10_000 };
    const { cell, offer, pass, auctioneer, clock } = auction(settings);
    cell('a');
    for (const guid of ['t1', 't2', 't3']) {
      offer({ tasks: [taskAuction(guid)] });
      pass();
      await clock.advance(1_000);
    }
    await clock.advance(13_000);
    const untilMs = auctioneer.cells()[0]?.avoidedUntilMs ?? 0;
    expect(untilMs).toBeGreaterThan(clock.now());
    expect(untilMs).toBeLessThanOrEqual(clock.now() + 60_000);
  });

  it('is not avoided when it is one of many: something else is slow', async () => {
    const { cell, offer, pass, auctioneer, clock } = auction({ avoidAfterStrikes: 1, answerTimeout: 10_000 });
    for (let i = 0; i < 12; i++) cell(`c${i}`);
    const silence = async (tasks: number) => {
      offer({ tasks: Array.from({ length: tasks }, (_, i) => taskAuction(`t${tasks}-${i}`)) });
      pass();
      await clock.advance(10_500);
      return auctioneer.cells().filter(({ avoidedUntilMs }) => avoidedUntilMs > clock.now()).length;
    };
    expect(await silence(4)).toBe(0);
    expect(await silence(3)).toBe(3);
  });

  it('is judged once for work that it went away with', async () => {
    const { cell, offer, pass, auctioneer, clock } = auction({ avoidAfterStrikes: 2, answerTimeout: 10_000 });
    const a = cell('a');
    offer({ tasks: [taskAuction('t')] });
    pass();
    a.disconnect();
    await clock.advance(10_500);
    new FakeCell(auctioneer, 'a').connect();
    expect(auctioneer.cells()[0]?.avoidedUntilMs).toBe(0);
  });
});

describe('a delta that is missing', () => {
  it('makes the auctioneer ask for the full state, once', () => {
    const { cell, auctioneer } = auction();
    const a = cell('a');
    a.change({}, 5);
    a.change({}, 6);
    expect(a.resends).toBe(1);
    a.restate(6);
    a.change({ available: { memoryMb: 42, diskMb: 100, containers: 100 } });
    expect(a.resends).toBe(1);
    expect(auctioneer.cells()[0]?.free.memoryMb).toBe(42);
  });
});

describe('the end of a term', () => {
  it('ends the streams of cells, and places nothing any more', async () => {
    const { cell, offer, pass, auctioneer, clock } = auction();
    const a = cell('a');
    offer({ lrps: [lrpAuction('p', [0])] });
    auctioneer.close(new RiveraError('NOT_LEADER', 'over'));
    pass();
    offer({ lrps: [lrpAuction('q', [0])] });
    pass();
    expect(a.ended?.reason).toBe('NOT_LEADER');
    expect(a.received).toEqual([]);
    await clock.advance(60_000);
    expect(clock.pending).toBe(0);
  });
});
