import { describe, expect, it } from 'vitest';
import { Ledger } from './ledger.js';
import type { LedgerCell } from './ledger-cell.js';
import { decide } from './placement.js';
import { bid, heldLrp, lrp } from './testing/samples.js';
import { compareWork, type PlaceableWork } from './work.js';

/** The scenarios of the reference's simulation suite (spec auction §11), on the real rules without streams. */
const DEFAULTS = { binPackFirstFitWeight: 0, startingContainerWeight: 0.25, startingContainerCountMaximum: 0 };

interface Cluster {
  cells: number;
  zone?: (n: number) => string;
  /** Instances of processes of their own that are there before, 1 MB each. */
  load?: (n: number) => number;
  settings?: typeof DEFAULTS;
}

/** @returns what was placed on each cell, in order of cells, and what was not placed */
function run(
  { cells, zone = (n) => `Z${n % 2}`, load = () => 0, settings = DEFAULTS }: Cluster,
  batch: PlaceableWork[],
) {
  const ledger = new Ledger(settings);
  for (let n = 0; n < cells; n++) {
    const left = 100 - load(n);
    ledger.put(
      bid(`REP-${String(n + 1).padStart(3, '0')}`, {
        zone: zone(n),
        cellIndex: n,
        available: { memoryMb: left, diskMb: left, containers: left },
        held: Array.from({ length: load(n) }, (_, i) => heldLrp(`before-${n}-${i}`, 0)),
      }),
    );
  }
  const missing: PlaceableWork[] = [];
  [...batch].sort(compareWork).forEach((work, n) => {
    const decision = decide<LedgerCell>(ledger, work, settings);
    if (decision.kind === 'placed') ledger.reserve(decision.cell, work, `w${n}`, 0);
    else missing.push(work);
  });
  return { placed: ledger.list().map((cell) => cell.assignments.size), missing };
}

const distinct = (count: number) => Array.from({ length: count }, (_, n) => lrp(`distinct-${n}`));
const instances = (count: number) => Array.from({ length: count }, (_, n) => lrp('one', n));

/** Every cell that won something is within `tolerance` of the mean of such cells. */
function expectSpread(placed: number[], tolerance: number): void {
  const winners = placed.filter((count) => count > 0);
  const mean = winners.reduce((sum, count) => sum + count, 0) / winners.length;
  for (const count of winners) expect(Math.abs(count - mean)).toBeLessThanOrEqual(tolerance);
}

const SIZES = [
  [4, 8],
  [10, 40],
  [20, 200],
  [40, 800],
] as const;

describe('a small cold start', () => {
  it.each(SIZES)('spreads over %i cells %i processes within 1', (cells, count) => {
    const { placed, missing } = run({ cells }, distinct(count));
    expect(missing).toEqual([]);
    expectSpread(placed, 1);
  });
});

describe('bin packing', () => {
  const weights = [0.25, 0.5, 0.75].flatMap((weight) => SIZES.map(([cells, count]) => [weight, cells, count] as const));
  const settings = (binPackFirstFitWeight: number) => ({
    ...DEFAULTS,
    binPackFirstFitWeight,
    startingContainerWeight: 0.5,
  });

  it.each(weights)(
    'of weight %d on %i cells fills low indices of each zone first with %i processes',
    (weight, cells, count) => {
      const { placed } = run({ cells, settings: settings(weight) }, distinct(count));
      for (const zone of [0, 1]) {
        const inZone = placed.filter((_, n) => n % 2 === zone);
        expect(inZone).toEqual([...inZone].sort((a, b) => b - a));
        expect(Math.abs(inZone.reduce((sum, each) => sum + each, 0) - count / 2)).toBeLessThanOrEqual(1);
      }
    },
  );

  it.each(weights)(
    'of weight %d on %i cells still spreads %i instances of one process within 1',
    (weight, cells, count) => {
      expectSpread(run({ cells, settings: settings(weight) }, instances(count)).placed, 1);
    },
  );
});

describe('a large cold start', () => {
  it.each([
    [25, 1],
    [100, 4],
  ])('fills %i cells to 96 % within 10', (cells, times) => {
    const batch: PlaceableWork[] = [];
    for (const [count, memoryMb] of [
      [1800, 1],
      [200, 2],
      [50, 4],
    ] as const) {
      for (let n = 0; n < (count * times) / 2; n++) {
        batch.push(lrp(`own-${memoryMb}-${n}`, 0, { memoryMb }));
        batch.push(lrp(`shared-${memoryMb}-${n % 4}`, Math.floor(n / 4), { memoryMb }));
      }
    }
    const { placed, missing } = run({ cells }, batch);
    expect(missing).toEqual([]);
    expectSpread(placed, 10);
  });
});

describe('an imbalanced cluster, as in a rolling deploy', () => {
  it.each([
    [5, 500],
    [1, 100],
  ])('with %i empty cells spreads %i new processes within 1', (empty, count) => {
    expectSpread(run({ cells: 100, load: (n) => (n < empty ? 0 : 50) }, distinct(count)).placed, 1);
  });
});

describe('zones', () => {
  it('are balanced before cells are', () => {
    const { placed } = run(
      { cells: 3, zone: (n) => (n < 2 ? 'Z0' : 'Z1'), load: (n) => (n === 2 ? 50 : 0) },
      instances(40),
    );
    expect(placed).toEqual([10, 10, 20]);
  });
});

describe('crowded cells', () => {
  it.each([
    [10, 80],
    [30, 200],
    [100, 400],
  ])('take, %i of them, %i instances of one process within 1', (cells, count) => {
    expectSpread(run({ cells, load: (n) => 78 + ((n * 7) % 3) }, instances(count)).placed, 1);
  });
});

describe('boulders and pebbles', () => {
  it('places index 0 of the large process, and many small ones before its index 1', () => {
    const boulders = [0, 1].map((index) => lrp('boulder', index, { memoryMb: 50 }));
    const { placed, missing } = run({ cells: 1 }, [...distinct(80), ...boulders]);
    expect(placed).toEqual([51]);
    expect(missing).toHaveLength(31);
    expect(missing.map((work) => work.key)).toContain('l/boulder/1');
    expect(missing.map((work) => work.key)).not.toContain('l/boulder/0');
  });
});
