import { BidDelta, type CellBid } from '@rivera/gen/rivera/auction/v1/bid_service';
import { describe, expect, it } from 'vitest';
import { Ledger } from './ledger.js';
import { type Decision, decide } from './placement.js';
import type { Amounts } from './score.js';
import { bid, heldLrp, heldTask, lrp, task } from './testing/samples.js';
import type { PlaceableWork } from './work.js';

const NO_WEIGHTS = { binPackFirstFitWeight: 0, startingContainerWeight: 0, startingContainerCountMaximum: 0 };

/** A cluster that places one piece of work after the other. */
class Cluster {
  readonly ledger: Ledger;
  private works = 0;

  constructor(
    bids: CellBid[],
    private readonly settings = NO_WEIGHTS,
  ) {
    this.ledger = new Ledger(settings);
    for (const each of bids) this.ledger.put(each);
  }

  ask(work: PlaceableWork): Decision<{ id: string }> {
    return decide(this.ledger, work, this.settings);
  }

  /** @returns the cell that got it, or the reason why none did */
  place(work: PlaceableWork): string {
    const decision = decide(this.ledger, work, this.settings);
    if (decision.kind === 'failed') return decision.failure.reason;
    this.ledger.reserve(decision.cell, work, `w${this.works++}`, 0);
    return decision.cell.id;
  }

  /** The cell shows what was placed last as running, and has so much left. */
  run(cellId: string, work: PlaceableWork, sequence: number, available: Amounts): void {
    const added = [{ ...heldLrp(work.key, 0), workId: `w${this.works - 1}` }];
    this.ledger.apply(cellId, BidDelta.fromPartial({ sequence, available, added }));
  }

  score(work: PlaceableWork): number {
    const decision = this.ask(work);
    return decision.kind === 'placed' ? decision.score : Number.NaN;
  }
}

describe('the score (spec auction §5.12)', () => {
  const cell = {
    total: { memoryMb: 1000, diskMb: 2000, containers: 10 },
    available: { memoryMb: 600, diskMb: 1000, containers: 6 },
  };
  const request = { memoryMb: 100, diskMb: 200 };
  const others = [2, 1, 0].map((index) =>
    bid(`below-${index}`, { cellIndex: index, total: { memoryMb: 1, diskMb: 1, containers: 1 } }),
  );
  const quarter = { ...NO_WEIGHTS, startingContainerWeight: 0.25 };
  const two = [heldLrp('p', 0), heldLrp('p', 1)];

  it.each([
    ['plain', {}, NO_WEIGHTS, {}, 8 / 15],
    ['two containers starting', { startingContainers: 2 }, quarter, {}, 0.5 + 8 / 15],
    ['two of the process as well', { startingContainers: 2, held: two }, quarter, {}, 2000.5 + 8 / 15],
    ['a proxy of 32 MB instead', { proxyMemoryMb: 32 }, NO_WEIGHTS, { proxied: true }, 0.544],
    ['a proxy that this work does not get', { proxyMemoryMb: 32 }, NO_WEIGHTS, {}, 8 / 15],
  ])('%s', (_, changes, settings, needs, expected) => {
    const cluster = new Cluster([bid('c', { ...cell, ...changes })], settings);
    expect(cluster.score(lrp('p', 2, { ...request, ...needs }))).toBeCloseTo(expected, 9);
  });

  it('dense index 3 at weight 0.5', () => {
    const settings = { ...quarter, binPackFirstFitWeight: 0.5 };
    const cluster = new Cluster(
      [bid('c', { ...cell, cellIndex: 9, startingContainers: 2, held: two }), ...others],
      settings,
    );
    expect(cluster.score(lrp('p', 2, request))).toBeCloseTo(2002 + 8 / 15, 9);
  });

  it('of a first and a second container on an idle cell, and of the first on a half-full one', () => {
    const idle = new Cluster([bid('idle')], { ...NO_WEIGHTS, startingContainerWeight: 0.25 });
    expect(idle.score(lrp('p'))).toBeCloseTo(0.01, 9);
    idle.place(lrp('p'));
    expect(idle.score(lrp('q'))).toBeCloseTo(0.27, 9);
    const half = new Cluster([bid('half', { available: { memoryMb: 50, diskMb: 50, containers: 50 } })]);
    expect(half.score(lrp('p'))).toBeCloseTo(0.51, 9);
  });

  it('ignores starting containers at weight 0 and the index at bin-pack weight 0', () => {
    const cluster = new Cluster([
      bid('a', { startingContainers: 50, cellIndex: 9 }),
      bid('b', { available: { memoryMb: 99, diskMb: 100, containers: 100 } }),
    ]);
    expect(cluster.place(lrp('p'))).toBe('a');
  });

  it.each([
    [0, 2],
    [0.25, 22],
  ])('at weight %d gives no. %d of a row to the cell of 80 on which one container is starting', (weight, number) => {
    const total = { memoryMb: 80, diskMb: 80, containers: 80 };
    const settings = { ...NO_WEIGHTS, startingContainerWeight: weight };
    const cluster = new Cluster([bid('quick', { total }), bid('slow', { total, startingContainers: 1 })], settings);
    const cells = Array.from({ length: number }, (_, placed) => {
      const work = lrp(`p${placed}`);
      const cell = cluster.place(work);
      const left = 79 - placed;
      if (cell === 'quick') cluster.run(cell, work, placed + 2, { memoryMb: left, diskMb: left, containers: left });
      return cell;
    });
    expect(cells).toEqual([...Array(number - 1).fill('quick'), 'slow']);
  });

  it('goes to the lowest id among equals', () => {
    expect(new Cluster([bid('b'), bid('a'), bid('c')]).place(lrp('p'))).toBe('a');
    expect(
      new Cluster([bid('b', { zone: 'z1' }), bid('a', { zone: 'z2' }), bid('c', { zone: 'z3' })]).place(lrp('p')),
    ).toBe('a');
  });
});

