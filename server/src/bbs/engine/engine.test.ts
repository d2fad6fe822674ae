import { RiveraError } from '@rivera/kit/errors';
import { afterEach, describe, expect, it } from 'vitest';
import { upsertDomain } from '../core/domain.js';
import { startTask } from '../core/task.js';
import { JournalError } from '../journal/journal.js';
import type { Engine } from './engine.js';
import { EngineBench, type EngineBenchOptions, Gate, turns } from './testing.js';

const benches: EngineBench[] = [];
const open = async (options: EngineBenchOptions = {}) => {
  const bench = await EngineBench.open({ limits: { maxBatchRows: 10 }, ...options });
  benches.push(bench);
  return bench;
};
afterEach(() => {
  for (const bench of benches.splice(0)) bench.close();
});

const freshen = (engine: Engine, domain: string) => engine.execute((draft) => upsertDomain(draft, domain, 0));

describe('durability', () => {
  /** What happens in which order around a transaction that is held up. */
  async function order(bench: EngineBench, act: () => Promise<unknown>): Promise<string[]> {
    const happened: string[] = [];
    const gate = new Gate();
    bench.database.faults = {
      beforeCommit: () => gate.pass(),
      afterCommit: () => void happened.push('durable'),
    };
    const acted = act().then(
      () => happened.push('answered'),
      (error: unknown) => happened.push(error instanceof RiveraError ? error.reason : 'failed'),
    );
    await gate.reached;
    // Whatever does not wait for the database has its chance now.
    await turns();
    gate.open();
    await acted;
    return happened;
  }

  it('answers only once the database has it', async () => {
    const bench = await open();
    expect(await order(bench, () => freshen(bench.engine, 'd'))).toEqual(['durable', 'answered']);
    expect(bench.database.domains.get('d')).toEqual({ domain: 'd', expiresAtMs: 0 });
  });

  it('lets a read see a change at once and answer when it is durable', async () => {
    const bench = await open();
    let seen: boolean | undefined;
    const happened = await order(bench, async () => {
      bench.engine.apply((draft) => upsertDomain(draft, 'd', 0));
      const { result, revision } = await bench.engine.read((state, now) => state.isFresh('d', now));
      seen = result;
      expect(revision).toBe(1);
    });
    expect(happened).toEqual(['durable', 'answered']);
    expect(seen).toBe(true);
  });

  it('makes a refusal wait for the change that it rests on', async () => {
    const bench = await open();
    const happened = await order(bench, () => {
      void bench.lrp('p', 1, { definitionDigest: 'a' });
      return bench.lrp('p', 1, { definitionDigest: 'b' });
    });
    expect(happened).toEqual(['durable', 'DESIRED_LRP_EXISTS']);
  });

  it('commits what gathers while the database is busy as one transaction, the last image of each row', async () => {
    const { engine, database } = await open();
    const gate = new Gate();
    const batches: number[] = [];
    database.faults = {
      beforeCommit: (batch) => {
        batches.push(batch.domains.size);
        return gate.pass();
      },
    };
    const first = freshen(engine, 'a');
    await gate.reached;
    const rest = ['b', 'c', 'b'].map((domain) => freshen(engine, domain));
    gate.open();
    await Promise.all([first, ...rest]);
    expect(batches).toEqual([1, 2]);
    expect(engine.durableRevision).toBe(4);
  });

  it('splits a burst into bounded transactions', async () => {
    const { engine, database } = await open();
    const sizes: number[] = [];
    database.faults = { beforeCommit: (batch) => void sizes.push(batch.domains.size) };
    await Promise.all(Array.from({ length: 25 }, (_, i) => freshen(engine, `d${i}`)));
    expect(sizes).toEqual([10, 10, 5]);
    expect(engine.backlogRows).toBe(0);
  });

  it('publishes changes and effects in order, after they are durable', async () => {
    const { engine, database } = await open();
    const published: number[] = [];
    engine.onDurable((commits) => {
      for (const commit of commits) {
        expect(database.revision).toBeGreaterThanOrEqual(commit.revision);
        published.push(commit.revision);
      }
    });
    await Promise.all(['a', 'b', 'c'].map((domain) => freshen(engine, domain)));
    expect(published).toEqual([1, 2, 3]);
  });

  it('publishes effects without a change behind the changes that they rest on', async () => {
    const bench = await open();
    const gate = bench.closeGate();
    void bench.task('t');
    bench.engine.apply((draft) => draft.effect({ kind: 'auction-task', taskGuid: 't' }));
    await gate.reached;
    await turns();
    expect(bench.commits).toEqual([]);
    gate.open();
    await bench.engine.durable();
    expect(bench.commits.map(({ revision, changes, effects }) => [revision, changes.length, effects.length])).toEqual([
      [1, 1, 1],
      [1, 0, 1],
    ]);
  });

  it('applies nothing of a command that throws half-way', async () => {
    const { engine, database } = await open();
    const refused = engine.execute((draft) => {
      upsertDomain(draft, 'd', 0);
      throw new RiveraError('INVALID_REQUEST', 'second thoughts');
    });
    await expect(refused).rejects.toThrow('second thoughts');
    expect(engine.state.domains.size).toBe(0);
    expect(database.revision).toBe(0);
  });
});

