import { ManualClock } from '@rivera/kit/clock';
import type { RiveraError } from '@rivera/kit/errors';
import { TestBed } from '@rivera/kit/grpc/test-bed';
import { silentLogger } from '@rivera/kit/log';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { BbsRole } from './bbs-role.js';
import { bbsConfig } from './config.js';
import { desireLrp, removeDesiredLrp, updateDesiredLrp } from './core/desired-lrp.js';
import { upsertDomain } from './core/domain.js';
import { newLrp } from './core/testing.js';
import { Gate, turns } from './engine/testing.js';
import { JournalError } from './journal/journal.js';
import { MemoryDatabase, MemoryJournal } from './journal/memory-journal.js';

let bed: TestBed;
beforeAll(async () => {
  bed = await TestBed.create();
});
afterAll(() => bed.close());

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

/** One server's BBS, with the election in the hands of the test. */
async function stand(database = new MemoryDatabase()) {
  const clock = new ManualClock(1_000_000);
  const host = await bed.host();
  const served = vi.spyOn(host, 'setServing');
  const election = {
    win: (_epoch: number) => {},
    lose: () => {},
    leaderEnds: () => {},
    announced: 0,
    holder: undefined as string | undefined,
    resigned: 0,
  };
  const journal = new MemoryJournal(database);
  const role = new BbsRole({
    config: bbsConfig.parse({}),
    journal,
    host,
    clock,
    log: silentLogger,
    candidate: {
      onAcquired: (listener) => {
        election.win = (epoch) => listener({ epoch });
      },
      onLost: (listener) => {
        election.lose = listener;
      },
      onLeaderEnds: (listener) => {
        election.leaderEnds = listener;
      },
      announceEnd: () => {
        election.announced++;
      },
      holderAddress: () => election.holder,
      resign: () => {
        election.resigned++;
      },
      epoch: undefined,
    },
  });
  /** What health says of every service. */
  const serving = () => new Set(new Map(served.mock.calls).values());
  const leads = async (epoch: number) => {
    election.win(epoch);
    await turns();
    expect(role.leading).toBe(true);
  };
  const freshen = (domain: string) => role.term().engine.execute((draft) => upsertDomain(draft, domain, 0));
  /** Closes it, and lets the time pass that this takes. */
  const close = async () => {
    database.faults = {};
    const closed = role.close();
    await turns();
    await clock.advance(2_000);
    await closed;
  };
  closers.push(close);
  return { role, election, database, clock, journal, serving, leads, freshen };
}

const refusal = (role: BbsRole): RiveraError => {
  try {
    role.term();
  } catch (error) {
    return error as RiveraError;
  }
  throw new Error('it leads');
};

describe('a server that stands by', () => {
  it('says so, and who leads as soon as it knows', async () => {
    const { role, election, serving } = await stand();
    expect(refusal(role)).toMatchObject({ reason: 'NOT_LEADER', message: expect.stringContaining('no server leads') });
    election.holder = '10.0.0.7:1800';
    expect(refusal(role)).toMatchObject({ reason: 'NOT_LEADER', metadata: { leader_address: '10.0.0.7:1800' } });
    expect(serving()).toEqual(new Set([false]));
  });

  it('does not touch the database', async () => {
    const { database } = await stand();
    expect(database.opening).toBe(0);
  });
});

describe('a server that wins', () => {
  it('leads once everything is loaded', async () => {
    const database = new MemoryDatabase();
    database.domains.set('d', { domain: 'd', expiresAtMs: 0 });
    const gate = new Gate();
    database.faults = { onRead: () => gate.pass() };
    const { role, election, serving } = await stand(database);
    election.win(3);
    await gate.reached;
    await turns();
    expect(role.leading).toBe(false);
    gate.open();
    await turns();
    expect(role.term().engine.epoch).toBe(3);
    expect(role.term().engine.state.domains.has('d')).toBe(true);
    expect(serving()).toEqual(new Set([true]));
  });

  it('tries until the database answers', async () => {
    const { role, election, database, clock } = await stand();
    let attempts = 0;
    database.faults = {
      onOpen: () => {
        attempts++;
        throw new JournalError('unavailable', 'connection refused');
      },
    };
    election.win(1);
    await turns();
    expect(attempts).toBe(1);
    await clock.advance(499);
    expect(attempts).toBe(1);
    await clock.advance(1);
    expect(attempts).toBe(2);
    database.faults = {};
    await clock.advance(500);
    await turns();
    expect(role.leading).toBe(true);
  });

  it('does not lead when the lease is lost before everything is loaded', async () => {
    const { role, election, database } = await stand();
    const gate = new Gate();
    database.faults = { onOpen: () => gate.pass() };
    election.win(1);
    await gate.reached;
    election.lose();
    gate.open();
    await turns();
    expect(role.leading).toBe(false);
  });

  it('leads under the later epoch when it won twice meanwhile', async () => {
    const { role, election, database } = await stand();
    const gate = new Gate();
    database.faults = { onOpen: () => gate.pass() };
    election.win(1);
    await gate.reached;
    election.lose();
    election.win(2);
    gate.open();
    await turns();
    expect(role.term().engine.epoch).toBe(2);
    expect(database.epoch).toBe(2);
  });
});

