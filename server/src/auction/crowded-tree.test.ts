import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Best, CellTree, type TreeCell, type TreeQuery } from './cell-tree.js';
import { CrowdedTrees } from './crowded-tree.js';

interface Cell extends TreeCell {
  lrpBase: number;
  freeMemoryMb: number;
  closed: boolean;
}

const INVERSE = { memory: 0, disk: 0, containers: 0 };
const CELLS = 150;

/** Many cells, nearly all of which hold instances of two processes, and a way to find the best that can't be wrong. */
class Crowd {
  readonly tree = new CellTree<Cell>();
  readonly crowded = new CrowdedTrees(this.tree);
  readonly cells: Cell[] = [];
  readonly instances = { p: new Map<Cell, number>(), q: new Map<Cell, number>() };
  private readonly added: { cell: Cell }[] = [];

  constructor(bases: number[]) {
    for (const base of bases) this.join(base);
    // The lowest are crowded, so that a search without locality meets them first.
    for (const cell of this.cells) if (cell.lrpBase < 0.9) this.change('p', cell, 1);
    for (const cell of this.cells) if (cell.lrpBase < 0.7) this.change('q', cell, 2);
  }

  join(lrpBase: number): void {
    const id = `c${String(this.added.length).padStart(4, '0')}`;
    const cell: Cell = {
      id,
      position: -1,
      closed: false,
      lrpBase,
      taskBase: 0,
      freeMemoryMb: 100,
      freeDiskMb: 100,
      freeContainers: 100,
      inverse: INVERSE,
    };
    this.added.push({ cell });
    this.cells.push(cell);
    this.tree.add(cell);
  }

  leave(n: number): void {
    const cell = this.cells.splice(n % this.cells.length, 1)[0] as Cell;
    this.tree.remove(cell);
  }

  change(process: 'p' | 'q', cell: Cell, by: number): void {
    this.instances[process].set(cell, Math.max(0, (this.instances[process].get(cell) ?? 0) + by));
    this.tree.touch(cell);
  }

  check(process: 'p' | 'q'): void {
    const on = (cell: Cell) => this.instances[process].get(cell) ?? 0;
    const query: TreeQuery<Cell> = { memoryMb: 10, diskMb: 10, kind: 'lrp', excluded: [], locality: { on } };
    const best: Best<Cell> = { cell: undefined, score: Number.POSITIVE_INFINITY };
    this.crowded.search(process, { on }, query, best);
    const scores = this.cells
      .filter((cell) => !cell.closed && cell.freeMemoryMb >= 10)
      .map((cell) => ({ id: cell.id, score: cell.lrpBase + 1000 * on(cell) }))
      .sort((a, b) => a.score - b.score || (a.id < b.id ? -1 : 1));
    expect({ id: best.cell?.id, score: best.score }).toEqual(scores[0] ?? { id: undefined, score: best.score });
  }
}

const change = fc.record({
  act: fc.constantFrom('load', 'load', 'add', 'add', 'remove', 'fill', 'close', 'join', 'leave', 'much'),
  cell: fc.nat(10_000),
  process: fc.constantFrom<'p' | 'q'>('p', 'q'),
  base: fc.integer({ min: 0, max: 100 }).map((n) => n / 100),
  look: fc.boolean(),
});

describe('the search for a process that crowds the cells', () => {
  it('finds the best cell, locality included, whatever changed since it looked last', () => {
    const bases = fc.array(
      fc.integer({ min: 0, max: 100 }).map((n) => n / 100),
      { minLength: CELLS, maxLength: CELLS },
    );
    fc.assert(
      fc.property(bases, fc.array(change, { maxLength: 25 }), (initial, changes) => {
        const crowd = new Crowd(initial);
        crowd.check('p');
        crowd.check('q');
        for (const { act, cell: n, process, base, look } of changes) {
          const cell = crowd.cells[n % crowd.cells.length] as Cell;
          if (act === 'join') crowd.join(base);
          else if (act === 'leave') crowd.leave(n);
          else if (act === 'add') crowd.change(process, cell, 1);
          else if (act === 'remove') crowd.change(process, cell, -1);
          else if (act === 'much') for (let i = 0; i < 1100; i++) crowd.change(process, cell, i % 2 === 0 ? 1 : -1);
          else {
            if (act === 'load') cell.lrpBase = base;
            if (act === 'fill') cell.freeMemoryMb = base < 0.5 ? 5 : 100;
            if (act === 'close') cell.closed = base < 0.5;
            crowd.tree.touch(cell);
          }
          if (look) crowd.check(process);
        }
        crowd.check('p');
        crowd.check('q');
      }),
      { numRuns: 60 },
    );
  });

  it('makes everything anew when more changed than is written down, however large the tree', () => {
    const crowd = new Crowd(Array.from({ length: 20_000 }, (_, n) => (n % 89) / 100));
    crowd.check('p');
    // This change is forgotten by the time of the next look, and the cell is too busy to be met early.
    crowd.change('p', crowd.cells[88] as Cell, -1);
    for (const cell of crowd.cells.slice(100, 1_200)) crowd.change('p', cell, 1);
    crowd.check('p');
  });
});
