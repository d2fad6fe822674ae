import { BidDelta, type CellBid, type HeldWork } from '@rivera/gen/rivera/auction/v1/bid_service';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Ledger } from './ledger.js';
import type { LedgerCell } from './ledger-cell.js';
import { decide } from './placement.js';
import { PlainAuction } from './testing/reference-auction.js';
import { bid, heldLrp, heldTask, lrp, task } from './testing/samples.js';
import type { PlaceableWork } from './work.js';

const SETTINGS = { binPackFirstFitWeight: 0.1, startingContainerWeight: 0.25, startingContainerCountMaximum: 0 };
const SIZE = 3;

/** A cell as it really is, with work that was handed to it and that it hasn't looked at. */
interface RealCell {
  id: string;
  zone: string;
  index: number;
  sequence: number;
  evacuating: boolean;
  held: HeldWork[];
  /** Since the last message. */
  added: HeldWork[];
  removed: HeldWork[];
  waiting: { workId: string; work: PlaceableWork }[];
}

const step = fc.record({
  act: fc.constantFrom(
    'place',
    'place',
    'place',
    'take',
    'take',
    'refuse',
    'tell',
    'tell',
    'drop',
    'evacuate',
    'restate',
    'vanish',
    'join',
  ),
  cell: fc.nat(5),
  guid: fc.constantFrom('p', 'q'),
  task: fc.boolean(),
});

/** What the auctioneer should believe: what the cell told last, and all that was handed out since. */
class Model {
  readonly ledger = new Ledger(SETTINGS);
  private readonly cells: RealCell[] = [0, 1, 2, 3, 4, 5].map((n) => ({
    id: `c${n}`,
    zone: `z${n % 2}`,
    index: (n * 7) % 5,
    sequence: -1,
    evacuating: false,
    held: [],
    added: [],
    removed: [],
    waiting: [],
  }));
  private works = 0;

  run({ act, cell: n, guid, task: isTask }: typeof step extends fc.Arbitrary<infer T> ? T : never): void {
    const cell = this.cells[n] as RealCell;
    const connected = cell.sequence >= 0;
    if (act === 'place') this.place(isTask ? task(`t${this.works}`, SIZES) : lrp(guid, this.works, SIZES));
    else if (act === 'join' && !connected) this.tellAll(cell);
    else if (!connected) return;
    else if (act === 'take' || act === 'refuse') this.answer(cell, act === 'take');
    else if (act === 'tell') this.tell(cell);
    else if (act === 'drop') cell.removed.push(...cell.held.splice(0, 1).filter((held) => !takeFrom(cell.added, held)));
    else if (act === 'evacuate') cell.evacuating = !cell.evacuating;
    else if (act === 'restate') this.tellAll(cell);
    else if (act === 'vanish') {
      this.ledger.remove(cell.id);
      Object.assign(cell, { sequence: -1, added: [], removed: [], waiting: [] });
    }
  }

  private place(work: PlaceableWork): void {
    const decision = decide<LedgerCell>(this.ledger, work, SETTINGS);
    if (decision.kind === 'failed') return;
    const workId = `w${this.works++}`;
    this.ledger.reserve(decision.cell, work, workId, 0);
    this.cells.find((cell) => cell.id === decision.cell.id)?.waiting.push({ workId, work });
  }

  /** As a real cell does: what it takes is told before the answer. */
  private answer(cell: RealCell, yes: boolean): void {
    const item = cell.waiting.shift();
    if (item === undefined) return;
    if (yes) {
      const held =
        item.work.subject.kind === 'task'
          ? heldTask(item.work.subject.taskGuid)
          : heldLrp(item.work.subject.processGuid, item.work.subject.index);
      cell.held.push({ ...held, workId: item.workId });
      cell.added.push({ ...held, workId: item.workId });
      this.tell(cell);
      this.ledger.accept(cell.id, item.workId);
    } else {
      this.ledger.withdraw(cell.id, item.workId);
    }
  }

  private tell(cell: RealCell): void {
    const { evacuating, added, removed } = cell;
    const { available, startingContainers } = stateOf(cell);
    cell.sequence++;
    this.ledger.apply(
      cell.id,
      BidDelta.fromPartial({ sequence: cell.sequence, available, startingContainers, evacuating, added, removed }),
    );
    Object.assign(cell, { added: [], removed: [] });
  }

  private tellAll(cell: RealCell): void {
    cell.sequence = Math.max(0, cell.sequence);
    this.ledger.put(stateOf(cell));
    Object.assign(cell, { added: [], removed: [] });
  }

  /** Brings every cell's last word up to date, and compares what the ledger would do with the plain rules on the same facts. */
  check(): void {
    for (const cell of this.cells) if (cell.sequence >= 0) this.tell(cell);
    const believed = this.cells.filter((cell) => cell.sequence >= 0).map((cell) => stateOf(cell, cell.waiting));
    const plain = new PlainAuction(believed, SETTINGS);
    for (const kind of ['lrp', 'task'] as const) {
      const expected = plain.ask({ kind, processGuid: 'p', requirements: lrp('p', 0, SIZES).requirements });
      const decision = decide<LedgerCell>(
        this.ledger,
        kind === 'lrp' ? lrp('p', 9999, SIZES) : task('probe', SIZES),
        SETTINGS,
      );
      const score = decision.kind === 'placed' ? decision.score : undefined;
      if (score === undefined || expected.score === undefined) expect(score).toBe(expected.score);
      else expect(score).toBeCloseTo(expected.score, 9);
    }
    const admitted = believed.filter((each) => !each.evacuating);
    expect(this.ledger.admittedCells).toBe(admitted.length);
    expect(this.ledger.startingContainers).toBe(admitted.reduce((sum, each) => sum + each.startingContainers, 0));
  }
}

const SIZES = { memoryMb: SIZE, diskMb: SIZE };

function stateOf(cell: RealCell, alsoTaken: { work: PlaceableWork }[] = []): CellBid {
  const count = cell.held.length + alsoTaken.length;
  const handed = alsoTaken.map(({ work }) =>
    work.subject.kind === 'task'
      ? heldTask(work.subject.taskGuid)
      : heldLrp(work.subject.processGuid, work.subject.index),
  );
  return bid(cell.id, {
    sequence: Math.max(0, cell.sequence),
    zone: cell.zone,
    cellIndex: cell.index,
    evacuating: cell.evacuating,
    total: { memoryMb: 30, diskMb: 40, containers: 8 },
    available: { memoryMb: 30 - SIZE * count, diskMb: 40 - SIZE * count, containers: 8 - count },
    startingContainers: count,
    held: [...cell.held, ...handed],
  });
}

function takeFrom(list: HeldWork[], item: HeldWork): boolean {
  const at = list.findIndex((each) => each.workId === item.workId);
  if (at >= 0) list.splice(at, 1);
  return at >= 0;
}

describe('the ledger, after any history of cells and work', () => {
  it('believes of every cell what it told last, and what it was handed since', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const model = new Model();
        for (const each of steps) model.run(each);
        model.check();
      }),
      { numRuns: 300 },
    );
  });
});
