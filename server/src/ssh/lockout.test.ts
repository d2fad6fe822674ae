import { describe, expect, it } from 'vitest';
import { Lockout } from './lockout.js';

function setting(failures = 3) {
  const clock = { now: 1_000_000 };
  const lockout = new Lockout({ failures, windowMs: 1_000, durationMs: 500 }, () => clock.now);
  const fail = (address: string, user: string, times: number) => {
    for (let i = 0; i < times; i++) lockout.failed(address, user);
  };
  return { clock, lockout, fail };
}

describe('the lock-out', () => {
  it('shuts out an address for the user it guessed at, and nobody else', () => {
    const { lockout, fail } = setting();
    fail('a', 'u', 2);
    expect(lockout.isLocked('a', 'u')).toBe(false);
    fail('a', 'u', 1);
    expect(lockout.isLocked('a', 'u')).toBe(true);
    expect(lockout.isLocked('a', 'v')).toBe(false);
    expect(lockout.isLocked('b', 'u')).toBe(false);
  });

  it('ends after its time, and begins to count anew', () => {
    const { clock, lockout, fail } = setting();
    fail('a', 'u', 3);
    clock.now += 501;
    expect(lockout.isLocked('a', 'u')).toBe(false);
    fail('a', 'u', 2);
    expect(lockout.isLocked('a', 'u')).toBe(false);
  });

  it('forgets failures that lie further back than its window, and those before a success', () => {
    const { clock, lockout, fail } = setting();
    fail('a', 'u', 2);
    clock.now += 1_001;
    fail('a', 'u', 2);
    expect(lockout.isLocked('a', 'u')).toBe(false);
    lockout.succeeded('a', 'u');
    fail('a', 'u', 2);
    expect(lockout.isLocked('a', 'u')).toBe(false);
  });

  it('shuts out an address for everybody when it guesses at many', () => {
    const { lockout } = setting();
    for (let i = 0; i < 30; i++) lockout.failed('a', `user-${i}`);
    expect(lockout.isLocked('a', 'somebody else')).toBe(true);
    expect(lockout.isLocked('b', 'somebody else')).toBe(false);
  });
});