describe('a server that loses its lease', () => {
  it('ends its term at once: nothing can be written, and who waits learns that the outcome is unknown', async () => {
    const { role, election, database, serving, leads, freshen } = await stand();
    await leads(1);
    const { engine, sessions } = role.term();
    const gate = new Gate();
    database.faults = { beforeCommit: () => gate.pass() };
    const waiting = freshen('d');
    waiting.catch(() => undefined);
    election.lose();
    expect(role.leading).toBe(false);
    expect(serving()).toEqual(new Set([false]));
    expect(engine.signal.aborted).toBe(true);
    expect(sessions.size).toBe(0);
    await expect(waiting).rejects.toMatchObject({ reason: 'OUTCOME_UNKNOWN' });
    expect(() => engine.apply(() => 0)).toThrow();
    gate.open();
  });

  it('does not begin again by itself, and leads anew when it wins again', async () => {
    const { role, election, clock, leads, freshen } = await stand();
    await leads(1);
    await freshen('d');
    const first = role.term();
    election.lose();
    await clock.advance(60_000);
    expect(role.leading).toBe(false);
    await leads(2);
    expect(role.term()).not.toBe(first);
    expect(role.term().engine.state.domains.has('d')).toBe(true);
  });
});

describe('a term that fails while the lease is held', () => {
  it('begins again after a pause, with everything loaded anew and nothing of what failed', async () => {
    const { role, database, clock, leads, freshen } = await stand();
    await leads(1);
    await freshen('kept');
    database.faults = {
      beforeCommit: () => {
        throw new JournalError('rejected', 'the database does not take this');
      },
    };
    await expect(freshen('rejected')).rejects.toMatchObject({ reason: 'OUTCOME_UNKNOWN' });
    await turns();
    database.faults = {};
    expect(refusal(role).reason).toBe('NOT_LEADER');
    expect(database.opening).toBe(1);
    await clock.advance(499);
    expect(database.opening).toBe(1);
    await clock.advance(1);
    await turns();
    expect(role.term().engine.epoch).toBe(1);
    expect([...role.term().engine.state.domains.keys()]).toEqual(['kept']);
    await freshen('after');
    expect([...database.domains.keys()]).toEqual(['kept', 'after']);
  });

  it('does not begin again when the lease is lost in the pause', async () => {
    const { role, database, election, clock, leads } = await stand();
    await leads(1);
    role.term().engine.close(new Error('a defect'));
    await turns();
    election.lose();
    await clock.advance(60_000);
    expect(role.leading).toBe(false);
    expect(database.opening).toBe(1);
  });

  it('that was fenced by a later one gives the lease up', async () => {
    const { role, database, election, clock, leads, freshen } = await stand();
    await leads(1);
    await new MemoryJournal(database).open(5);
    await expect(freshen('d')).rejects.toMatchObject({ reason: 'OUTCOME_UNKNOWN' });
    await turns();
    await clock.advance(500);
    await turns();
    expect(election.resigned).toBe(1);
    await clock.advance(60_000);
    expect(role.leading).toBe(false);
    expect(election.resigned).toBe(1);
    expect(database.epoch).toBe(5);
    expect(database.domains.size).toBe(0);
    await leads(6);
  });
});

describe('closing', () => {
  it('commits what was accepted, refuses what comes, and leaves nothing that waits for time', async () => {
    const { role, database, clock, leads, freshen } = await stand();
    await leads(1);
    const gate = new Gate();
    database.faults = { beforeCommit: () => gate.pass() };
    const accepted = freshen('d');
    await gate.reached;
    const closed = role.close();
    expect(role.leading).toBe(false);
    expect(refusal(role).reason).toBe('NOT_LEADER');
    gate.open();
    await accepted;
    await closed;
    expect(database.domains.has('d')).toBe(true);
    expect(clock.pending).toBe(0);
  });

  it('does not wait for ever for a database that is away', async () => {
    const { role, database, clock, leads, freshen } = await stand();
    await leads(1);
    database.faults = {
      beforeCommit: () => {
        throw new JournalError('unavailable', 'connection refused');
      },
    };
    const accepted = freshen('d');
    accepted.catch(() => undefined);
    await turns();
    const closed = role.close();
    await clock.advance(2_000);
    await closed;
    await expect(accepted).rejects.toMatchObject({ reason: 'OUTCOME_UNKNOWN' });
    await clock.advance(2_000);
    expect(clock.pending).toBe(0);
  });

  it('leaves no term behind when the lease is won meanwhile', async () => {
    const { role, database, election } = await stand();
    const closing = role.close();
    election.win(3);
    await closing;
    await turns();
    expect(role.leading).toBe(false);
    expect(database.opening).toBe(0);
  });

  it('leaves no term behind that was just beginning', async () => {
    const { role, database, election, clock } = await stand();
    const gate = new Gate();
    database.faults = { onOpen: () => gate.pass() };
    election.win(3);
    await gate.reached;
    const happened: string[] = [];
    const closing = role.close().then(() => happened.push('closed'));
    await turns();
    happened.push('the database answers');
    gate.open();
    await closing;
    expect(happened).toEqual(['the database answers', 'closed']);
    expect(role.leading).toBe(false);
    expect(clock.pending).toBe(0);
  });

  it('leaves no term behind that was about to begin again', async () => {
    const { role, database, clock, leads } = await stand();
    await leads(1);
    role.term().engine.close(new Error('a defect'));
    await turns();
    const closing = role.close();
    await clock.advance(500);
    await closing;
    await clock.advance(60_000);
    expect(role.leading).toBe(false);
    expect(database.opening).toBe(1);
  });
});

