import { describe, expect, it } from 'vitest';
import { spreadOf } from './spread.js';

describe('a spread', () => {
  it('is that of all places', () => {
    expect(spreadOf([2, 4, 4, 4, 5, 5, 7, 9])).toEqual({ least: 2, most: 9, mean: 5, deviation: 2 });
  });

  it('of no places is nothing', () => {
    expect(spreadOf([])).toEqual({ least: 0, most: 0, mean: 0, deviation: 0 });
  });
});
