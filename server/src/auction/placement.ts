import type { Best, CellTree, TreeCell, TreeQuery } from './cell-tree.js';
import type { CrowdedTrees } from './crowded-tree.js';
import { type Failure, IN_FLIGHT_LIMIT, memoryOn } from './failure.js';
import type { Demand } from './filters.js';
import type { Place, ProcessCounts } from './process-index.js';
import type { PlaceableWork } from './work.js';

/**
 * Where one piece of work goes: the rules of spec auction §5 over a read-only view of the ledger. The caller commits the
 * decision (`Ledger.reserve`) before it asks for the next.
 */
export interface PlacementView<C extends TreeCell & Place> {
  /** Cells that take part. */
  readonly admittedCells: number;
  /** Containers that are starting on them, what is handed out included. */
  readonly startingContainers: number;
  /** Cells that may take such work. */
  match(demand: Demand): DemandMatch<C>;
  /** Where the instances of the process are; undefined: nowhere. */
  process(processGuid: string): ProcessCounts<C> | undefined;
  cell(id: string): C | undefined;
  /** Why no cell can take it. */
  explain(work: PlaceableWork): Failure;
}

/** Cells that one search covers. */
export interface SearchPool<C extends TreeCell> {
  readonly tree: CellTree<C>;
  readonly crowded: CrowdedTrees<C>;
  readonly proxyMemoryMb: number;
}

export interface DemandMatch<C extends TreeCell> {
  readonly zones: readonly { readonly name: string; readonly pools: readonly SearchPool<C>[] }[];
  /** Of all zones. */
  readonly pools: readonly SearchPool<C>[];
}

export type Decision<C> =
  | { readonly kind: 'placed'; readonly cell: C; readonly score: number }
  | { readonly kind: 'failed'; readonly failure: Failure };

export interface PlacementLimits {
  /** Most containers that may be starting at once, everywhere; 0 or less: no limit. */
  readonly startingContainerCountMaximum: number;
}

export function decide<C extends TreeCell & Place>(
  view: PlacementView<C>,
  work: PlaceableWork,
  limits: PlacementLimits,
): Decision<C> {
  if (view.admittedCells === 0) return { kind: 'failed', failure: view.explain(work) };
  const maximum = limits.startingContainerCountMaximum;
  if (maximum > 0 && view.startingContainers >= maximum) {
    return { kind: 'failed', failure: { reason: IN_FLIGHT_LIMIT, obstacles: [] } };
  }
  const search = new Search(view, work);
  const best = work.subject.kind === 'task' ? search.everywhere() : search.byZones(work.subject.processGuid);
  return best.cell === undefined
    ? { kind: 'failed', failure: view.explain(work) }
    : { kind: 'placed', cell: best.cell, score: best.score };
}

class Search<C extends TreeCell & Place> {
  private readonly best: Best<C> = { cell: undefined, score: Number.POSITIVE_INFINITY };
  private readonly query: TreeQuery<C>;
  private readonly match: DemandMatch<C>;

  constructor(
    private readonly view: PlacementView<C>,
    private readonly work: PlaceableWork,
  ) {
    const { requirements, subject, refusals } = work;
    this.match = view.match(work.demand);
    this.query = {
      memoryMb: requirements.memoryMb,
      diskMb: requirements.diskMb,
      kind: subject.kind,
      excluded: refusals.length === 0 ? [] : refusals.flatMap((refusal) => view.cell(refusal.cellId) ?? []),
      locality: undefined,
    };
  }

  /** Tasks ignore zones: one pool (spec auction §5.7). */
  everywhere(): Best<C> {
    for (const pool of this.match.pools) this.searchPool(pool, undefined);
    return this.best;
  }

  /**
   * Zones with the fewest instances of the process first, those with equally many as one pool; the next fuller ones only when
   * nobody had room (spec auction §5.6). All instances in a zone count, also those on cells that may not take this work.
   */
  byZones(processGuid: string): Best<C> {
    const process = this.view.process(processGuid);
    if (process === undefined) return this.everywhere();
    let level = -1;
    for (;;) {
      level = this.nextLevel(process, level);
      if (level === Number.POSITIVE_INFINITY) return this.best;
      for (const zone of this.match.zones) {
        if (process.inZone(zone.name) !== level) continue;
        for (const pool of zone.pools) this.searchPool(pool, level === 0 ? undefined : process);
      }
      if (this.best.cell !== undefined) return this.best;
    }
  }

  private nextLevel(process: ProcessCounts<C>, above: number): number {
    let next = Number.POSITIVE_INFINITY;
    for (const zone of this.match.zones) {
      const count = process.inZone(zone.name);
      if (count > above && count < next) next = count;
    }
    return next;
  }

  private searchPool(pool: SearchPool<C>, process: ProcessCounts<C> | undefined): void {
    this.query.memoryMb = memoryOn(this.work, pool.proxyMemoryMb);
    this.query.locality = process;
    if (process === undefined) pool.tree.search(this.query, this.best);
    else pool.crowded.search(process.guid, process, this.query, this.best);
  }
}