describe('a leader that is told to end, and one that stands by', () => {
  /** Time goes on while the two talk to each other. */
  async function handOver(leader: Server, follower: Server): Promise<void> {
    const handed = leader.role.handOver();
    for (let i = 0; i < 40; i++) {
      await turns();
      if (leader.election.announced > 0) follower.election.leaderEnds();
      await leader.clock.advance(50);
      await follower.clock.advance(50);
    }
    await handed;
  }
  type Server = Awaited<ReturnType<typeof stand>>;

  it('hands over: the state has been read before, and what changed since is read after', async () => {
    const database = new MemoryDatabase();
    const leader = await stand(database);
    await leader.leads(1);
    const { engine } = leader.role.term();
    await engine.execute((draft) => desireLrp(draft, newLrp('stays')));
    await engine.execute((draft) => desireLrp(draft, newLrp('goes')));
    await engine.execute((draft) => upsertDomain(draft, 'd', 0));
    const follower = await stand(database);
    await handOver(leader, follower);
    // The leader serves until it is closed.
    await engine.execute((draft) => removeDesiredLrp(draft, 'goes'));
    await engine.execute((draft) => desireLrp(draft, newLrp('comes', 2)));
    await engine.execute((draft) => updateDesiredLrp(draft, 'stays', { instances: 3 }));
    await leader.role.close();
    let loads = 0;
    database.faults = { onRead: () => void loads++ };
    await follower.leads(2);
    const { state } = follower.role.term().engine;
    // The word of the leader before, and one read of what changed; a load reads part by part.
    expect(loads).toBe(2);
    expect([...state.desiredLrps.keys()].sort()).toEqual(['comes', 'stays']);
    expect(state.desiredLrps.get('stays')?.instances).toBe(3);
    expect([...state.slotOrder.after('')]).toEqual(['comes', 'stays']);
    expect(state.slotsOf('stays').map(([index]) => index)).toEqual([0, 1, 2]);
    expect(state.actualLrpCount).toBe(5);
    expect(state.isFresh('d', 0)).toBe(true);
  });

  it('does not keep for ever what it has read ahead: it is as large as a leader’s state', async () => {
    const database = new MemoryDatabase();
    const leader = await stand(database);
    await leader.leads(1);
    await leader.role.term().engine.execute((draft) => desireLrp(draft, newLrp('p')));
    const follower = await stand(database);
    await handOver(leader, follower);
    await follower.clock.advance(60_000);
    await leader.role.close();
    await follower.leads(2);
    const { engine } = follower.role.term();
    expect(engine.readAhead).toBe(false);
    expect(engine.state.desiredLrps.has('p')).toBe(true);
  });

  it('reads everything when somebody has written after the word of the leader', async () => {
    const database = new MemoryDatabase();
    const leader = await stand(database);
    await leader.leads(1);
    await leader.role.term().engine.execute((draft) => desireLrp(draft, newLrp('p')));
    const follower = await stand(database);
    await handOver(leader, follower);
    await leader.role.close();
    const between = await stand(database);
    await between.leads(2);
    await between.role.term().engine.execute((draft) => desireLrp(draft, newLrp('q')));
    await between.role.close();
    await follower.leads(3);
    expect([...follower.role.term().engine.state.desiredLrps.keys()].sort()).toEqual(['p', 'q']);
  });

  it('ends after a second when nobody stands by', async () => {
    const leader = await stand();
    await leader.leads(1);
    let ended = false;
    void leader.role.handOver().then(() => {
      ended = true;
    });
    for (let i = 0; i < 24; i++) {
      await turns();
      await leader.clock.advance(50);
    }
    expect(ended).toBe(true);
    await leader.role.close();
  });
});