describe('zones', () => {
  const five = Array.from({ length: 5 }, (_, index) => heldLrp('p', index));
  const full = { memoryMb: 2, diskMb: 2, containers: 2 };

  it('with fewer instances of the process come first, even when their cells are fuller', () => {
    const cluster = new Cluster([bid('a', { held: five }), bid('b', { zone: 'z2', available: full })]);
    expect(cluster.place(lrp('p', 5))).toBe('b');
  });

  it('come next when the emptier ones have no room', () => {
    const none = { memoryMb: 0, diskMb: 0, containers: 0 };
    const cluster = new Cluster([bid('a', { held: five }), bid('b', { zone: 'z2', available: none })]);
    expect(cluster.place(lrp('p', 5))).toBe('a');
  });

  it('with equal counts are one pool', () => {
    const cluster = new Cluster([
      bid('a', { available: full }),
      bid('b', { zone: 'z2' }),
      bid('c', { zone: 'z3', available: full }),
    ]);
    expect(cluster.place(lrp('p'))).toBe('b');
  });

  it('count instances on cells that may not take the work', () => {
    const tagged = bid('a-tagged', { placementTags: ['t'], held: five });
    const cluster = new Cluster([tagged, bid('a'), bid('b', { zone: 'z2', available: full })]);
    expect(cluster.place(lrp('p', 5))).toBe('b');
  });

  it('do not count instances on cells that evacuate', () => {
    const leaving = bid('a-leaving', { evacuating: true, held: five });
    const cluster = new Cluster([leaving, bid('a'), bid('b', { zone: 'z2', available: full })]);
    expect(cluster.place(lrp('p', 5))).toBe('a');
  });
});

describe('locality', () => {
  it('outweighs load within a zone', () => {
    const cluster = new Cluster([
      bid('a', { held: [heldLrp('p', 0)] }),
      bid('b', { available: { memoryMb: 5, diskMb: 5, containers: 5 } }),
    ]);
    expect(cluster.place(lrp('p', 1))).toBe('b');
  });
});

describe('tasks', () => {
  it('prefer the cell with fewer tasks over the one with more room', () => {
    const cluster = new Cluster([
      bid('a', { held: [heldTask('t')] }),
      bid('b', { available: { memoryMb: 5, diskMb: 5, containers: 5 } }),
    ]);
    expect(cluster.place(task('u'))).toBe('b');
  });

  it('ignore zones and the bin-pack index, and need no proxy', () => {
    const emptier = bid('b', { zone: 'z2', cellIndex: 9, proxyMemoryMb: 99 });
    const cluster = new Cluster(
      [bid('a', { available: { memoryMb: 50, diskMb: 50, containers: 50 } }), bid('a2', { zone: 'z2' }), emptier],
      {
        ...NO_WEIGHTS,
        binPackFirstFitWeight: 1,
      },
    );
    expect(cluster.place(task('t', { proxied: true }))).toBe('a2');
    expect(cluster.place(task('u', { proxied: true }))).toBe('b');
  });
});

