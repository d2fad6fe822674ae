import type { CellBid } from '@rivera/gen/rivera/auction/v1/bid_service';
import type { WorkRequirements } from '@rivera/gen/rivera/bbs/v1/placement';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Failure } from './failure.js';
import { Ledger } from './ledger.js';
import { lrp, bid as sample } from './testing/samples.js';

const big = { memoryMb: 50, diskMb: 50 };
const free = (memoryMb: number, diskMb: number, containers = 10) => ({ available: { memoryMb, diskMb, containers } });

function explain(
  bids: CellBid[],
  needs: Partial<WorkRequirements> = {},
  refusals: { cellId: string; reason: string }[] = [],
): Failure {
  const ledger = new Ledger({ binPackFirstFitWeight: 0, startingContainerWeight: 0 });
  for (const bid of bids) ledger.put(bid);
  return ledger.explain({ ...lrp('p', 0, needs), refusals });
}

describe('the text of a failure', () => {
  it.each([
    ['nobody is there', [], {}, 'unable to communicate to compatible cells'],
    [
      'nobody has the root filesystem',
      [sample('a')],
      { rootFs: 'docker:x' },
      'found no compatible cell for required rootfs',
    ],
    [
      'nobody has the drivers',
      [sample('a')],
      { volumeDrivers: ['d'] },
      'found no compatible cell with required volume drivers',
    ],
    ['no tags wanted', [sample('a', { placementTags: ['t'] })], {}, 'found no compatible cell with no placement tags'],
    ['one tag', [sample('a')], { placementTags: ['a'] }, 'found no compatible cell with placement tag "a"'],
    [
      'three tags, in their order',
      [sample('a')],
      { placementTags: ['c', 'a', 'b'] },
      'found no compatible cell with placement tags "c", "a" and "b"',
    ],
    [
      'all lack memory, one disk too',
      [sample('a', free(1, 1)), sample('b', free(1, 99))],
      big,
      'insufficient resources: memory',
    ],
    ['each lacks another thing', [sample('a', free(1, 99)), sample('b', free(99, 1))], big, 'insufficient resources'],
    ['all lack both', [sample('a', free(1, 1)), sample('b', free(1, 1))], big, 'insufficient resources: disk, memory'],
    ['no container left', [sample('a', free(99, 99, 0))], big, 'insufficient resources: containers'],
    ['all lack everything', [sample('a', free(0, 0, 0))], big, 'insufficient resources: containers, disk, memory'],
  ])('when %s', (_, bids, needs, text) => {
    expect(explain(bids, needs).reason).toBe(text);
  });

  it('names the filter that the furthest cell failed, in whatever order and zones cells come', () => {
    const cells = [
      sample('a', { rootFsProviders: [] }),
      sample('b', { volumeDrivers: [], zone: 'z2' }),
      sample('c', { volumeDrivers: ['d'], zone: 'z3' }),
    ];
    const wanted = { volumeDrivers: ['d'], placementTags: ['t'] };
    fc.assert(
      fc.property(fc.shuffledSubarray(cells, { minLength: 3 }), (order) => {
        expect(explain(order, wanted).reason).toBe('found no compatible cell with placement tag "t"');
        expect(explain(order, wanted)).toEqual(explain(cells, wanted));
      }),
    );
    expect(explain(cells.slice(0, 2), wanted).reason).toBe('found no compatible cell with required volume drivers');
  });

  it('blames no resource on a cell that refused, whatever the others lack', () => {
    const refusals = [{ cellId: 'a', reason: 'disk broken' }];
    expect(explain([sample('a'), sample('b', free(1, 99))], big, refusals).reason).toBe('insufficient resources');
  });

  it('is that of unreachable cells when every cell that may take it is avoided', () => {
    const ledger = new Ledger({ binPackFirstFitWeight: 0, startingContainerWeight: 0 });
    ledger.put(sample('a'));
    ledger.put(sample('b', { rootFsProviders: [] }));
    ledger.avoid('a', 1000);
    expect(ledger.explain(lrp('p')).reason).toBe('unable to communicate to compatible cells');
  });
});

describe('the obstacles of a failure', () => {
  it('group all cells, in the order of the tests, with the lowest ids as examples', () => {
    const bids = [
      ...['n3', 'n1', 'n4', 'n2'].map((id) => sample(id, { rootFsProviders: [] })),
      sample('driverless'),
      sample('tagged', { volumeDrivers: ['d'], placementTags: ['t'] }),
      sample('small', { volumeDrivers: ['d'], ...free(1, 1) }),
      sample('leaving', { evacuating: true }),
      sample('refuser', { volumeDrivers: ['d'] }),
    ];
    const { reason, obstacles } = explain(bids, { ...big, volumeDrivers: ['d'] }, [
      { cellId: 'refuser', reason: 'disk broken' },
    ]);
    expect(reason).toBe('insufficient resources');
    expect(obstacles.map(({ kind, cells, exampleCellIds }) => [kind, cells, exampleCellIds])).toEqual([
      ['ROOT_FS', 4, ['n1', 'n2', 'n3']],
      ['VOLUME_DRIVERS', 1, ['driverless']],
      ['PLACEMENT_TAGS', 1, ['tagged']],
      ['MEMORY', 1, ['small']],
      ['DISK', 1, ['small']],
      ['EVACUATING', 1, ['leaving']],
      ['REFUSED', 1, ['refuser']],
    ]);
    expect(obstacles.at(-1)?.description).toBe('refused it: disk broken');
    expect(obstacles.every((obstacle) => obstacle.description !== '')).toBe(true);
  });
});
