import type { CellBid } from '@rivera/gen/rivera/auction/v1/bid_service';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { demandOf, mismatch, offerOf } from '../filters.js';
import { bid, heldLrp, needs } from '../testing/samples.js';
import { type MovableInstance, type Move, planRebalance } from './plan.js';

/** A cluster written down by what is where. */
interface Layout {
  readonly cells: readonly { zone: string; tags: string[]; size: number }[];
  readonly instances: readonly { cell: number; process: number; memoryMb: number; tags: string[]; movable: boolean }[];
}

const cellId = (n: number) => `cell-${String(n).padStart(2, '0')}`;

function snapshotOf({ cells, instances }: Layout) {
  const all = instances.map((each, n) => ({
    movable: each.movable,
    instance: {
      processGuid: `p${each.process}`,
      index: n,
      instanceGuid: `i${n}`,
      cellId: cellId(each.cell),
      domain: 'd',
      requirements: needs({ memoryMb: each.memoryMb, diskMb: each.memoryMb, placementTags: each.tags }),
    } satisfies MovableInstance,
  }));
  const bids = cells.map(({ zone, tags, size }, n): CellBid => {
    const here = all.map(({ instance }) => instance).filter((instance) => instance.cellId === cellId(n));
    const used = here.reduce((sum, { requirements }) => sum + requirements.memoryMb, 0);
    const total = { memoryMb: size, diskMb: size, containers: size };
    const available = { memoryMb: size - used, diskMb: size - used, containers: size - here.length };
    const held = here.map(({ processGuid, index, instanceGuid }) => heldLrp(processGuid, index, instanceGuid));
    return bid(cellId(n), { zone, total, available, placementTags: tags, held });
  });
  return { bids, all, movable: all.filter(({ movable }) => movable).map(({ instance }) => instance) };
}

/** Where everything is once the moves are made. */
function placesAfter(all: readonly { instance: MovableInstance }[], moves: readonly Move[]): Map<string, string> {
  const places = new Map(all.map(({ instance }) => [instance.instanceGuid, instance.cellId]));
  for (const { instance, to } of moves) {
    expect(places.get(instance.instanceGuid)).toBe(instance.cellId);
    places.set(instance.instanceGuid, to);
  }
  return places;
}

function countPerCell(cells: number, places: Map<string, string>): number[] {
  const counts = new Map(Array.from({ length: cells }, (_, n) => [cellId(n), 0]));
  for (const cell of places.values()) counts.set(cell, (counts.get(cell) ?? 0) + 1);
  return [...counts.values()];
}

const differenceOf = (values: readonly number[]) => Math.max(...values) - Math.min(...values);

/** Cells and processes of one kind, thrown about at random. */
const evenKind: fc.Arbitrary<Layout> = fc
  .record({ cells: fc.integer({ min: 2, max: 8 }), places: fc.array(fc.nat(99), { maxLength: 60 }) })
  .map(({ cells, places }) => ({
    cells: Array.from({ length: cells }, () => ({ zone: 'z1', tags: [], size: 100 })),
    instances: places.map((place, n) => ({ cell: place % cells, process: n, memoryMb: 1, tags: [], movable: true })),
  }));

/** Zones, tags, sizes, processes of several instances, and some that may not move. */
const anyKind: fc.Arbitrary<Layout> = fc
  .record({
    cells: fc.array(
      fc.record({ zone: fc.constantFrom('z1', 'z2', 'z3'), tag: fc.nat(3), size: fc.constantFrom(300, 900) }),
      {
        minLength: 2,
        maxLength: 8,
      },
    ),
    instances: fc.array(
      fc.record({ cell: fc.nat(99), process: fc.nat(9), memoryMb: fc.integer({ min: 1, max: 12 }), fixed: fc.nat(4) }),
      { maxLength: 25 },
    ),
  })
  .map(({ cells, instances }) => {
    const tagged = cells.map(({ zone, tag, size }) => ({ zone, size, tags: tag === 0 ? ['ssd'] : [] }));
    return {
      cells: tagged,
      instances: instances.map(({ cell, process, memoryMb, fixed }) => {
        const place = cell % cells.length;
        return { cell: place, process, memoryMb, tags: tagged[place]?.tags ?? [], movable: fixed > 0 };
      }),
    };
  });

