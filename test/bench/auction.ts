import { randomLoad } from '@rivera/server/auction/simulation/scenarios';
import { seededRandom } from '@rivera/server/auction/simulation/seeded';
import { SimulatedCluster } from '@rivera/server/auction/simulation/simulated-cluster';
import { spreadOf } from '@rivera/server/auction/simulation/spread';
import { lrpInstances, mixedLrps, simulatedTasks } from '@rivera/server/auction/simulation/workloads';
import type { PlaceableWork } from '@rivera/server/auction/work';
import type { Report } from './figures.js';

interface Scale {
  readonly cells: number;
  readonly lrps: number;
  /** What the reference publishes for it. */
  readonly reference: {
    readonly rate?: string;
    readonly spread?: string;
    readonly rateHalfFull?: string;
    readonly spreadHalfFull?: string;
  };
}

const SCALES: readonly Scale[] = [
  { cells: 100, lrps: 4_000, reference: { rate: '4,500-8,000/s', spread: '39-41' } },
  {
    cells: 1_000,
    lrps: 50_000,
    reference: {
      rate: '660/s',
      spread: '49-51, deviation 0.2',
      rateHalfFull: '440/s',
      spreadHalfFull: '81-124, deviation 6.8',
    },
  },
  { cells: 1_250, lrps: 250_000, reference: {} },
  { cells: 10_000, lrps: 1_000_000, reference: {} },
];

const SETTINGS = { binPackFirstFitWeight: 0, startingContainerWeight: 0.25, startingContainerCountMaximum: 0 };
const SIZE = { memoryMb: 64, diskMb: 64 };
/** Room for the older half, the newer half and a quarter more. */
const ROOM = 2.5;
/** Everything runs so often and so long, and the fastest run counts: what the machine does beside it is not the auction's cost. */
const LEAST_RUNS = 2;
const LEAST_MS = 500;
const SEED = 20;

/** How fast the auction decides and how evenly it spreads: the real ledger and rules, without streams, on one core. */
export async function auction(report: Report): Promise<void> {
  measure({ cells: 1_000, work: mixedLrps(20_000, SIZE), perCell: 20 });
  for (const { cells, lrps, reference } of SCALES) {
    const perCell = lrps / cells;
    const empty = measure({ cells, work: mixedLrps(lrps, SIZE), perCell });
    tell(report, empty, {
      conditions: `${name(cells, lrps)}, empty cluster`,
      rate: reference.rate,
      spread: reference.spread,
    });
    const older = randomLoad(cells, lrps, seededRandom(SEED));
    const halfFull = measure({ cells, work: mixedLrps(lrps, SIZE), perCell, older });
    tell(report, halfFull, {
      conditions: `${name(cells, lrps)}, half full: as many older ones at random`,
      rate: reference.rateHalfFull,
      spread: reference.spreadHalfFull,
    });
  }
  growth(report);
  hardShapes(report);
}

/** With the same work, so that what grows is the number of cells and not the memory that is walked through. */
function growth(report: Report): void {
  const microsOn = (cells: number) =>
    measure({ cells, work: mixedLrps(100_000, SIZE), perCell: 100_000 / cells }).microsEach;
  report({
    name: 'cost of a placement, growth',
    value: microsOn(10_000) / microsOn(100),
    unit: 'times',
    conditions: '100,000 LRPs on 10,000 cells against 100; the logarithm grows 2.0 times',
  });
}

/** What placement finds hardest: one process everywhere, and tasks, each on 10,000 cells. */
function hardShapes(report: Report): void {
  const shapes: [string, PlaceableWork[]][] = [
    ['100,000 instances of one process', lrpInstances('one', 100_000, SIZE)],
    ['100,000 tasks', simulatedTasks(100_000, SIZE)],
  ];
  for (const [shape, work] of shapes) {
    const { perSecond } = measure({ cells: 10_000, work, perCell: 10 });
    report({ name: 'placements', value: perSecond, unit: '/s', conditions: `10,000 cells x ${shape}` });
  }
}

interface Run {
  readonly cells: number;
  readonly work: readonly PlaceableWork[];
  /** Pieces of work per cell, on average. */
  readonly perCell: number;
  /** Instances that each cell has before. */
  readonly older?: readonly number[];
}

interface Measured {
  readonly perSecond: number;
  readonly microsEach: number;
  readonly failed: number;
  /** Per cell, older ones included. */
  readonly counts: number[];
  readonly rssMb: number;
}

function measure({ cells, work, perCell, older }: Run): Measured {
  const containers = Math.ceil(perCell * ROOM);
  let fastestMs = Number.POSITIVE_INFINITY;
  let elapsedMs = 0;
  let failed = 0;
  let cluster: SimulatedCluster;
  let runs = 0;
  do {
    cluster = new SimulatedCluster({
      cells,
      zoneOf: (cell) => `z${cell % 2}`,
      total: { memoryMb: containers * SIZE.memoryMb, diskMb: containers * SIZE.diskMb, containers },
      settings: SETTINGS,
      heldBy: (cell) => older?.[cell] ?? 0,
      heldSize: SIZE,
    });
    failed = 0;
    const from = performance.now();
    for (const piece of work) if (cluster.place(piece) !== undefined) failed++;
    const tookMs = performance.now() - from;
    fastestMs = Math.min(fastestMs, tookMs);
    elapsedMs += tookMs;
  } while (++runs < LEAST_RUNS || elapsedMs < LEAST_MS);
  return {
    perSecond: (work.length / fastestMs) * 1_000,
    microsEach: (fastestMs / work.length) * 1_000,
    failed,
    counts: cluster.cells().map(({ before, placed }) => before + placed),
    rssMb: process.memoryUsage.rss() / 2 ** 20,
  };
}

function tell(
  report: Report,
  { perSecond, failed, counts, rssMb }: Measured,
  { conditions, rate, spread }: { conditions: string; rate: string | undefined; spread: string | undefined },
): void {
  const { least, most, deviation } = spreadOf(counts);
  const per = { unit: 'instances/cell', conditions, ...(spread && { reference: spread }) };
  report({ name: 'placements', value: perSecond, unit: '/s', conditions, ...(rate && { reference: rate }) });
  report({ name: 'spread, fewest', value: least, ...per });
  report({ name: 'spread, most', value: most, ...per });
  report({ name: 'spread, standard deviation', value: deviation, ...per });
  report({ name: 'not placed', value: failed, unit: 'instances', conditions });
  report({ name: 'memory of the process', value: rssMb, unit: 'MiB', conditions: `${conditions}; queue and ledger` });
}

function name(cells: number, lrps: number): string {
  return `${cells.toLocaleString('en')} cells x ${lrps.toLocaleString('en')} LRPs`;
}
