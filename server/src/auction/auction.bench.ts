import { fileURLToPath } from 'node:url';
import { Ledger } from './ledger.js';
import type { LedgerCell } from './ledger-cell.js';
import { decide } from './placement.js';
import { bid, lrp, task } from './testing/samples.js';
import type { PlaceableWork } from './work.js';

/**
 * How fast placement alone is: decide and reserve, no streams.
 * `node --conditions=source --import tsx server/src/auction/auction.bench.ts`
 */
interface Scenario {
  name: string;
  cells: number;
  work: number;
  /** The n-th piece of work. */
  make: (n: number) => PlaceableWork;
  /** Free part of a cell before. */
  free?: (cell: number) => number;
  settings?: typeof BURST;
}

interface Figure {
  scenario: string;
  cells: number;
  placed: number;
  failed: number;
  placementsPerSecond: number;
  microsecondsEach: number;
  /** Pieces of work per cell that were placed by the run. */
  least: number;
  most: number;
  deviation: number;
}

/** Everything stays starting, as in a burst. */
const BURST = { binPackFirstFitWeight: 0, startingContainerWeight: 0.25, startingContainerCountMaximum: 0 };
/** Everything starts at once: load and locality alone decide. */
const CALM = { ...BURST, startingContainerWeight: 0 };
const MEMORY_MB = 1_000_000;

/** A process per LRP. */
const distinct = (n: number) => lrp(`p${n}`, 0, { memoryMb: 64, diskMb: 64 });
/** 50 instances of each process, index by index, as the order of a batch has it. */
const fifties = (total: number) => (n: number) => {
  const processes = Math.max(1, Math.ceil(total / 50));
  return lrp(`p${n % processes}`, Math.floor(n / processes), { memoryMb: 64, diskMb: 64 });
};
const one = (n: number) => lrp('p', n, { memoryMb: 64, diskMb: 64 });
const tasks = (n: number) => task(`t${n}`, { memoryMb: 64, diskMb: 64 });
/** Spread without a pattern, the same each time. */
const halfFull = (cell: number) => 0.25 + 0.5 * ((cell * 0.618033988749895) % 1);

const SCENARIOS: Scenario[] = [
  { name: 'distinct', cells: 100, work: 4_000, make: distinct },
  { name: 'distinct', cells: 1_000, work: 50_000, make: distinct },
  { name: 'distinct', cells: 10_000, work: 100_000, make: distinct },
  { name: '50 each', cells: 100, work: 4_000, make: fifties(4_000) },
  { name: '50 each', cells: 1_000, work: 50_000, make: fifties(50_000) },
  { name: '50 each', cells: 10_000, work: 100_000, make: fifties(100_000) },
  { name: 'one process', cells: 1_000, work: 50_000, make: one },
  { name: 'one process', cells: 10_000, work: 100_000, make: one },
  { name: 'one process, half full', cells: 1_000, work: 50_000, make: one, free: halfFull },
  { name: 'one process, half full', cells: 10_000, work: 100_000, make: one, free: halfFull },
  { name: 'one process, half full, calm', cells: 10_000, work: 100_000, make: one, free: halfFull, settings: CALM },
  { name: '50 each, half full', cells: 10_000, work: 100_000, make: fifties(100_000), free: halfFull },
  { name: 'tasks', cells: 10_000, work: 100_000, make: tasks },
  { name: '50 each', cells: 1_250, work: 250_000, make: fifties(250_000) },
];

function measure(scenario: Scenario): Figure {
  const settings = scenario.settings ?? BURST;
  const ledger = new Ledger(settings);
  const total = { memoryMb: MEMORY_MB, diskMb: MEMORY_MB, containers: 10_000 };
  for (let n = 0; n < scenario.cells; n++) {
    const free = scenario.free?.(n) ?? 1;
    const available = {
      memoryMb: Math.floor(total.memoryMb * free),
      diskMb: Math.floor(total.diskMb * free),
      containers: Math.floor(total.containers * free),
    };
    ledger.put(bid(`cell-${String(n).padStart(5, '0')}`, { zone: `z${n % 2}`, total, available }));
  }
  const work = Array.from({ length: scenario.work }, (_, n) => scenario.make(n));
  let failed = 0;
  const from = process.hrtime.bigint();
  for (let n = 0; n < work.length; n++) {
    const piece = work[n] as PlaceableWork;
    const decision = decide<LedgerCell>(ledger, piece, settings);
    if (decision.kind === 'placed') ledger.reserve(decision.cell, piece, `1.${n.toString(36)}`, 0);
    else failed++;
  }
  const seconds = Number(process.hrtime.bigint() - from) / 1e9;
  const counts = ledger.list().map((cell) => cell.assignments.size);
  const mean = counts.reduce((sum, count) => sum + count, 0) / counts.length;
  return {
    scenario: scenario.name,
    cells: scenario.cells,
    placed: work.length - failed,
    failed,
    placementsPerSecond: Math.round(work.length / seconds),
    microsecondsEach: Number(((seconds * 1e6) / work.length).toFixed(2)),
    least: Math.min(...counts),
    most: Math.max(...counts),
    deviation: Number(
      Math.sqrt(counts.reduce((sum, count) => sum + (count - mean) ** 2, 0) / counts.length).toFixed(2),
    ),
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const json = process.argv.includes('--json');
  // Once for the compiler.
  for (const make of [fifties(4_000), tasks]) measure({ name: 'warm-up', cells: 1_000, work: 20_000, make });
  const figures = SCENARIOS.map((scenario) => {
    const figure = measure(scenario);
    if (json) process.stdout.write(`${JSON.stringify(figure)}\n`);
    return figure;
  });
  if (!json) console.table(figures);
}