describe('the plan', () => {
  it('of like cells and like instances makes them even, with as few moves as can do', () => {
    fc.assert(
      fc.property(evenKind, (layout) => {
        const { bids, movable, all } = snapshotOf(layout);
        const places = new Map(all.map(({ instance }) => [instance.instanceGuid, instance.cellId]));
        const before = countPerCell(layout.cells.length, places);
        const moves = planRebalance({ bids, movable });
        const after = countPerCell(layout.cells.length, placesAfter(all, moves));
        expect(differenceOf(after)).toBeLessThanOrEqual(1);
        if (differenceOf(before) <= 1) expect(moves).toEqual([]);
        else expect(differenceOf(after)).toBeLessThan(differenceOf(before));
        // Nothing goes to a cell that gives something away, or the other way round.
        const given = before.reduce((sum, count, n) => sum + Math.max(0, count - (after[n] as number)), 0);
        expect(moves).toHaveLength(given);
      }),
      { numRuns: 300 },
    );
  });

  it('never makes anything worse, and keeps to every rule of placement', () => {
    fc.assert(
      fc.property(anyKind, (layout) => {
        const { bids, movable, all } = snapshotOf(layout);
        const moves = planRebalance({ bids, movable });
        const places = placesAfter(all, moves);
        const loads = (at: Map<string, string>) =>
          layout.cells.map(({ size }, n) => {
            const here = all.filter(({ instance }) => at.get(instance.instanceGuid) === cellId(n));
            const used = here.reduce((sum, { instance }) => sum + instance.requirements.memoryMb, 0);
            expect(used).toBeLessThanOrEqual(size);
            return (2 * used + here.length) / size / 3;
          });
        const start = new Map(all.map(({ instance }) => [instance.instanceGuid, instance.cellId]));
        expect(differenceOf(loads(places))).toBeLessThanOrEqual(differenceOf(loads(start)) + 1e-9);
        for (const { instance, to } of moves) {
          expect(movable).toContain(instance);
          const target = bids.find((each) => each.cellId === to);
          expect(target && mismatch(offerOf(target), demandOf(instance.requirements))).toBeUndefined();
        }
        const zoneOf = (id: string) => bids.find((each) => each.cellId === id)?.zone ?? '';
        for (const guid of new Set(all.map(({ instance }) => instance.processGuid))) {
          for (const placeOf of [zoneOf, (id: string) => id]) {
            expect(mostTogether(places, guid, placeOf)).toBeLessThanOrEqual(mostTogether(start, guid, placeOf));
          }
        }

        /** Most instances of the process in one zone, or on one cell. */
        function mostTogether(at: Map<string, string>, guid: string, placeOf: (cellId: string) => string): number {
          const counts = new Map<string, number>();
          for (const { instance } of all) {
            if (instance.processGuid !== guid) continue;
            const place = placeOf(at.get(instance.instanceGuid) as string);
            counts.set(place, (counts.get(place) ?? 0) + 1);
          }
          return Math.max(...counts.values());
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe('cells that joined', () => {
  const joined = (maxMoves?: number) => {
    const cells = [0, 1, 2, 3].map((n) => ({ zone: `z${n % 2}`, tags: [], size: 100 }));
    const instances = Array.from({ length: 40 }, (_, n) => {
      return { cell: n % 2, process: n, memoryMb: 1, tags: [], movable: true };
    });
    const { bids, movable, all } = snapshotOf({ cells, instances });
    return countPerCell(4, placesAfter(all, planRebalance({ bids, movable }, maxMoves)));
  };

  it('get their part', () => {
    expect(joined()).toEqual([10, 10, 10, 10]);
  });

  it('get no more than may move', () => {
    expect(joined(4)).toEqual([18, 18, 2, 2]);
  });

  it('get nothing while they take no work', () => {
    const { bids, movable } = snapshotOf({
      cells: [0, 1].map(() => ({ zone: 'z1', tags: [], size: 100 })),
      instances: Array.from({ length: 10 }, (_, n) => ({ cell: 0, process: n, memoryMb: 1, tags: [], movable: true })),
    });
    const closed = bids.map((each, n) => ({ ...each, evacuating: n === 1 }));
    expect(planRebalance({ bids: closed, movable })).toEqual([]);
  });
});
