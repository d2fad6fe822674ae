import { status } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { RiveraError } from '../errors.js';
import { backoffMs, decide, fateOf, isPassing, MAX_REDIRECTS, type Situation } from './retry.js';

const error = (code: status, reason = '', message = 'x', retryDelayMs?: number) =>
  new RiveraError({ code, reason, message, retryDelayMs });

describe('what is known of a failed attempt', () => {
  it.each([
    ['a standby', error(status.UNAVAILABLE, 'NOT_LEADER'), 'refused'],
    ['a server without its database', error(status.UNAVAILABLE, 'DATABASE_UNAVAILABLE'), 'refused'],
    ['no connection', error(status.UNAVAILABLE, '', 'No connection established. Last error: …'), 'refused'],
    ['a full queue', error(status.RESOURCE_EXHAUSTED, 'TOO_MANY_REQUESTS'), 'refused'],
    ['an exhausted resource with a time to come back', error(status.RESOURCE_EXHAUSTED, '', 'x', 10), 'refused'],
    ['a broken connection', error(status.UNAVAILABLE), 'unknown'],
    ['a server that closes', error(status.UNAVAILABLE, 'SHUTTING_DOWN'), 'unknown'],
    ['an attempt that took too long', error(status.DEADLINE_EXCEEDED), 'unknown'],
    ['a commit that broke', error(status.UNKNOWN, 'OUTCOME_UNKNOWN'), 'unknown'],
    ['a killed server', error(status.CANCELLED), 'unknown'],
    ['a broken stream', error(status.INTERNAL), 'unknown'],
    ['a bug of the server', error(status.INTERNAL, 'INTERNAL'), 'final'],
    ['a message too large', error(status.RESOURCE_EXHAUSTED, 'MESSAGE_TOO_LARGE'), 'final'],
    ['a record that is not there', error(status.NOT_FOUND, 'TASK_NOT_FOUND'), 'final'],
    ['a conflict', error(status.ABORTED, 'DESIRED_LRP_CONFLICT'), 'final'],
    ['a role that may not', error(status.PERMISSION_DENIED, 'PERMISSION_DENIED'), 'final'],
  ])('%s', (_case, failure, fate) => {
    expect(fateOf(failure)).toBe(fate);
  });
});

describe('what to do next', () => {
  const situation = (more: Partial<Situation>): Situation => ({
    ...{ safety: 'repeatable', fate: 'unknown', error: error(status.UNAVAILABLE), attempt: 1, maxAttempts: 4 },
    ...{ passing: false, redirects: 0, leaderKnown: false, remainingMs: 10_000, random: 1 },
    ...more,
  });

  it('never repeats what the server decided', () => {
    expect(decide(situation({ fate: 'final' }))).toEqual({ do: 'give up' });
  });
  it('repeats a call that must happen once only when it certainly had no effect', () => {
    expect(decide(situation({ safety: 'once', fate: 'unknown' }))).toEqual({ do: 'give up' });
    expect(decide(situation({ safety: 'once', fate: 'refused' }))).toEqual({ do: 'retry', afterMs: 100 });
  });
  it('waits longer for an election than for a server that does not answer', () => {
    const late = { attempt: 5, maxAttempts: 4, fate: 'refused' } as const;
    // Also when the attempt that failed last met one that is gone by now.
    expect(decide(situation({ ...late, passing: true })).do).toBe('retry');
    expect(decide(situation({ ...late, passing: false })).do).toBe('give up');
    expect(decide(situation({ ...late, passing: true, attempt: 12 })).do).toBe('give up');
  });
  it('knows who says that somebody will serve soon', () => {
    const reasons = ['NOT_LEADER', 'SHUTTING_DOWN', 'DATABASE_UNAVAILABLE', 'TASK_NOT_FOUND', ''];
    const passing = reasons.filter((reason) => isPassing(error(status.UNAVAILABLE, reason)));
    expect(passing).toEqual(['NOT_LEADER', 'SHUTTING_DOWN', 'DATABASE_UNAVAILABLE']);
  });
  it('follows a leader at once, but not for ever', () => {
    expect(decide(situation({ fate: 'refused', leaderKnown: true, attempt: 4 }))).toEqual({ do: 'redirect' });
    const inCircles = situation({ fate: 'refused', leaderKnown: true, redirects: MAX_REDIRECTS });
    expect(decide(inCircles)).toEqual({ do: 'retry', afterMs: 100 });
    expect(decide({ ...inCircles, attempt: 4 })).toEqual({ do: 'give up' });
  });
  it('gives up after the last attempt, and when no time is left to wait', () => {
    expect(decide(situation({ attempt: 4 }))).toEqual({ do: 'give up' });
    expect(decide(situation({ remainingMs: 99 }))).toEqual({ do: 'give up' });
  });
});

describe('the wait', () => {
  it('doubles up to two seconds', () => {
    expect([1, 2, 3, 4, 7, 100].map((attempt) => backoffMs(attempt, 1))).toEqual([100, 200, 400, 800, 2000, 2000]);
  });
  it('is half chance, so that many clients do not come back together', () => {
    expect(backoffMs(3, 0)).toBe(200);
  });
  it('is never shorter than the server asks for', () => {
    expect(backoffMs(1, 1, error(status.UNAVAILABLE, '', 'x', 2500))).toBe(2500);
  });
});
