import type { CellBid, Resources } from '@rivera/gen/rivera/auction/v1/bid_service';
import type { RootFsProvider } from '@rivera/gen/rivera/bbs/v1/cell';
import { WorkRequirements } from '@rivera/gen/rivera/bbs/v1/placement';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Ledger } from './ledger.js';
import type { LedgerCell } from './ledger-cell.js';
import { decide, type PlacementLimits } from './placement.js';
import type { ScoreWeights } from './score.js';
import { PlainAuction, type PlainWork } from './testing/reference-auction.js';
import { bid, heldLrp, heldTask, lrp, task } from './testing/samples.js';

const amounts: fc.Arbitrary<Resources> = fc.record({
  memoryMb: fc.integer({ min: 1, max: 200 }),
  diskMb: fc.integer({ min: 1, max: 200 }),
  containers: fc.integer({ min: 1, max: 20 }),
});
/** Of few kinds, as machines are, so that ties and large pools come up. */
const machine: fc.Arbitrary<Resources> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.constantFrom<Resources[]>(
      { memoryMb: 100, diskMb: 100, containers: 100 },
      { memoryMb: 64, diskMb: 128, containers: 8 },
    ),
  },
  { weight: 1, arbitrary: amounts },
);
const process = fc.constantFrom('p', 'q', 'r');
const tags = fc.subarray(['a', 'b'], { maxLength: 2 });
const rarely = (weight: number, some: fc.Arbitrary<string[]>): fc.Arbitrary<string[]> =>
  fc.oneof({ weight, arbitrary: fc.constant<string[]>([]) }, { weight: 1, arbitrary: some });

/** A cell's fields, with what it holds and has free in short. */
interface CellSketch
  extends Pick<
    CellBid,
    | 'zone'
    | 'rootFsProviders'
    | 'placementTags'
    | 'optionalPlacementTags'
    | 'volumeDrivers'
    | 'startingContainers'
    | 'evacuating'
    | 'proxyMemoryMb'
    | 'cellIndex'
  > {
  total: Resources;
  /** Part of the total, 0..1. */
  free: number;
  lrps: string[];
  tasks: number;
}

const cell: fc.Arbitrary<CellSketch> = fc.record({
  zone: fc.constantFrom('z1', 'z2', 'z3'),
  total: machine,
  free: fc.oneof(fc.constant(1), fc.double({ min: 0, max: 1, noNaN: true })),
  rootFsProviders: fc.constantFrom<RootFsProvider[]>(
    [{ name: 'preloaded', properties: ['base'] }],
    [
      { name: 'preloaded', properties: ['base', 'other'] },
      { name: 'docker', properties: [] },
    ],
  ),
  placementTags: rarely(4, tags),
  optionalPlacementTags: rarely(3, tags),
  volumeDrivers: fc.subarray(['nfs']),
  startingContainers: fc.integer({ min: 0, max: 3 }),
  evacuating: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
  proxyMemoryMb: fc.constantFrom(0, 0, 5),
  cellIndex: fc.integer({ min: 0, max: 5 }),
  lrps: fc.array(process, { maxLength: 4 }),
  tasks: fc.integer({ min: 0, max: 2 }),
});

const work = fc.record({
  kind: fc.constantFrom<'lrp' | 'task'>('lrp', 'lrp', 'task'),
  processGuid: process,
  requirements: fc
    .record({
      memoryMb: fc.oneof(fc.integer({ min: 0, max: 8 }), fc.integer({ min: 0, max: 110 })),
      diskMb: fc.oneof(fc.integer({ min: 0, max: 8 }), fc.integer({ min: 0, max: 110 })),
      rootFs: fc.constantFrom('preloaded:base', 'preloaded:base', 'preloaded:other?x=1', 'docker:///x', 'none:x'),
      placementTags: rarely(3, tags),
      volumeDrivers: rarely(5, fc.constant(['nfs', 'nfs'])),
      proxied: fc.boolean(),
    })
    .map((fields) => WorkRequirements.fromPartial(fields)),
});

const weights = fc.record({
  binPackFirstFitWeight: fc.constantFrom(0, 0, 0.5, 400),
  startingContainerWeight: fc.constantFrom(0, 0.25, 1),
  startingContainerCountMaximum: fc.constantFrom(0, 0, 0, -1, 25),
});

type Settings = ScoreWeights & PlacementLimits;

function bidOf(sketch: CellSketch, n: number): CellBid {
  const { lrps, tasks, free, ...fields } = sketch;
  const part = (total: number) => Math.floor(total * free);
  return bid(`cell-${String(n).padStart(3, '0')}`, {
    ...fields,
    available: {
      memoryMb: part(sketch.total.memoryMb),
      diskMb: part(sketch.total.diskMb),
      containers: part(sketch.total.containers),
    },
    held: [
      ...lrps.map((guid, i) => heldLrp(guid, i, `${n}-${i}`)),
      ...Array.from({ length: tasks }, (_, i) => heldTask(`t-${n}-${i}`)),
    ],
  });
}

/** Places everything in both, one by one, and expects the same outcome for each. */
function compare(cells: CellSketch[], items: PlainWork[], settings: Settings): void {
  const bids = cells.map(bidOf);
  const plain = new PlainAuction(bids, settings);
  const ledger = new Ledger(settings);
  for (const each of bids) ledger.put(each);
  items.forEach((item, n) => {
    const expected = plain.ask(item);
    const piece = item.kind === 'lrp' ? lrp(item.processGuid, n, item.requirements) : task(`t${n}`, item.requirements);
    const decision = decide<LedgerCell>(ledger, piece, settings);
    if (decision.kind === 'failed') {
      expect({ score: undefined, reason: decision.failure.reason }).toEqual({
        score: expected.score,
        reason: expected.reason,
      });
      return;
    }
    expect(expected.score).toBeDefined();
    const score = expected.scores.get(decision.cell.id);
    expect(Math.abs((score ?? Number.NaN) - (expected.score ?? Number.NaN))).toBeLessThan(1e-9);
    expect(Math.abs(decision.score - (expected.score ?? Number.NaN))).toBeLessThan(1e-9);
    const ties = [...expected.scores].filter(([, each]) => each === expected.score);
    if (
      ties.length > 1 &&
      ties.length === [...expected.scores].filter(([, s]) => Math.abs(s - (expected.score ?? 0)) < 1e-9).length
    ) {
      // Equal to the last bit, cells of one kind: the lowest id must win.
      const alike = ties.filter(([id]) => ledger.cell(id)?.tree === decision.cell.tree);
      expect(decision.cell.id).toBe(alike.map(([id]) => id).sort()[0]);
    }
    plain.take(decision.cell.id, item);
    ledger.reserve(decision.cell, piece, `w${n}`, 0);
  });
}

describe('placement, compared with the rules written plainly', () => {
  it('chooses an equal score, or fails with the same text, on any cluster and any work', () => {
    fc.assert(fc.property(fc.array(cell, { maxLength: 24 }), fc.array(work, { maxLength: 40 }), weights, compare), {
      numRuns: 400,
    });
  });
});
