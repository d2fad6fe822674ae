import { ManualClock } from '@rivera/kit/clock';
import { RiveraError } from '@rivera/kit/errors';
import { silentLogger } from '@rivera/kit/log';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { desireLrp } from '../core/desired-lrp.js';
import { upsertDomain } from '../core/domain.js';
import { DEFAULT_POLICY } from '../core/policy.js';
import { REQUIREMENTS } from '../core/testing.js';
import { JournalError } from '../journal/journal.js';
import { MemoryDatabase, MemoryJournal } from '../journal/memory-journal.js';
import type { Commit } from './batch.js';
import { DEFAULT_ENGINE_LIMITS, Engine } from './engine.js';

let database: MemoryDatabase;
let clock: ManualClock;
const engines: Engine[] = [];

const open = async (epoch = 1) => {
  const engine = await Engine.open({
    journal: new MemoryJournal(database),
    epoch,
    policy: DEFAULT_POLICY,
    clock,
    log: silentLogger,
    limits: { ...DEFAULT_ENGINE_LIMITS, maxBatchRows: 10 },
  });
  engines.push(engine);
  return engine;
};

beforeEach(() => {
  database = new MemoryDatabase();
  clock = new ManualClock(1_000_000);
});
afterEach(() => {
  for (const engine of engines.splice(0)) engine.close();
});

const freshen = (engine: Engine, domain: string) => engine.execute((draft) => upsertDomain(draft, domain, 0));

/** A gate in front of the database. */
function gate() {
  let release = () => {};
  const opened = new Promise<void>((resolve) => {
    release = resolve;
  });
  return { opened, release };
}

/** Lets everything run that does not wait for time or the gate. */
const settle = () => new Promise((resolve) => setTimeout(resolve, 5));

describe('durability', () => {
  it('answers only once the database has it', async () => {
    const engine = await open();
    const { opened, release } = gate();
    database.faults = { beforeCommit: () => opened };
    let answered = false;
    const answer = freshen(engine, 'd').then(() => {
      answered = true;
    });
    await settle();
    expect(answered).toBe(false);
    release();
    await answer;
    expect(database.domains.get('d')).toEqual({ domain: 'd', expiresAtMs: 0 });
  });

  it('lets a read see a change at once and answer when it is durable', async () => {
    const engine = await open();
    const { opened, release } = gate();
    database.faults = { beforeCommit: () => opened };
    void freshen(engine, 'd');
    let seen: boolean | undefined;
    const read = engine
      .read((state, now) => state.isFresh('d', now))
      .then(({ result }) => {
        seen = result;
      });
    await settle();
    expect(seen).toBeUndefined();
    release();
    await read;
    expect(seen).toBe(true);
  });

  it('makes a refusal wait for the change that it rests on', async () => {
    const engine = await open();
    const { opened, release } = gate();
    database.faults = { beforeCommit: () => opened };
    const wanted = {
      processGuid: 'p',
      domain: 'd',
      instances: 1,
      logGuid: '',
      requirements: REQUIREMENTS,
      routes: {},
      annotation: '',
      metricTags: {},
      updateStrategy: 1,
      restartPolicy: undefined,
      runInfo: new Uint8Array(),
    };
    void engine.execute((draft) => desireLrp(draft, { ...wanted, definitionDigest: 'a' }));
    let refusal: unknown;
    const refused = engine
      .execute((draft) => desireLrp(draft, { ...wanted, definitionDigest: 'b' }))
      .catch((error: unknown) => {
        refusal = error;
      });
    await settle();
    expect(refusal).toBeUndefined();
    release();
    await refused;
    expect(refusal).toMatchObject({ reason: 'DESIRED_LRP_EXISTS' });
  });

  it('commits what gathers while the database is busy as one transaction, the last image of each row', async () => {
    const engine = await open();
    const { opened, release } = gate();
    const batches: number[] = [];
    database.faults = {
      beforeCommit: (batch) => {
        batches.push(batch.domains.size);
        return opened;
      },
    };
    const first = freshen(engine, 'a');
    await settle();
    const rest = ['b', 'c', 'b'].map((domain) => freshen(engine, domain));
    release();
    await Promise.all([first, ...rest]);
    expect(batches).toEqual([1, 2]);
    expect(engine.durableRevision).toBe(4);
  });

  it('splits a burst into bounded transactions', async () => {
    const engine = await open();
    const sizes: number[] = [];
    database.faults = { beforeCommit: (batch) => void sizes.push(batch.domains.size) };
    await Promise.all(Array.from({ length: 25 }, (_, i) => freshen(engine, `d${i}`)));
    expect(sizes).toEqual([10, 10, 5]);
  });

  it('publishes changes and effects in order, after they are durable', async () => {
    const engine = await open();
    const published: Commit[] = [];
    engine.onDurable((commits) => {
      for (const commit of commits) {
        expect(database.revision).toBeGreaterThanOrEqual(commit.revision);
        published.push(commit);
      }
    });
    await Promise.all(['a', 'b', 'c'].map((domain) => freshen(engine, domain)));
    expect(published.map(({ revision }) => revision)).toEqual([1, 2, 3]);
  });

  it('applies nothing of a command that throws half-way', async () => {
    const engine = await open();
    await expect(
      engine.execute((draft) => {
        upsertDomain(draft, 'd', 0);
        throw new RiveraError('INVALID_REQUEST', 'second thoughts');
      }),
    ).rejects.toThrow('second thoughts');
    expect(engine.state.domains.size).toBe(0);
    expect(database.revision).toBe(0);
  });
});

