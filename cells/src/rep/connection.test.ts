import { ManualClock } from '@rivera/kit/clock';
import { RiveraError } from '@rivera/kit/errors';
import { silentLogger } from '@rivera/kit/log';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Connection, type Conversation } from './connection.js';

let clock: ManualClock;
let connection: Connection | undefined;
let seen: { atMs: number; address: string }[];

beforeEach(() => {
  clock = new ManualClock();
  connection = undefined;
  seen = [];
});
afterEach(() => connection?.close());

function connect(converse: (conversation: Conversation) => Promise<void>, random = 1): Connection {
  connection = new Connection({
    servers: ['a:1', 'b:1'],
    clock,
    logger: silentLogger,
    random: () => random,
    converse: (conversation) => {
      seen.push({ atMs: clock.now(), address: conversation.address });
      return converse(conversation);
    },
  });
  connection.start();
  return connection;
}

const over = (signal: AbortSignal) =>
  new Promise<never>((_, reject) => {
    const end = () => reject(new RiveraError('CANCELLED', 'over'));
    if (signal.aborted) end();
    else signal.addEventListener('abort', end);
  });
const gaps = () => seen.slice(1).map(({ atMs }, index) => atMs - (seen[index]?.atMs ?? 0));

describe('a connection', () => {
  it('goes round the servers with growing waits, up to a bound', async () => {
    connect(() => Promise.reject(new RiveraError('UNAVAILABLE', 'gone')));
    await clock.advance(12_000);
    expect(gaps().slice(0, 9)).toEqual([50, 100, 200, 400, 800, 1_600, 3_000, 3_000, 50].slice(0, gaps().length));
    expect(seen.slice(0, 4).map(({ address }) => address)).toEqual(['a:1', 'b:1', 'a:1', 'b:1']);
  });

  it('spreads the waits by half', async () => {
    connect(() => Promise.reject(new RiveraError('UNAVAILABLE', 'gone')), 0);
    await clock.advance(400);
    expect(gaps()).toEqual([25, 50, 100, 200]);
  });

  it('starts with short waits again once it was welcomed and stood for a while', async () => {
    connect(async ({ welcomed, signal }) => {
      if (seen.length % 3 === 0) {
        welcomed();
        await clock.sleep(20_000, signal).catch(() => {});
      }
      throw new RiveraError('UNAVAILABLE', 'gone');
    });
    await clock.advance(45_000);
    expect(gaps()).toEqual([50, 100, 20_050, 100, 200, 20_050, 100, 200].slice(0, gaps().length));
  });

  it('leaves a server in peace, for longer each time, that loses streams soon after it welcomed them', async () => {
    connect(async ({ welcomed }) => {
      welcomed();
      throw new RiveraError('UNAVAILABLE', 'gone');
    });
    await clock.advance(50_000);
    expect(gaps()).toEqual([50, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000, 10_000].slice(0, gaps().length));
    expect(gaps().length).toBeGreaterThan(6);
  });

  it('leaves a server in peace that says that it is busy', async () => {
    connect(() => Promise.reject(new RiveraError('DATABASE_UNAVAILABLE', 'later')));
    await clock.advance(60_000);
    expect(gaps().slice(-2)).toEqual([10_000, 10_000]);
  });

  it('is slowed down less by leaders that come and go', async () => {
    connect(async ({ welcomed }) => {
      welcomed();
      throw new RiveraError('NOT_LEADER', 'deposed');
    });
    await clock.advance(500);
    expect(gaps()).toEqual([50, 100, 200]);
  });

  it('waits longer for the welcome of a server that was late before', async () => {
    connect(({ signal }) => over(signal));
    await clock.advance(120_000);
    expect(gaps()).toEqual([10_050, 21_000, 32_000, 44_000].slice(0, gaps().length));
    expect(gaps().length).toBeGreaterThan(2);
  });

  it('follows a standby to the leader that it names', async () => {
    const metadata = { leader_address: 'c:1' };
    connect(async ({ address, welcomed, signal }) => {
      if (address === 'a:1') throw new RiveraError('NOT_LEADER', 'standing by', { metadata });
      welcomed();
      await over(signal);
    });
    await clock.advance(1_000);
    expect(seen.map(({ address }) => address)).toEqual(['a:1', 'c:1']);
  });

  it('gives up a server that does not welcome it', async () => {
    connect(({ signal }) => over(signal));
    await clock.advance(10_500);
    expect(seen.map(({ address }) => address)).toEqual(['a:1', 'b:1']);
  });

  it('keeps what it was ended with, not what ending it brought about', async () => {
    connect(async ({ address, welcomed, end, signal }) => {
      if (address !== 'a:1') welcomed();
      else end(new RiveraError('NOT_LEADER', 'deposed', { metadata: { leader_address: 'd:1' } }));
      await over(signal);
    });
    await clock.advance(1_000);
    expect(seen.map(({ address }) => address)).toEqual(['a:1', 'd:1']);
  });

  it('ends at once when it is closed, talking or waiting', async () => {
    const talking = connect(async ({ welcomed, signal }) => {
      welcomed();
      await over(signal);
    });
    await clock.advance(1);
    await talking.close();
    const waiting = connect(() => Promise.reject(new RiveraError('UNAVAILABLE', 'gone')));
    await clock.advance(1);
    await waiting.close();
    expect(clock.pending).toBe(0);
  });
});
