import { CellTree } from './cell-tree.js';
import { CrowdedTrees } from './crowded-tree.js';
import { type Demand, mismatch, type Offer } from './filters.js';
import type { LedgerCell } from './ledger-cell.js';
import type { DemandMatch, SearchPool } from './placement.js';
import type { ScoreWeights } from './score.js';

/** Cells of one zone that accept the same work, have the same proxy and similar totals: a request adds about the same score to each. */
export interface Pool extends SearchPool<LedgerCell> {
  readonly key: string;
  readonly zone: Zone;
  readonly offer: Offer;
}

interface Zone {
  readonly name: string;
  readonly cells: Set<LedgerCell>;
  /** The dense indices are to be numbered anew. */
  unnumbered: boolean;
}

/** Different demands whose matches are remembered. */
const MATCHES_KEPT = 4096;
/** Totals in one pool differ by no more than one part in so many doublings. */
const STEPS_PER_DOUBLING = 16;

/**
 * Finds cells: zone → pool → tree. A search costs about (pools that match) × log(cells of a pool); the number of pools is the
 * number of different kinds of machines per zone, not the number of machines.
 */
export class LedgerIndex {
  private readonly zones = new Map<string, Zone>();
  private readonly pools = new Map<string, Pool>();
  private readonly matches = new Map<string, DemandMatch<LedgerCell>>();

  constructor(private readonly weights: ScoreWeights) {}

  insert(cell: LedgerCell): void {
    const zone = this.zoneOf(cell.zone);
    zone.cells.add(cell);
    zone.unnumbered = true;
    const key = poolKey(cell);
    let pool = this.pools.get(key);
    if (pool === undefined) {
      const tree = new CellTree<LedgerCell>();
      pool = { key, zone, offer: cell.offer, proxyMemoryMb: cell.proxyMemoryMb, tree, crowded: new CrowdedTrees(tree) };
      this.pools.set(key, pool);
      this.matches.clear();
    }
    cell.tree = pool.tree;
    cell.recompute(this.weights);
    pool.tree.add(cell);
  }

  remove(cell: LedgerCell): void {
    const pool = cell.tree && this.pools.get(poolKey(cell));
    if (pool === undefined) return;
    cell.tree = undefined;
    pool.tree.remove(cell);
    pool.zone.cells.delete(cell);
    pool.zone.unnumbered = true;
    if (pool.zone.cells.size === 0) this.zones.delete(pool.zone.name);
    if (pool.tree.size > 0) return;
    this.pools.delete(pool.key);
    this.matches.clear();
  }

  /** Something that placement looks at changed on the cell. */
  touch(cell: LedgerCell): void {
    cell.recompute(this.weights);
    cell.tree?.touch(cell);
  }

  /** The pools that may take such work, by zone in order of name. */
  match(demand: Demand): DemandMatch<LedgerCell> {
    if (this.weights.binPackFirstFitWeight > 0) this.numberCells();
    const known = this.matches.get(demand.key);
    if (known !== undefined) return known;
    if (this.matches.size >= MATCHES_KEPT) this.matches.clear();
    const byZone = new Map<string, Pool[]>();
    for (const pool of this.pools.values()) {
      if (mismatch(pool.offer, demand) !== undefined) continue;
      const pools = byZone.get(pool.zone.name);
      if (pools === undefined) byZone.set(pool.zone.name, [pool]);
      else pools.push(pool);
    }
    const zones = [...byZone].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, pools]) => ({ name, pools }));
    const match = { zones, pools: zones.flatMap((zone) => zone.pools) };
    this.matches.set(demand.key, match);
    return match;
  }

  /** Numbers the cells of a zone 0..n-1 in order of the ordinals that they gave (spec auction §4). */
  private numberCells(): void {
    for (const zone of this.zones.values()) {
      if (!zone.unnumbered) continue;
      zone.unnumbered = false;
      const ordered = [...zone.cells].sort((a, b) => a.reportedIndex - b.reportedIndex || (a.id < b.id ? -1 : 1));
      ordered.forEach((cell, index) => {
        if (cell.index === index) return;
        cell.index = index;
        this.touch(cell);
      });
    }
  }

  private zoneOf(name: string): Zone {
    let zone = this.zones.get(name);
    if (zone === undefined) {
      zone = { name, cells: new Set(), unnumbered: true };
      this.zones.set(name, zone);
    }
    return zone;
  }
}

function poolKey(cell: LedgerCell): string {
  const { memoryMb, diskMb, containers } = cell.total;
  const sizes = [memoryMb, diskMb, containers].map((total) =>
    total > 0 ? Math.round(Math.log2(total) * STEPS_PER_DOUBLING) : null,
  );
  return JSON.stringify([cell.zone, cell.offer.key, cell.proxyMemoryMb, sizes]);
}
