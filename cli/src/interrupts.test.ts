import { describe, expect, it } from 'vitest';
import { EXIT } from './failures.js';
import { Interrupts } from './interrupts.js';

describe('interrupts', () => {
  it('ask first and force then', () => {
    let now = 0;
    const interrupts = new Interrupts(() => now);
    expect(interrupts.exitCode).toBeUndefined();
    expect(interrupts.deliver('SIGINT')).toBe(1);
    expect([interrupts.signal.aborted, interrupts.forced.aborted]).toEqual([true, false]);
    now = 2_000;
    expect(interrupts.deliver('SIGTERM')).toBe(2);
    expect(interrupts.forced.aborted).toBe(true);
    expect(interrupts.exitCode).toBe(EXIT.interrupted);
  });

  it('count one Ctrl-C once, even when npm hands it on as well', () => {
    let now = 0;
    const interrupts = new Interrupts(() => now);
    interrupts.deliver('SIGINT');
    now = 30;
    expect(interrupts.deliver('SIGINT')).toBe(1);
    expect(interrupts.forced.aborted).toBe(false);
  });

  it('by TERM have a code of their own', () => {
    const interrupts = new Interrupts(() => 0);
    interrupts.deliver('SIGTERM');
    expect(interrupts.exitCode).toBe(EXIT.terminated);
  });
});
