/**
 * How well a cell suits a piece of work that it may take: fit and score (spec auction §5.4, §5.5). Lower scores win.
 *
 * A score is a sum of what the cell brings ({@link loadOf} and the terms that go with it) and what the request adds
 * (its share of each total, see `CellTree.bound`). The split is what lets `cell-tree.ts` keep cells in order whatever the request is.
 */

/** An instance of the same process, or a task for a task, outweighs every difference in load. */
export const LOCALITY_WEIGHT = 1000;

/** A quantity of each resource that the fit looks at. */
export interface Amounts {
  readonly memoryMb: number;
  readonly diskMb: number;
  readonly containers: number;
}

/** What placement may be tuned by. */
export interface ScoreWeights {
  /** Per step of the cell's dense index, LRPs only; 0: the index is irrelevant. */
  readonly binPackFirstFitWeight: number;
  /** Per container that is starting on the cell. */
  readonly startingContainerWeight: number;
}

/** A cell at the moment of scoring. */
export interface ScoredCell {
  readonly total: Amounts;
  readonly available: Amounts;
  readonly startingContainers: number;
  /** Dense, per zone. */
  readonly index: number;
}

export const RESOURCES = ['containers', 'disk', 'memory'] as const;
export type Resource = (typeof RESOURCES)[number];

/** What the cell has too little of, in the order of the alphabet; empty: it fits. */
export function lacking(available: Amounts, memoryMb: number, diskMb: number): Resource[] {
  return RESOURCES.filter((resource) => {
    if (resource === 'containers') return available.containers < 1;
    return resource === 'disk' ? available.diskMb < diskMb : available.memoryMb < memoryMb;
  });
}

/** The mean used fraction of a cell before the request. A resource of which it has none counts as used up. */
function loadOf(total: Amounts, available: Amounts): number {
  const memory = total.memoryMb > 0 ? 1 - available.memoryMb / total.memoryMb : 1;
  const disk = total.diskMb > 0 ? 1 - available.diskMb / total.diskMb : 1;
  const containers = total.containers > 0 ? 1 - available.containers / total.containers : 1;
  return (memory + disk + containers) / 3;
}

/** What a total contributes to {@link loadOf} per unit that a request adds; 0 for a total of 0. */
export function inverseOf(total: number): number {
  return total > 0 ? 1 / total : 0;
}

/** The part of an LRP's score that depends on the cell alone. */
export function lrpBase(cell: ScoredCell, weights: ScoreWeights): number {
  return (
    loadOf(cell.total, cell.available) +
    cell.startingContainers * weights.startingContainerWeight +
    cell.index * weights.binPackFirstFitWeight
  );
}

/** The part of a task's score that depends on the cell alone: zones and bin packing play no part, the number of tasks does. */
export function taskBase(cell: ScoredCell, tasks: number, weights: ScoreWeights): number {
  return (
    loadOf(cell.total, cell.available) +
    cell.startingContainers * weights.startingContainerWeight +
    LOCALITY_WEIGHT * tasks
  );
}