describe('fit', () => {
  const roomy = { memoryMb: 1000, diskMb: 1000, containers: 10 };

  it('counts the memory of a proxy, and charges it', () => {
    const of = (memoryMb: number) =>
      new Cluster([
        bid('c', { total: roomy, available: { memoryMb, diskMb: 1000, containers: 10 }, proxyMemoryMb: 32 }),
      ]);
    const proxied = lrp('p', 0, { memoryMb: 100, proxied: true });
    expect(of(131).place(proxied)).toBe('insufficient resources: memory');
    expect(of(132).place(proxied)).toBe('c');
    const twice = of(263);
    twice.place(proxied);
    expect(twice.place(lrp('p', 1, { memoryMb: 100, proxied: true }))).toBe('insufficient resources: memory');
  });

  it('takes what is placed off at once', () => {
    const cluster = new Cluster([bid('a', { available: { memoryMb: 10, diskMb: 100, containers: 100 } })]);
    expect(cluster.place(lrp('p', 0, { memoryMb: 6 }))).toBe('a');
    expect(cluster.place(lrp('q', 0, { memoryMb: 6 }))).toBe('insufficient resources: memory');
  });

  it('does not trust a cell that has more free than it has', () => {
    const cluster = new Cluster([bid('a', { available: { memoryMb: 1_000_000, diskMb: 100, containers: 100 } })]);
    expect(cluster.place(lrp('p', 0, { memoryMb: 101 }))).toBe('insufficient resources: memory');
  });
});

describe('bin packing', () => {
  it('numbers the cells of a zone anew as cells come and go', () => {
    const settings = { ...NO_WEIGHTS, binPackFirstFitWeight: 1 };
    const cluster = new Cluster(
      [bid('a', { cellIndex: 9 }), bid('b', { cellIndex: 7 }), bid('c', { cellIndex: 3 })],
      settings,
    );
    cluster.place(lrp('p'));
    expect(cluster.ledger.list().map((cell) => cell.index)).toEqual([2, 1, 0]);
    cluster.ledger.remove('c');
    expect(cluster.place(lrp('q'))).toBe('b');
    expect(cluster.ledger.list().map((cell) => cell.index)).toEqual([1, 0]);
  });
});

describe('the limit of starting containers', () => {
  const text = 'waiting to start instance: reached in-flight start limit';
  const results = (startingContainerCountMaximum: number) => {
    const cluster = new Cluster(
      [bid('a', { startingContainers: 2 }), bid('b', { evacuating: true, startingContainers: 50 })],
      {
        ...NO_WEIGHTS,
        startingContainerCountMaximum,
      },
    );
    return Array.from({ length: 5 }, (_, index) => cluster.place(lrp('p', index)));
  };

  it('of 5 leaves room for 3 beside 2 that are starting; evacuating cells do not count', () => {
    expect(results(5)).toEqual(['a', 'a', 'a', text, text]);
  });

  it.each([0, -1])('of %i is none', (maximum) => {
    expect(results(maximum)).toEqual(['a', 'a', 'a', 'a', 'a']);
  });
});

describe('cells that take no part', () => {
  it('are those that evacuate, even when nobody else is there', () => {
    expect(new Cluster([bid('a', { evacuating: true })]).place(lrp('p'))).toBe(
      'unable to communicate to compatible cells',
    );
  });

  it('are those that refused this work', () => {
    const cluster = new Cluster([bid('a'), bid('b')]);
    const refused = { ...lrp('p'), refusals: [{ cellId: 'a', reason: 'no' }] };
    expect(cluster.place(refused)).toBe('b');
    expect(cluster.place(lrp('q'))).toBe('a');
  });

  it('are those that are avoided, until that is over', () => {
    const cluster = new Cluster([bid('a'), bid('b')]);
    cluster.ledger.avoid('a', 100);
    expect(cluster.place(lrp('p'))).toBe('b');
    cluster.ledger.expire(99);
    expect(cluster.place(lrp('q'))).toBe('b');
    cluster.ledger.expire(100);
    expect(cluster.place(lrp('r'))).toBe('a');
  });
});