describe('what no database could hold', () => {
  it.each([
    ['a time beyond all numbers', (engine: Engine) => engine.execute((draft) => upsertDomain(draft, 'x', 9e18))],
    ['a name longer than its column', (engine: Engine) => freshen(engine, 'x'.repeat(2_000))],
  ])('%s is refused, with nothing applied and nobody else harmed', async (_, act) => {
    const { engine, database } = await open();
    const before = freshen(engine, 'before');
    await expect(act(engine)).rejects.toMatchObject({ reason: 'INVALID_REQUEST' });
    await Promise.all([before, freshen(engine, 'after')]);
    expect([...engine.state.domains.keys()]).toEqual(['before', 'after']);
    expect([...database.domains.keys()]).toEqual(['before', 'after']);
  });

  it('takes back all that the command did before, and its looks', async () => {
    const bench = await open();
    await bench.task('t');
    const due = bench.engine.state.due.at('t/t');
    const refused = bench.engine.execute((draft) => startTask(draft, 't', 'c1', 'e'.repeat(2_000)));
    await expect(refused).rejects.toMatchObject({ reason: 'INVALID_REQUEST' });
    expect(bench.engine.state.tasks.get('t')).toMatchObject({ cellId: '', executionGuid: '' });
    expect(bench.engine.state.tasksOnCell('c1').size).toBe(0);
    expect(bench.engine.state.due.at('t/t')).toBe(due);
  });
});

describe('time', () => {
  it('stands still when the clock is set back, and then goes on at its pace', async () => {
    const { engine, clock } = await open();
    const wall = { skewMs: 0 };
    const now = clock.now.bind(clock);
    clock.now = () => now() + wall.skewMs;
    wall.skewMs = 3_600_000;
    const ahead = engine.now();
    wall.skewMs = 0;
    expect(engine.now()).toBe(ahead);
    await clock.advance(600_000);
    expect(engine.now()).toBe(ahead + 600_000);
  });
});

