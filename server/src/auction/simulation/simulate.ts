import type { Scenario } from './scenarios.js';
import { type SimulatedCell, SimulatedCluster } from './simulated-cluster.js';
import { type Spread, spreadOf } from './spread.js';

/** What became of a scenario. */
export interface Simulation {
  readonly submitted: number;
  readonly placed: number;
  /** What was not placed, the most frequent reason first. */
  readonly failures: readonly { readonly reason: string; readonly count: number }[];
  readonly tookMs: number;
  /** In order of number. */
  readonly cells: readonly SimulatedCell[];
  /** In order of name. */
  readonly zones: readonly SimulatedZone[];
  /** Of all instances over all cells. */
  readonly spread: Spread;
}

export interface SimulatedZone {
  readonly name: string;
  readonly cells: number;
  /** Instances that were there before. */
  readonly before: number;
  readonly placed: number;
  /** Of all instances over its cells. */
  readonly spread: Spread;
}

/** Places everything, one piece after the other. */
export function simulate({ shape, work }: Scenario): Simulation {
  const cluster = new SimulatedCluster(shape);
  const reasons = new Map<string, number>();
  const from = performance.now();
  for (const piece of work) {
    const failure = cluster.place(piece);
    if (failure !== undefined) reasons.set(failure.reason, (reasons.get(failure.reason) ?? 0) + 1);
  }
  return outcomeOf({ submitted: work.length, reasons, tookMs: performance.now() - from, cells: cluster.cells() });
}

/** The figures of a run. */
export function outcomeOf(run: {
  readonly submitted: number;
  /** How often each kept work from being placed. */
  readonly reasons: ReadonlyMap<string, number>;
  readonly tookMs: number;
  readonly cells: readonly SimulatedCell[];
}): Simulation {
  const { submitted, reasons, tookMs, cells } = run;
  return {
    submitted,
    placed: cells.reduce((sum, cell) => sum + cell.placed, 0),
    failures: [...reasons].map(([reason, count]) => ({ reason, count })).sort((a, b) => b.count - a.count),
    tookMs,
    cells,
    zones: zonesOf(cells),
    spread: spreadOf(cells.map(instancesOn)),
  };
}

export function instancesOn({ before, placed }: SimulatedCell): number {
  return before + placed;
}

function zonesOf(cells: readonly SimulatedCell[]): SimulatedZone[] {
  const byZone = new Map<string, SimulatedCell[]>();
  for (const cell of cells) {
    const members = byZone.get(cell.zone);
    if (members === undefined) byZone.set(cell.zone, [cell]);
    else members.push(cell);
  }
  return [...byZone]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, members]) => ({
      name,
      cells: members.length,
      before: members.reduce((sum, cell) => sum + cell.before, 0),
      placed: members.reduce((sum, cell) => sum + cell.placed, 0),
      spread: spreadOf(members.map(instancesOn)),
    }));
}
