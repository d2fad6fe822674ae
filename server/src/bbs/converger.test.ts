import { ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import type { Clock } from '@rivera/kit/clock';
import { silentLogger } from '@rivera/kit/log';
import { afterEach, describe, expect, it } from 'vitest';
import { Converger } from './converger.js';
import { claimActualLrp, crashActualLrp, removeActualLrp, runActualLrp } from './core/actual-lrp.js';
import { removeDesiredLrp, updateDesiredLrp } from './core/desired-lrp.js';
import { upsertDomain } from './core/domain.js';
import type { Effect } from './core/draft.js';
import { DEFAULT_POLICY } from './core/policy.js';
import { dueKey } from './core/state.js';
import { cancelTask, completeTask, startTask } from './core/task.js';
import { instance, newLrp, RUNNING_FACTS } from './core/testing.js';
import { EngineBench, type EngineBenchOptions, turns } from './engine/testing.js';

const { kickMs, presenceTtlMs, forgetCellMs, expirePendingTaskMs, expireCompletedTaskMs } = DEFAULT_POLICY;
/** How late something may be looked at. */
const TICK_MS = 250;

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0).reverse()) close();
});

/** An engine with a converger that runs; time moves by hand. */
async function lead(options: EngineBenchOptions = {}) {
  const bench = await EngineBench.open(options);
  const converger = new Converger(bench.engine, bench.clock, silentLogger);
  converger.start();
  closers.push(
    () => bench.close(),
    () => converger.close(),
  );
  const arrive = async (cellId: string) => {
    converger.seen(cellId);
    await bench.cell(cellId);
  };
  /** What was asked for outside since the last call. */
  let told = 0;
  const effects = (): Effect[] => {
    const since = bench.commits.slice(told).flatMap((commit) => commit.effects);
    told = bench.commits.length;
    return since;
  };
  return { bench, converger, arrive, effects, engine: bench.engine, clock: bench.clock };
}
type Leader = Awaited<ReturnType<typeof lead>>;

const run = ({ engine }: Leader, processGuid: string, index = 0, cellId = 'c1') =>
  engine.execute((draft) => {
    const ref = instance(processGuid, index, cellId, `i-${processGuid}-${index}`);
    claimActualLrp(draft, ref);
    runActualLrp(draft, ref, RUNNING_FACTS);
  });

describe('what is due', () => {
  it('is offered again while it waits, every half a minute', async () => {
    const leader = await lead();
    await leader.bench.lrp('p');
    await leader.bench.task('t');
    leader.effects();
    await leader.clock.advance(kickMs - 1);
    expect(leader.effects()).toEqual([]);
    for (let i = 0; i < 3; i++) {
      await leader.clock.advance(kickMs);
      const kinds = leader.effects().map(({ kind }) => kind);
      expect(kinds.sort()).toEqual(['auction-lrp', 'auction-task']);
    }
  });

  it('ends: Tasks that nobody takes fail, results that nobody fetches go, domains are fresh no more', async () => {
    const { bench, clock, engine } = await lead();
    await bench.task('t');
    await engine.execute((draft) => upsertDomain(draft, 'd', 60_000));
    await clock.advance(60_000 + TICK_MS);
    expect(bench.database.domains.size).toBe(0);
    await clock.advance(expirePendingTaskMs - 60_000);
    expect(bench.database.tasks.get('t')).toMatchObject({ failureReason: 'not started within time limit' });
    await clock.advance(expireCompletedTaskMs + TICK_MS);
    expect(bench.database.tasks.size).toBe(0);
  });

  it('restarts what crashed when its wait is over', async () => {
    const leader = await lead();
    await leader.arrive('c1');
    await leader.bench.lrp('p');
    for (let i = 0; i < 3; i++) {
      await run(leader, 'p');
      await leader.engine.execute((draft) => crashActualLrp(draft, instance('p', 0, 'c1', 'i-p-0'), 'exited'));
    }
    expect(leader.bench.slot('p')?.state).toBe(ActualLrpState.CRASHED);
    const { minimumBackoffMs } = DEFAULT_POLICY.restart;
    await leader.clock.advance(minimumBackoffMs - 1);
    expect(leader.bench.slot('p')?.state).toBe(ActualLrpState.CRASHED);
    await leader.clock.advance(TICK_MS + 1);
    expect(leader.bench.slot('p')?.state).toBe(ActualLrpState.UNCLAIMED);
  });

  it('is looked at in slices when it is much, all of it within one tick', async () => {
    const { bench, clock, engine, effects } = await lead();
    for (let i = 0; i < 1_700; i++) engine.apply((draft) => upsertDomain(draft, `d${i}`, 1_000));
    await engine.durable();
    effects();
    await clock.advance(1_000 + TICK_MS);
    await turns();
    expect(engine.state.domains.size).toBe(0);
    await engine.durable();
    expect(bench.database.domains.size).toBe(0);
  });
});

