import { getEventListeners } from 'node:events';
import { systemClock } from '@rivera/kit/clock';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Commit } from '../engine/batch.js';
import { ChangeLog } from './change-log.js';

/** A commit of so many changes. */
function commit(revision: number, changes = 1): Commit {
  const change = (i: number) => ({
    kind: 'domain' as const,
    before: undefined,
    after: { domain: `${revision}/${i}`, expiresAtMs: 0 },
  });
  const made = Array.from({ length: changes }, (_, i) => change(i));
  return { revision, timeMs: 0, changes: made, payloads: [], effects: [] };
}

const refusal = (reason: string) => expect.objectContaining({ reason });

describe('a position', () => {
  it('lies behind all changes of its revision, and before all that follow', () => {
    const log = new ChangeLog(10, 100);
    log.append([commit(11), commit(12, 3), commit(13)]);
    const revisionsFrom = (revision: number) =>
      log.read(log.positionAfter(revision), 100).map((entry) => entry.revision);
    expect(revisionsFrom(10)).toEqual([11, 12, 12, 12, 13]);
    expect(revisionsFrom(11)).toEqual([12, 12, 12, 13]);
    expect(revisionsFrom(12)).toEqual([13]);
    expect(revisionsFrom(13)).toEqual([]);
  });

  it('claims a revision only when the whole of it lies before', () => {
    const log = new ChangeLog(10, 100);
    log.append([commit(11), commit(12, 3)]);
    const start = log.positionAfter(10);
    expect([0, 1, 2, 3, 4].map((step) => log.revisionBefore(start + step))).toEqual([10, 11, 11, 11, 12]);
  });

  it('is unknown for revisions before the log and for those that have not happened', () => {
    const log = new ChangeLog(10, 100);
    log.append([commit(11)]);
    expect(() => log.positionAfter(9)).toThrow(refusal('RESUME_TOKEN_TOO_OLD'));
    expect(() => log.positionAfter(12)).toThrow(refusal('RESUME_TOKEN_TOO_OLD'));
  });

  it('is known to the next leader for who had seen everything', () => {
    const log = new ChangeLog(10, 100);
    expect(log.read(log.positionAfter(10), 10)).toEqual([]);
  });
});

describe('the bound', () => {
  const filled = () => {
    const log = new ChangeLog(0, 10);
    for (let revision = 1; revision <= 100; revision++) log.append([commit(revision)]);
    return log;
  };

  it('keeps at least its capacity, and at most twice that', () => {
    const log = filled();
    expect(log.read(log.endPosition - 10, 100)).toHaveLength(10);
    expect(() => log.read(log.endPosition - 21, 100)).toThrow(refusal('WATCHER_TOO_SLOW'));
  });

  it('has whoever falls out of it begin anew', () => {
    const log = filled();
    expect(() => log.positionAfter(50)).toThrow(refusal('RESUME_TOKEN_TOO_OLD'));
    expect(log.read(log.positionAfter(95), 100).map(({ revision }) => revision)).toEqual([96, 97, 98, 99, 100]);
  });

  it('gives no position inside a revision of which it has dropped a part', () => {
    const log = new ChangeLog(0, 10);
    log.append([commit(1, 15)]);
    log.append([commit(2, 6)]);
    // Five changes of revision 2 and more are dropped or kept: nobody may go on behind 0, whoever has 1 may.
    expect(() => log.positionAfter(0)).toThrow(refusal('RESUME_TOKEN_TOO_OLD'));
    expect(log.read(log.positionAfter(1), 100)).toHaveLength(6);
  });

  it('also bounds what one append brings', () => {
    const log = new ChangeLog(0, 10);
    log.append([commit(1, 1_000)]);
    expect(() => log.read(log.endPosition - 21, 1)).toThrow(refusal('WATCHER_TOO_SLOW'));
    expect(log.lastRevision).toBe(1);
  });
});

describe('waiting', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('ends with something new, with the time, and with the signal, and leaves nothing behind', async () => {
    const log = new ChangeLog(0, 10);
    const stop = new AbortController();
    const news = log.wait(0, { timeoutMs: 10_000, time: systemClock }, stop.signal);
    log.append([commit(1)]);
    await news;
    await log.wait(0, { timeoutMs: 10_000, time: systemClock }, stop.signal);
    const time = log.wait(1, { timeoutMs: 10_000, time: systemClock }, stop.signal);
    vi.advanceTimersByTime(10_000);
    await time;
    expect(getEventListeners(stop.signal, 'abort')).toEqual([]);
    const signal = log.wait(1, { timeoutMs: 10_000, time: systemClock }, stop.signal);
    stop.abort();
    await signal;
    await log.wait(1, { timeoutMs: 10_000, time: systemClock }, stop.signal);
    expect(vi.getTimerCount()).toBe(0);
    expect((Reflect.get(log, 'waiters') as ReadonlySet<unknown>).size).toBe(0);
  });

  it('does not end with commits that changed nothing', async () => {
    const log = new ChangeLog(0, 10);
    let woken = false;
    const waiting = log.wait(0, { timeoutMs: 10_000, time: systemClock }, new AbortController().signal).then(() => {
      woken = true;
    });
    log.append([commit(1, 0)]);
    await new Promise((resolve) => setImmediate(resolve));
    expect(woken).toBe(false);
    vi.advanceTimersByTime(10_000);
    await waiting;
  });
});
