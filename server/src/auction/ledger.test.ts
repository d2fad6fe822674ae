import { BidDelta } from '@rivera/gen/rivera/auction/v1/bid_service';
import { describe, expect, it } from 'vitest';
import { Ledger } from './ledger.js';
import type { LedgerCell } from './ledger-cell.js';
import { bid, heldLrp, heldTask, lrp, task } from './testing/samples.js';
import type { PlaceableWork } from './work.js';

const WEIGHTS = { binPackFirstFitWeight: 0, startingContainerWeight: 0.25 };

function ledgerWith(...bids: ReturnType<typeof bid>[]): Ledger {
  const ledger = new Ledger(WEIGHTS);
  for (const each of bids) ledger.put(each);
  return ledger;
}

function cellOf(ledger: Ledger, id = 'a'): LedgerCell {
  const cell = ledger.cell(id);
  if (cell === undefined) throw new Error(`no cell ${id}`);
  return cell;
}

const hand = (ledger: Ledger, work: PlaceableWork, workId = 'w1') => ledger.reserve(cellOf(ledger), work, workId, 0);
const delta = (sequence: number, changes: Partial<BidDelta> = {}) =>
  BidDelta.fromPartial({ sequence, available: { memoryMb: 90, diskMb: 90, containers: 99 }, ...changes });
const free = (ledger: Ledger) => [
  cellOf(ledger).free.memoryMb,
  cellOf(ledger).free.diskMb,
  cellOf(ledger).free.containers,
];

describe('deltas', () => {
  it('count from the sequence of the full state', () => {
    const ledger = ledgerWith(bid('a', { sequence: 7 }));
    expect(ledger.apply('a', delta(8)).gap).toBe(false);
    expect(free(ledger)).toEqual([90, 90, 99]);
    expect(ledger.apply('a', delta(9, { startingContainers: 3 })).gap).toBe(false);
    expect(ledger.startingContainers).toBe(3);
  });

  it('that are missing are noticed once; what follows counts for nothing until the full state comes', () => {
    const ledger = ledgerWith(bid('a', { sequence: 1 }));
    expect(ledger.apply('a', delta(3)).gap).toBe(true);
    expect(ledger.apply('a', delta(4)).gap).toBe(false);
    expect(free(ledger)).toEqual([100, 100, 100]);
    ledger.put(bid('a', { sequence: 5, available: { memoryMb: 50, diskMb: 50, containers: 50 } }));
    expect(free(ledger)).toEqual([50, 50, 50]);
    expect(ledger.apply('a', delta(6)).gap).toBe(false);
    expect(free(ledger)).toEqual([90, 90, 99]);
  });

  it('that were seen before change nothing', () => {
    const ledger = ledgerWith(bid('a', { sequence: 5 }));
    expect(ledger.apply('a', delta(5, { added: [heldTask('t')] }))).toMatchObject({ gap: false, appeared: [] });
    expect(free(ledger)).toEqual([100, 100, 100]);
  });

  it('tell what appeared and what is gone', () => {
    const ledger = ledgerWith(bid('a', { held: [heldTask('old')] }));
    const change = ledger.apply(
      'a',
      delta(2, { added: [heldLrp('p', 0)], removed: [heldTask('old'), heldTask('never')] }),
    );
    expect(change).toMatchObject({ appeared: ['l/p/0'], gone: ['t/old'] });
    expect(ledger.process('p')?.on(cellOf(ledger))).toBe(1);
  });

  it('of a cell that is not there change nothing', () => {
    expect(ledgerWith().apply('x', delta(2)).gap).toBe(false);
  });
});