describe('a cell', () => {
  it('that is silent for its time to live is missing: its instances wait anew, its Tasks fail', async () => {
    const leader = await lead();
    const { bench, clock } = leader;
    await leader.arrive('c1');
    await bench.lrp('p');
    await run(leader, 'p');
    await bench.task('t');
    await leader.engine.execute((draft) => startTask(draft, 't', 'c1', 'e'));
    await clock.advance(presenceTtlMs - 1);
    expect(bench.slot('p')?.state).toBe(ActualLrpState.RUNNING);
    await clock.advance(TICK_MS + 1);
    expect(bench.slot('p')?.state).toBe(ActualLrpState.UNCLAIMED);
    expect(bench.engine.state.tasks.get('t')).toMatchObject({ state: TaskState.COMPLETED, failed: true });
    expect(leader.effects()).toContainEqual(expect.objectContaining({ kind: 'end-session', cellId: 'c1' }));
  });

  it('that is heard of stays, and is forgotten long after it went', async () => {
    const { bench, clock, converger, arrive } = await lead();
    await arrive('c1');
    for (let i = 0; i < 10; i++) {
      await clock.advance(presenceTtlMs / 3);
      converger.seen('c1');
    }
    expect(bench.database.cells.get('c1')?.missing).toBe(false);
    await clock.advance(presenceTtlMs + TICK_MS);
    expect(bench.database.cells.get('c1')?.missing).toBe(true);
    await clock.advance(forgetCellMs - TICK_MS);
    expect(bench.database.cells.has('c1')).toBe(true);
    await clock.advance(2 * TICK_MS);
    expect(bench.database.cells.has('c1')).toBe(false);
  });

  it('has one time to live to come back to a new leader, however long there was none', async () => {
    const first = await lead();
    for (const cellId of ['back', 'gone']) await first.arrive(cellId);
    first.converger.close();
    first.bench.close();
    await first.clock.advance(10 * presenceTtlMs);
    const next = await lead({ database: first.bench.database, epoch: 2, clock: first.clock });
    await next.clock.advance(presenceTtlMs - 1);
    expect([...next.engine.state.cells.values()].map(({ missing }) => missing)).toEqual([false, false]);
    await next.arrive('back');
    await next.clock.advance(TICK_MS + 1);
    expect(next.engine.state.cells.get('back')?.missing).toBe(false);
    expect(next.engine.state.cells.get('gone')?.missing).toBe(true);
  });

  it('that a leader before declared missing is forgotten by the next', async () => {
    const first = await lead();
    await first.arrive('c1');
    await first.clock.advance(presenceTtlMs + TICK_MS);
    first.converger.close();
    first.bench.close();
    const next = await lead({ database: first.bench.database, epoch: 2, clock: first.clock });
    await next.clock.advance(forgetCellMs + TICK_MS);
    expect(next.engine.state.cells.size).toBe(0);
  });
});

