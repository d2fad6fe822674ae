import { LOCALITY_WEIGHT } from './score.js';

/**
 * Cells that are alike in what they accept, ordered so that the best one for any request is found in about log(cells).
 *
 * A tournament tree in one typed array: leaves are cells in order of id, every node holds the lowest base score and the most of
 * each resource below it. A search goes down where the bound is lowest and leaves out what can't win or can't fit. Cells of one
 * tree have similar totals (`ledger-index.ts` sees to that), so the bounds are nearly exact. Equal scores: the lowest id wins.
 */
export interface TreeCell {
  readonly id: string;
  /** Its leaf; written by the tree. */
  position: number;
  /** Takes no work for now: kept in its place, but never found. */
  readonly closed: boolean;
  readonly lrpBase: number;
  readonly taskBase: number;
  readonly freeMemoryMb: number;
  readonly freeDiskMb: number;
  readonly freeContainers: number;
  /** 1 ÷ total, or 0. */
  readonly inverse: { readonly memory: number; readonly disk: number; readonly containers: number };
}

/** What is looked for. Reused between searches: a search allocates nothing. */
export interface TreeQuery<C extends TreeCell> {
  memoryMb: number;
  diskMb: number;
  kind: 'lrp' | 'task';
  /** Cells that are not to be found. */
  excluded: readonly C[];
  /** Where instances of the same process are; undefined: nowhere in this tree. */
  locality: Locality<C> | undefined;
}

export interface Locality<C> {
  /** Instances of the process on the cell; each costs {@link LOCALITY_WEIGHT}. */
  on(cell: C): number;
}

/** The best so far; a search improves on it or leaves it. */
export interface Best<C extends TreeCell> {
  cell: C | undefined;
  score: number;
}

/** Base scores that replace the tree's own: see `crowded-tree.ts`. */
export interface BaseScores {
  readonly values: Float64Array;
  readonly stride: number;
  readonly offset: number;
}

const STRIDE = 8;
const LRP = 0;
const TASK = 1;
const MEMORY = 2;
const DISK = 3;
const CONTAINERS = 4;
const INVERSE_MEMORY = 5;
const INVERSE_DISK = 6;
const INVERSE_CONTAINERS = 7;
const MINIMA = [LRP, TASK, INVERSE_MEMORY, INVERSE_DISK, INVERSE_CONTAINERS];
const MAXIMA = [MEMORY, DISK, CONTAINERS];

/** A power of two. */
const CHANGES_KEPT = 1024;

export class CellTree<C extends TreeCell> {
  /** In order of id. */
  readonly cells: C[] = [];
  /** Number of leaves, a power of two. */
  leaves = 1;
  /** Counts changes of membership: positions are as before while it stays. */
  shape = 0;
  /** Counts changes of leaves; the position of number n is at `changes[n % changes.length]`. */
  changeCount = 0;
  readonly changes = new Int32Array(CHANGES_KEPT);
  private nodes = new Float64Array(2 * STRIDE);
  private stale = true;
  private readonly stack = new Int32Array(64);
  private readonly bounds = new Float64Array(64);

  get size(): number {
    return this.cells.length;
  }

  add(cell: C): void {
    this.cells.splice(this.rankOf(cell.id), 0, cell);
    this.stale = true;
  }

  remove(cell: C): void {
    const rank = this.rankOf(cell.id);
    if (this.cells[rank] !== cell) return;
    this.cells.splice(rank, 1);
    this.stale = true;
  }

  /** A cell's numbers, or the instances on it, changed. */
  touch(cell: C): void {
    if (this.stale) return;
    this.changes[this.changeCount++ % CHANGES_KEPT] = cell.position;
    this.writeLeaf(cell);
    for (let node = (this.leaves + cell.position) >> 1; node >= 1; node >>= 1) if (!this.combine(node)) return;
  }

