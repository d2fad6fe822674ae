import type { BaseScores, Best, CellTree, Locality, TreeCell, TreeQuery } from './cell-tree.js';
import { LOCALITY_WEIGHT } from './score.js';

/**
 * Base scores of one tree's cells as one process sees them: locality included. A process that sits on most cells would make a
 * plain search walk past all of them; this overlay knows better, at the price of memory, so only a few are kept per tree
 * ({@link CrowdedTrees}) and each is brought up to date when it is asked.
 */
class CrowdedTree<C extends TreeCell> implements BaseScores {
  values = new Float64Array(2);
  readonly stride = 1;
  readonly offset = 0;
  private shape = -1;
  private seen = 0;

  constructor(private readonly tree: CellTree<C>) {}

  /** Leaves that changed since it was up to date; Infinity when all did. */
  get behind(): number {
    const missed = this.tree.changeCount - this.seen;
    return this.shape !== this.tree.shape || missed > this.tree.changes.length ? Number.POSITIVE_INFINITY : missed;
  }

  bringUpToDate(locality: Locality<C>): void {
    const { tree } = this;
    const behind = this.behind;
    // Every change costs a walk to the root; from some point on it is cheaper to make everything anew.
    if (behind * Math.log2(tree.leaves + 1) > tree.leaves) this.rebuild(locality);
    else
      for (let n = this.seen; n < tree.changeCount; n++)
        this.update(tree.changes[n % tree.changes.length] as number, locality);
    this.seen = tree.changeCount;
    this.shape = tree.shape;
  }

  private rebuild(locality: Locality<C>): void {
    const { leaves, cells } = this.tree;
    if (this.values.length !== 2 * leaves) this.values = new Float64Array(2 * leaves);
    this.values.fill(Number.POSITIVE_INFINITY);
    for (let position = 0; position < cells.length; position++)
      this.values[leaves + position] = this.scoreAt(position, locality);
    for (let node = leaves - 1; node >= 1; node--) this.values[node] = this.lowerChild(node);
  }

  private update(position: number, locality: Locality<C>): void {
    let node = this.tree.leaves + position;
    this.values[node] = this.scoreAt(position, locality);
    for (node >>= 1; node >= 1; node >>= 1) {
      const value = this.lowerChild(node);
      if (this.values[node] === value) return;
      this.values[node] = value;
    }
  }

  private scoreAt(position: number, locality: Locality<C>): number {
    const cell = this.tree.cells[position] as C;
    return cell.closed ? Number.POSITIVE_INFINITY : cell.lrpBase + LOCALITY_WEIGHT * locality.on(cell);
  }

  private lowerChild(node: number): number {
    return Math.min(this.values[2 * node] as number, this.values[2 * node + 1] as number);
  }
}

/** Cells with instances of the process that a plain search may meet before an overlay takes over. */
const PATIENCE = 48;
/** Overlays per tree, the least recently used goes first. */
const OVERLAYS_KEPT = 32;
/** An overlay that missed no more changes than this is asked first. */
const CHEAP_CATCH_UP = 32;

/** A tree with the overlays of the processes that crowd it. */
export class CrowdedTrees<C extends TreeCell> {
  private readonly overlays = new Map<string, CrowdedTree<C>>();

  constructor(private readonly tree: CellTree<C>) {}

  /** Improves `best` with the best cell for an instance of the process, locality included. */
  search(processGuid: string, locality: Locality<C>, query: TreeQuery<C>, best: Best<C>): void {
    this.tree.refresh();
    const known = this.overlays.get(processGuid);
    if (known === undefined || known.behind > CHEAP_CATCH_UP) {
      const cell = best.cell;
      const score = best.score;
      if (this.tree.search(query, best, PATIENCE)) return;
      best.cell = cell;
      best.score = score;
    }
    this.tree.search(query, best, Number.POSITIVE_INFINITY, this.overlay(processGuid, locality));
  }

  private overlay(processGuid: string, locality: Locality<C>): CrowdedTree<C> {
    const overlay = this.overlays.get(processGuid) ?? new CrowdedTree(this.tree);
    this.overlays.delete(processGuid);
    this.overlays.set(processGuid, overlay);
    if (this.overlays.size > OVERLAYS_KEPT) this.overlays.delete(this.overlays.keys().next().value as string);
    overlay.bringUpToDate(locality);
    return overlay;
  }
}