describe('a server that was held up', () => {
  /** A clock that can leap without its timers being run, as when the process is stopped. */
  function leaping(clock: Clock): (ms: number) => void {
    let leaptMs = 0;
    const now = clock.now.bind(clock);
    clock.now = () => now() + leaptMs;
    return (ms) => {
      leaptMs += ms;
    };
  }

  it('does not judge cells by a time in which nobody listened', async () => {
    const leader = await lead();
    const leap = leaping(leader.clock);
    for (const cellId of ['c1', 'c2']) await leader.arrive(cellId);
    await leader.clock.advance(presenceTtlMs - 1_000);
    leap(60_000);
    await leader.clock.advance(TICK_MS);
    await turns();
    expect([...leader.engine.state.cells.values()].map(({ missing }) => missing)).toEqual([false, false]);
  });

  it('does not judge a cell by a time in which it did not read what the cell said', async () => {
    const leader = await lead();
    for (const cellId of ['c1', 'c2']) await leader.arrive(cellId);
    const hearAgain = [leader.converger.deafTo('c1'), leader.converger.deafTo('c1')];
    const missing = () => [...leader.engine.state.cells.values()].map((row) => row.missing);
    await leader.clock.advance(3 * presenceTtlMs);
    expect(missing()).toEqual([false, true]);
    // An earlier session of the same cell is read again: the later one still is not.
    hearAgain.shift()?.();
    await leader.clock.advance(3 * presenceTtlMs);
    expect(missing()).toEqual([false, true]);
    hearAgain.shift()?.();
    await leader.clock.advance(presenceTtlMs - TICK_MS);
    expect(missing()).toEqual([false, true]);
    await leader.clock.advance(2 * TICK_MS);
    expect(missing()).toEqual([true, true]);
  });

  it('does not take its own long tick for a time in which nobody listened', async () => {
    const leader = await lead();
    const leap = leaping(leader.clock);
    for (let i = 0; i < 40; i++) await leader.bench.lrp(`p-${i}`, 100);
    await leader.arrive('c1');
    await leader.clock.advance(presenceTtlMs - 4_000);
    // So much is to be looked at that the tick is cut into slices, each of which takes its time.
    for (let i = 0; i < 4_000; i++)
      leader.engine.state.due.set(dueKey.actualLrp(`p-${i % 40}`, Math.floor(i / 40), ''), 0);
    let slices = 0;
    const slowly = () => {
      leap(400);
      if (++slices < 8) setImmediate(slowly);
    };
    setImmediate(slowly);
    await leader.clock.advance(TICK_MS);
    await turns();
    await leader.clock.advance(1_000);
    await turns();
    expect(leader.engine.state.cells.get('c1')?.missing).toBe(true);
  });

  it('does not judge cells that had no time yet to come back to a new leader', async () => {
    const first = await lead();
    await first.arrive('c1');
    first.converger.close();
    first.bench.close();
    const next = await lead({ database: first.bench.database, epoch: 2, clock: first.clock });
    leaping(next.clock)(60_000);
    await next.clock.advance(TICK_MS);
    await turns();
    expect(next.engine.state.cells.get('c1')?.missing).toBe(false);
  });

  it('reads first what cells sent meanwhile, and then judges those that stay silent', async () => {
    const leader = await lead();
    const leap = leaping(leader.clock);
    for (const cellId of ['c1', 'c2']) await leader.arrive(cellId);
    await leader.clock.advance(presenceTtlMs - 1_000);
    leap(60_000);
    // In the socket while the server was held up.
    setImmediate(() => leader.converger.seen('c1'));
    await leader.clock.advance(presenceTtlMs);
    await turns();
    expect(leader.engine.state.cells.get('c1')?.missing).toBe(false);
    expect(leader.engine.state.cells.get('c2')?.missing).toBe(true);
  });
});

describe('while the database is away', () => {
  it('nothing that becomes due is forgotten: it is done when the database is back', async () => {
    const leader = await lead();
    const { bench, clock, engine } = leader;
    for (let i = 0; i < 5; i++) await engine.execute((draft) => upsertDomain(draft, `d${i}`, 10_000 + i));
    await bench.lrp('p');
    await leader.arrive('c1');
    bench.loseDatabase();
    engine.apply((draft) => upsertDomain(draft, 'waits', 0));
    // Later than the time after which the engine refuses commands.
    await clock.advance(2 * kickMs);
    expect(engine.state.domains.size).toBe(6);
    leader.effects();
    bench.database.faults = {};
    await clock.advance(5_000);
    await turns();
    expect([...bench.database.domains.keys()]).toEqual(['waits']);
    expect(bench.database.cells.get('c1')?.missing).toBe(true);
    expect(leader.effects()).toContainEqual({ kind: 'auction-lrp', processGuid: 'p', index: 0 });
    for (const key of ['l/p/0/', 'c/c1']) expect(engine.state.due.at(key)).toBeGreaterThan(clock.now());
  });
});