  /**
   * Improves `best` with a cell of this tree. Gives up, and returns false, once it has met more than `patience` cells that are
   * excluded or hold instances of the process: then base scores that include locality serve better. They are given as `base`,
   * and `query.locality` is not asked.
   */
  search(query: TreeQuery<C>, best: Best<C>, patience = Number.POSITIVE_INFINITY, base?: BaseScores): boolean {
    this.refresh();
    const { stack, bounds, leaves } = this;
    const values = base?.values ?? this.nodes;
    const stride = base?.stride ?? STRIDE;
    const offset = base?.offset ?? (query.kind === 'task' ? TASK : LRP);
    const locality = base === undefined ? query.locality : undefined;
    let met = 0;
    let top = 0;
    const rootBound = this.bound(1, query, values, stride, offset);
    if (rootBound === Number.POSITIVE_INFINITY) return true;
    stack[top] = 1;
    bounds[top++] = rootBound;
    while (top > 0) {
      const node = stack[--top] as number;
      const bound = bounds[top] as number;
      if (bound > best.score || (bound === best.score && !this.startsBefore(node, best))) continue;
      if (node >= leaves) {
        const cell = this.cells[node - leaves] as C;
        const penalty = locality === undefined ? 0 : LOCALITY_WEIGHT * locality.on(cell);
        const excluded = query.excluded.length > 0 && query.excluded.includes(cell);
        if ((penalty > 0 || excluded) && ++met > patience) return false;
        const score = bound + penalty;
        if (excluded || score > best.score) continue;
        if (score < best.score || best.cell === undefined || cell.id < best.cell.id) {
          best.cell = cell;
          best.score = score;
        }
        continue;
      }
      const left = this.bound(2 * node, query, values, stride, offset);
      const right = this.bound(2 * node + 1, query, values, stride, offset);
      const rightFirst = right < left;
      if (rightFirst ? left !== Number.POSITIVE_INFINITY : right !== Number.POSITIVE_INFINITY) {
        stack[top] = rightFirst ? 2 * node : 2 * node + 1;
        bounds[top++] = rightFirst ? left : right;
      }
      if ((rightFirst ? right : left) !== Number.POSITIVE_INFINITY) {
        stack[top] = rightFirst ? 2 * node + 1 : 2 * node;
        bounds[top++] = rightFirst ? right : left;
      }
    }
    return true;
  }

  /** Brings the nodes up to date after cells came or went. */
  refresh(): void {
    if (!this.stale) return;
    this.stale = false;
    this.shape++;
    let leaves = 1;
    while (leaves < this.cells.length) leaves *= 2;
    this.leaves = leaves;
    if (this.nodes.length !== 2 * leaves * STRIDE) this.nodes = new Float64Array(2 * leaves * STRIDE);
    this.cells.forEach((cell, position) => {
      cell.position = position;
      this.writeLeaf(cell);
    });
    for (let node = leaves + this.cells.length; node < 2 * leaves; node++) this.writeEmpty(node);
    for (let node = leaves - 1; node >= 1; node--) this.combine(node);
  }

  /** No cell below `node` scores lower; Infinity when none has room. Exact at a leaf. */
  private bound(node: number, query: TreeQuery<C>, values: Float64Array, stride: number, offset: number): number {
    const { nodes } = this;
    const at = node * STRIDE;
    const tooSmall =
      (nodes[at + MEMORY] as number) < query.memoryMb ||
      (nodes[at + DISK] as number) < query.diskMb ||
      (nodes[at + CONTAINERS] as number) < 1;
    if (tooSmall) return Number.POSITIVE_INFINITY;
    const share =
      query.memoryMb * (nodes[at + INVERSE_MEMORY] as number) +
      query.diskMb * (nodes[at + INVERSE_DISK] as number) +
      (nodes[at + INVERSE_CONTAINERS] as number);
    return (values[node * stride + offset] as number) + share / 3;
  }

  /** Whether the first cell below `node` would win a tie with the best. */
  private startsBefore(node: number, best: Best<C>): boolean {
    let first = node;
    while (first < this.leaves) first *= 2;
    const cell = this.cells[first - this.leaves];
    return cell !== undefined && (best.cell === undefined || cell.id < best.cell.id);
  }

  private writeLeaf(cell: C): void {
    const { nodes } = this;
    const at = (this.leaves + cell.position) * STRIDE;
    if (cell.closed) {
      this.writeEmpty(this.leaves + cell.position);
      return;
    }
    nodes[at + LRP] = cell.lrpBase;
    nodes[at + TASK] = cell.taskBase;
    nodes[at + MEMORY] = cell.freeMemoryMb;
    nodes[at + DISK] = cell.freeDiskMb;
    nodes[at + CONTAINERS] = cell.freeContainers;
    nodes[at + INVERSE_MEMORY] = cell.inverse.memory;
    nodes[at + INVERSE_DISK] = cell.inverse.disk;
    nodes[at + INVERSE_CONTAINERS] = cell.inverse.containers;
  }

  private writeEmpty(node: number): void {
    for (const field of MINIMA) this.nodes[node * STRIDE + field] = Number.POSITIVE_INFINITY;
    for (const field of MAXIMA) this.nodes[node * STRIDE + field] = Number.NEGATIVE_INFINITY;
  }

  /** Makes a node the sum of its children; false when that changed nothing. */
  private combine(node: number): boolean {
    const { nodes } = this;
    const at = node * STRIDE;
    const left = 2 * at;
    const right = left + STRIDE;
    let changed = false;
    for (let field = 0; field < STRIDE; field++) {
      const a = nodes[left + field] as number;
      const b = nodes[right + field] as number;
      const maximum = field >= MEMORY && field <= CONTAINERS;
      const value = a < b === maximum ? b : a;
      if (nodes[at + field] !== value) {
        nodes[at + field] = value;
        changed = true;
      }
    }
    return changed;
  }

  private rankOf(id: string): number {
    let low = 0;
    let high = this.cells.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.cells[middle] as C).id < id) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