describe('work that is handed out', () => {
  it('is taken off what the cell has, and counts as starting and as an instance', () => {
    const ledger = ledgerWith(bid('a', { proxyMemoryMb: 5 }));
    hand(ledger, lrp('p', 0, { memoryMb: 10, diskMb: 20, proxied: true }));
    expect(free(ledger)).toEqual([85, 80, 99]);
    expect(ledger.startingContainers).toBe(1);
    expect(ledger.process('p')?.inZone('z1')).toBe(1);
  });

  it('is no longer taken off once the cell shows it, and is done with once the cell has also said yes', () => {
    const ledger = ledgerWith(bid('a'));
    const assignment = hand(ledger, lrp('p', 0, { memoryMb: 10, diskMb: 10 }));
    const change = ledger.apply(
      'a',
      delta(2, { startingContainers: 1, added: [{ ...heldLrp('p', 0), workId: 'w1' }] }),
    );
    expect(change.confirmed).toEqual([assignment]);
    expect(change.appeared).toEqual([]);
    expect(free(ledger)).toEqual([90, 90, 99]);
    expect(ledger.startingContainers).toBe(1);
    expect(ledger.process('p')?.inZone('z1')).toBe(1);
    expect(cellOf(ledger).assignments.size).toBe(1);
    expect(ledger.accept('a', 'w1')).toBe(assignment);
    expect(cellOf(ledger).assignments.size).toBe(0);
  });

  it('stays taken off while the cell has said yes and does not show it yet', () => {
    const ledger = ledgerWith(bid('a'));
    hand(ledger, task('t', { memoryMb: 10 }));
    ledger.accept('a', 'w1');
    expect(free(ledger)[0]).toBe(90);
    ledger.apply('a', delta(2, { available: { memoryMb: 95, diskMb: 100, containers: 100 } }));
    expect(free(ledger)[0]).toBe(85);
    ledger.apply(
      'a',
      delta(3, {
        available: { memoryMb: 90, diskMb: 99, containers: 99 },
        added: [{ ...heldTask('t'), workId: 'w1' }],
      }),
    );
    expect(free(ledger)[0]).toBe(90);
    expect(cellOf(ledger).assignments.size).toBe(0);
  });

  it('is recognised by what it is when the cell does not name the assignment', () => {
    const ledger = ledgerWith(bid('a'));
    hand(ledger, lrp('p', 3, { memoryMb: 10 }));
    expect(ledger.apply('a', delta(2, { added: [heldLrp('p', 3)] })).confirmed).toHaveLength(1);
    expect(free(ledger)[0]).toBe(90);
  });

  it('that came and went between two deltas is over', () => {
    const ledger = ledgerWith(bid('a'));
    hand(ledger, task('t', { memoryMb: 10 }));
    ledger.accept('a', 'w1');
    ledger.apply(
      'a',
      delta(2, {
        available: { memoryMb: 100, diskMb: 100, containers: 100 },
        removed: [{ ...heldTask('t'), workId: 'w1' }],
      }),
    );
    expect(free(ledger)).toEqual([100, 100, 100]);
    expect(cellOf(ledger).assignments.size).toBe(0);
  });

  it('comes back when it is refused', () => {
    const ledger = ledgerWith(bid('a'));
    const assignment = hand(ledger, lrp('p', 0, { memoryMb: 10 }));
    expect(ledger.withdraw('a', 'w1')).toBe(assignment);
    expect(free(ledger)).toEqual([100, 100, 100]);
    expect(ledger.startingContainers).toBe(0);
    expect(ledger.process('p')).toBeUndefined();
    expect(ledger.withdraw('a', 'w1')).toBeUndefined();
  });

  it('comes back when the cell goes, unless it was accepted', () => {
    const ledger = ledgerWith(bid('a'));
    const open = hand(ledger, lrp('p', 0), 'w1');
    hand(ledger, lrp('p', 1), 'w2');
    ledger.accept('a', 'w2');
    expect(ledger.remove('a')).toEqual([open]);
    expect([ledger.size, ledger.admittedCells, ledger.startingContainers]).toEqual([0, 0, 0]);
    expect(ledger.process('p')).toBeUndefined();
  });
});

describe('a full state on a stream that is open', () => {
  it('keeps charged what may still be on its way, and drops what was accepted and is over', () => {
    const ledger = ledgerWith(bid('a'));
    hand(ledger, task('on-its-way', { memoryMb: 10 }), 'w1');
    hand(ledger, task('over', { memoryMb: 10 }), 'w2');
    hand(ledger, task('there', { memoryMb: 10 }), 'w3');
    ledger.accept('a', 'w2');
    const change = ledger.put(
      bid('a', { sequence: 9, held: [{ ...heldTask('there'), workId: 'w3' }, heldTask('other')] }),
    );
    expect(change.confirmed.map((assignment) => assignment.workId)).toEqual(['w3']);
    expect(change.appeared).toEqual(['t/other']);
    expect([...cellOf(ledger).assignments.keys()]).toEqual(['w1', 'w3']);
    expect(free(ledger)[0]).toBe(90);
    expect(ledger.accept('a', 'w3')).toBeDefined();
    expect([...cellOf(ledger).assignments.keys()]).toEqual(['w1']);
  });

  it('can move the cell to another zone and to other constraints', () => {
    const ledger = ledgerWith(bid('a', { held: [heldLrp('p', 0)] }), bid('b'));
    ledger.put(bid('a', { zone: 'z2', held: [heldLrp('p', 0)], volumeDrivers: ['nfs'] }));
    expect([ledger.process('p')?.inZone('z1'), ledger.process('p')?.inZone('z2')]).toEqual([0, 1]);
    expect(ledger.match(lrp('x', 0, { volumeDrivers: ['nfs'] }).demand).zones.map((zone) => zone.name)).toEqual(['z2']);
    expect(ledger.admittedCells).toBe(2);
  });
});

describe('a cell that evacuates', () => {
  it('leaves with all its instances, which then may be placed again, and can come back', () => {
    const ledger = ledgerWith(bid('a', { startingContainers: 2, held: [heldLrp('p', 0)] }), bid('b'));
    expect(ledger.apply('a', delta(2, { evacuating: true, startingContainers: 2 })).gone).toEqual(['l/p/0']);
    expect([ledger.admittedCells, ledger.startingContainers, ledger.process('p')]).toEqual([1, 0, undefined]);
    ledger.apply('a', delta(3, { startingContainers: 1 }));
    expect([ledger.admittedCells, ledger.startingContainers, ledger.process('p')?.inZone('z1')]).toEqual([2, 1, 1]);
  });
});