describe('the audit', () => {
  it('finds nothing after ordinary life', async () => {
    const leader = await lead();
    const { bench, clock, engine, converger } = leader;
    await engine.execute((draft) => upsertDomain(draft, 'd', 0));
    for (const cellId of ['c1', 'c2']) await leader.arrive(cellId);
    await bench.lrp('p', 3);
    await bench.lrp('q', 2);
    await bench.lrp('removed', 2);
    for (const guid of ['t', 'u', 'v']) await bench.task(guid);
    for (const index of [0, 1, 2]) await run(leader, 'p', index, index === 0 ? 'c1' : 'c2');
    await run(leader, 'removed', 0, 'c1');
    await engine.execute((draft) => startTask(draft, 't', 'c1', 'e'));
    await engine.execute((draft) => startTask(draft, 'u', 'c2', 'e2'));
    expect(await converger.audit()).toBe(0);
    await engine.execute((draft) => crashActualLrp(draft, instance('p', 1, 'c2', 'i-p-1'), 'exited'));
    await engine.execute((draft) => updateDesiredLrp(draft, 'p', { instances: 2 }));
    await engine.execute((draft) => updateDesiredLrp(draft, 'q', { instances: 4 }));
    await engine.execute((draft) => removeDesiredLrp(draft, 'removed'));
    await engine.execute((draft) => cancelTask(draft, 'v'));
    expect(await converger.audit()).toBe(0);
    await engine.execute((draft) => removeActualLrp(draft, instance('p', 2, 'c2', 'i-p-2')));
    const outcome = { failed: false, failureReason: '', result: 'r' };
    await engine.execute((draft) => completeTask(draft, 'u', { cellId: 'c2', executionGuid: 'e2' }, outcome));
    // Both cells are lost, one after the other.
    await clock.advance(presenceTtlMs - 2_000);
    converger.seen('c2');
    await clock.advance(5_000);
    expect(await converger.audit()).toBe(0);
    await clock.advance(forgetCellMs + presenceTtlMs);
    expect(await converger.audit()).toBe(0);
    expect(converger.lastAudit).toMatchObject({ mended: 0 });
  });

  it('mends what should not be, and says how much', async () => {
    const leader = await lead();
    const { engine, converger, bench } = leader;
    await bench.task('t');
    await engine.execute((draft) => {
      // An LRP without its slots, and work on a cell that never was.
      const { runInfo: _runInfo, ...row } = newLrp('p', 2);
      draft.putDesiredLrp({ ...row, tagEpoch: 'e', tagIndex: 0, createdAtMs: 0 });
      startTask(draft, 't', 'never-was', 'e');
    });
    expect(await converger.audit()).toBe(3);
    expect(converger.lastAudit?.mended).toBe(3);
    expect(bench.slot('p', 1)?.state).toBe(ActualLrpState.UNCLAIMED);
    expect(engine.state.tasks.get('t')?.failureReason).toBe('cell disappeared before completion');
    expect(await converger.audit()).toBe(0);
  });

  it('stops nothing when most of what runs is suddenly desired by nobody, until its domain is vouched for anew', async () => {
    const leader = await lead();
    const { engine, converger, bench, clock } = leader;
    await leader.arrive('c1');
    await engine.execute((draft) => upsertDomain(draft, 'd', 0));
    for (let i = 0; i < 30; i++) {
      await bench.lrp(`p-${i}`);
      await run(leader, `p-${i}`);
    }
    // As if a listing of the database had come back empty.
    await engine.execute((draft) => {
      for (let i = 0; i < 30; i++) draft.deleteDesiredLrp(`p-${i}`);
    });
    leader.effects();
    expect(await converger.audit()).toBe(0);
    expect(leader.effects()).toEqual([]);
    for (let i = 0; i < 60; i++) {
      converger.seen('c1');
      await clock.advance(5_000);
    }
    expect(leader.effects()).toEqual([]);
    await engine.execute((draft) => upsertDomain(draft, 'd', 0));
    converger.vouched('d');
    expect(await converger.audit()).toBe(30);
    await engine.durable();
    expect(leader.effects().map(({ kind }) => kind)).toEqual(Array(30).fill('stop-lrp'));
  });

  it('runs by itself', async () => {
    const { clock, converger } = await lead();
    await clock.advance(30_000);
    await turns();
    expect(converger.lastAudit).toEqual({ mended: 0, durationMs: 0 });
  });
});

describe('the end', () => {
  it('leaves nothing that waits for time', async () => {
    const { clock, converger, engine } = await lead();
    await clock.advance(1_000);
    converger.close();
    expect(clock.pending).toBe(0);
    await engine.execute((draft) => upsertDomain(draft, 'd', 1_000));
    await clock.advance(60_000);
    expect(engine.state.domains.size).toBe(1);
  });

  it('comes in the middle of a pass as well', async () => {
    const { bench, clock, converger, engine } = await lead();
    for (let i = 0; i < 2_000; i++) engine.apply((draft) => upsertDomain(draft, `d${i}`, 100));
    await engine.durable();
    await clock.advance(100);
    const pass = converger.tick();
    converger.close();
    await pass;
    expect(engine.state.domains.size).toBeGreaterThan(0);
    expect(clock.pending).toBe(0);
    expect(bench.engine.signal.aborted).toBe(false);
  });
});