describe('failure', () => {
  it('repeats a batch while the database is away, and loses nothing', async () => {
    const engine = await open();
    let failures = 3;
    database.faults = {
      beforeCommit: () => {
        if (failures-- > 0) throw new JournalError('unavailable', 'connection refused');
      },
    };
    const answer = freshen(engine, 'd');
    for (let i = 0; i < 3; i++) {
      await settle();
      await clock.advance(1_000);
    }
    await answer;
    expect(database.domains.has('d')).toBe(true);
  });

  it('is not harmed by a lost answer', async () => {
    const engine = await open();
    let lost = false;
    database.faults = {
      afterCommit: () => {
        if (lost) return;
        lost = true;
        throw new JournalError('unavailable', 'connection reset');
      },
    };
    const answer = freshen(engine, 'd');
    await settle();
    await clock.advance(1_000);
    await answer;
    await freshen(engine, 'e');
    expect([...database.domains.keys()]).toEqual(['d', 'e']);
    expect(engine.durableRevision).toBe(2);
  });

  it('refuses commands, instead of piling them up, when the database stays away', async () => {
    const engine = await open();
    database.faults = {
      beforeCommit: () => {
        throw new JournalError('unavailable', 'connection refused');
      },
    };
    const hanging = freshen(engine, 'd');
    hanging.catch(() => undefined);
    await settle();
    for (let i = 0; i < 7; i++) {
      await clock.advance(1_000);
      await settle();
    }
    await expect(freshen(engine, 'e')).rejects.toMatchObject({ reason: 'DATABASE_UNAVAILABLE' });
    expect(engine.state.domains.has('e')).toBe(false);
  });

  it('ends when another writer has taken over, and tells who waits that the outcome is unknown', async () => {
    const old = await open(1);
    const { opened, release } = gate();
    database.faults = { beforeCommit: () => opened };
    const answer = freshen(old, 'd');
    answer.catch(() => undefined);
    await settle();
    const next = await open(2);
    database.faults = {};
    release();
    await expect(answer).rejects.toMatchObject({ reason: 'OUTCOME_UNKNOWN' });
    await expect(old.over).resolves.toMatchObject({ kind: 'fenced' });
    expect(database.domains.size).toBe(0);
    await freshen(next, 'x');
    await expect(freshen(old, 'y')).rejects.toThrow();
    expect([...database.domains.keys()]).toEqual(['x']);
  });

  it('starts again from what the database has', async () => {
    const first = await open(1);
    await freshen(first, 'a');
    first.close();
    const second = await open(2);
    expect(second.state.domains.has('a')).toBe(true);
    await freshen(second, 'b');
    expect(second.durableRevision).toBe(2);
  });
});
