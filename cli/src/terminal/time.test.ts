import { describe, expect, it } from 'vitest';
import { ageOf, formatAge, formatTimestamp, formatTook, parseDuration, toDuration } from './time.js';

describe('ages', () => {
  it('use the unit that says enough', () => {
    const ages = [0, 1999, 119_000, 120_000, 7_199_000, 7_200_000, 172_799_000, 172_800_000].map(formatAge);
    expect(ages).toEqual(['0s', '1s', '119s', '2m', '119m', '2h', '47h', '2d']);
  });

  it('are never negative, as clocks differ', () => {
    expect(formatAge(-5000)).toBe('0s');
    expect(ageOf(undefined, 0)).toBe('-');
  });
});

describe('durations', () => {
  it.each([
    ['30s', 30_000],
    ['500ms', 500],
    ['1h30m', 5_400_000],
    ['1.5s', 1500],
    ['7', 7000],
    ['0', 0],
  ])('%s is %d ms', (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  it.each(['', 'x', '-3s', '3 s', '3y', 's'])('%j is none', (text) => {
    expect(parseDuration(text)).toBeUndefined();
  });

  it('become protobuf durations', () => {
    expect(toDuration(1500)).toEqual({ seconds: 1, nanos: 500_000_000 });
  });

  it('are shown as people say them', () => {
    expect([85.4, 1440, 20_000, 119_600, 125_000].map(formatTook)).toEqual([
      '85 ms',
      '1.4 s',
      '20 s',
      '2 m',
      '2 m 5 s',
    ]);
  });
});

describe('timestamps', () => {
  it('are local, with hundredths and the offset', () => {
    const moment = new Date(2026, 2, 24, 1, 33, 50, 419);
    expect(formatTimestamp(moment)).toMatch(/^2026-03-24T01:33:50\.41[+-]\d{4}$/);
    expect(Date.parse(formatTimestamp(moment).replace(/(\d\d)$/, ':$1'))).toBe(moment.getTime() - 9);
  });
});