describe('failure', () => {
  it('repeats a batch while the database is away, and loses nothing', async () => {
    const { engine, database, clock } = await open();
    let failures = 3;
    database.faults = {
      beforeCommit: () => {
        if (failures-- > 0) throw new JournalError('unavailable', 'connection refused');
      },
    };
    const answer = freshen(engine, 'd');
    for (let i = 0; i < 3; i++) {
      await turns();
      await clock.advance(1_000);
    }
    await answer;
    expect(database.domains.has('d')).toBe(true);
  });

  it('is not harmed by a lost answer', async () => {
    const { engine, database, clock } = await open();
    let lost = false;
    database.faults = {
      afterCommit: () => {
        if (lost) return;
        lost = true;
        throw new JournalError('unavailable', 'connection reset');
      },
    };
    const answer = freshen(engine, 'd');
    await turns();
    await clock.advance(1_000);
    await answer;
    await freshen(engine, 'e');
    expect([...database.domains.keys()]).toEqual(['d', 'e']);
    expect(engine.durableRevision).toBe(2);
  });

  it('refuses commands, instead of piling them up, when the database stays away', async () => {
    const bench = await open();
    bench.loseDatabase();
    const hanging = freshen(bench.engine, 'd');
    hanging.catch(() => undefined);
    await turns();
    await bench.clock.advance(5_001);
    await expect(freshen(bench.engine, 'e')).rejects.toMatchObject({ reason: 'DATABASE_UNAVAILABLE' });
    expect(bench.engine.state.domains.has('e')).toBe(false);
  });

  it('refuses commands when more waits for the database than may', async () => {
    const bench = await open({ limits: { maxWaitingRows: 3 } });
    const gate = bench.closeGate();
    const accepted = ['a', 'b', 'c', 'd'].map((domain) => freshen(bench.engine, domain));
    await expect(freshen(bench.engine, 'e')).rejects.toMatchObject({ reason: 'TOO_MANY_REQUESTS' });
    gate.open();
    await Promise.all(accepted);
    await freshen(bench.engine, 'e');
    expect([...bench.database.domains.keys()]).toEqual(['a', 'b', 'c', 'd', 'e']);
  });

  it('ends when another writer has taken over, and tells who waits that the outcome is unknown', async () => {
    const old = await open();
    const gate = old.closeGate();
    const answer = freshen(old.engine, 'd');
    answer.catch(() => undefined);
    await gate.reached;
    const next = await open({ epoch: 2, database: old.database });
    old.database.faults = {};
    gate.open();
    await expect(answer).rejects.toMatchObject({ reason: 'OUTCOME_UNKNOWN' });
    await expect(old.engine.over).resolves.toMatchObject({ kind: 'fenced' });
    expect(old.database.domains.size).toBe(0);
    await freshen(next.engine, 'x');
    await expect(freshen(old.engine, 'y')).rejects.toMatchObject({ reason: 'NOT_LEADER' });
    expect([...old.database.domains.keys()]).toEqual(['x']);
  });

  it('ends when a listener fails: what it missed would be missing for ever', async () => {
    const { engine, database } = await open();
    engine.onDurable(() => {
      throw new Error('a defect');
    });
    await freshen(engine, 'd');
    await expect(engine.over).resolves.toMatchObject({ message: 'a defect' });
    expect(engine.signal.aborted).toBe(true);
    await expect(freshen(engine, 'e')).rejects.toMatchObject({ reason: 'NOT_LEADER' });
    expect([...database.domains.keys()]).toEqual(['d']);
  });

  it('refuses whoever comes after its end: commands, reads, and who asks what became of something', async () => {
    const { engine } = await open();
    engine.close(new RiveraError('SHUTTING_DOWN', 'closing'));
    const closing = { reason: 'SHUTTING_DOWN' };
    await expect(freshen(engine, 'd')).rejects.toMatchObject(closing);
    await expect(engine.read(() => 0)).rejects.toMatchObject(closing);
    await expect(engine.durable()).rejects.toMatchObject(closing);
    expect(() => engine.apply(() => 0)).toThrow('closing');
  });

  it('starts again from what the database has', async () => {
    const first = await open();
    await freshen(first.engine, 'a');
    first.close();
    const second = await open({ epoch: 2, database: first.database });
    expect(second.engine.state.domains.has('a')).toBe(true);
    await freshen(second.engine, 'b');
    expect(second.engine.durableRevision).toBe(2);
  });
});
