import type { Logger } from '@rivera/kit/log';
import type { Chance } from './chance.js';
import { Cluster } from './cluster.js';
import type { CoverageFigures } from './coverage.js';
import { type FaultKind, Faults } from './faults.js';
import { heal } from './healing.js';
import { brokenInvariant } from './invariants.js';

export interface HistoryOptions {
  readonly seed: number;
  /** Commands and faults before the healing. */
  readonly steps: number;
  readonly print?: (line: string) => void;
  readonly log?: Logger;
}

export interface HistoryReport {
  readonly seed: number;
  readonly figures: CoverageFigures;
  /** Of the whole transcript. */
  readonly digest: string;
  readonly violation?: { readonly what: string; readonly step: number; readonly transcript: readonly string[] };
}

/** How often each command comes, in any history. */
const COMMANDS = {
  lrp: 30,
  desireTask: 25,
  cancelTask: 4,
  takeTask: 8,
  domain: 5,
  retireInstance: 4,
  evacuateCell: 2,
  declareCellMissing: 2,
} as const;

const FAULTS: readonly FaultKind[] = [
  'break a stream',
  'half-open stream',
  'lossy clients',
  'slow network',
  'crash an agent',
  'crash a machine',
  'replace a machine',
  'freeze an agent',
  'cut a cell off',
  'crash a server',
  'stop a server',
  'pause the leader',
  'cut a server off the database',
  'failing commits',
  'slow commits',
  'database away',
  'clock leap',
];

/** Lets one history of a cluster happen: steps, each followed by all checks, then no more faults until it has healed. */
export async function runHistory({ seed, steps, ...output }: HistoryOptions): Promise<HistoryReport> {
  const cluster = new Cluster({ seed, ...output });
  const { chance, coverage, time, transcript } = cluster;
  const faults = new Faults(cluster);
  // A few kinds at a time: all of them together would hide what each does.
  const kinds = someOf(FAULTS, chance, chance.between(2, 6));
  const faultPercent = chance.between(10, 40);
  let step = 0;
  const look = () => {
    const broken = cluster.violation ?? brokenInvariant(cluster, { dueIsExact: faults.settled });
    if (broken !== undefined && cluster.violation === undefined) cluster.broken(broken);
  };
  const unhandled = (error: unknown) => cluster.broken(`nobody handles ${textOf(error)}`);
  process.on('unhandledRejection', unhandled);
  try {
    await time.advance(chance.between(100, 2_000));
    for (; step < steps && cluster.violation === undefined; step++) {
      if (chance.percent(faultPercent)) faults.begin(chance.pick(kinds));
      else cluster.commands[chance.weighted(COMMANDS)]();
      await time.advance(pauseMs(chance));
      look();
    }
    if (cluster.violation === undefined) {
      cluster.say('no more faults');
      faults.endAll();
      const unhealed = await heal(cluster);
      if (unhealed !== undefined) cluster.broken(unhealed);
      look();
    }
  } catch (error) {
    cluster.broken(textOf(error));
  } finally {
    process.off('unhandledRejection', unhandled);
  }
  coverage.histories = 1;
  coverage.steps = step;
  coverage.virtualMs = time.nowMs;
  const { histories, commands, acknowledged, executions, virtualMs, happened } = coverage;
  const figures = { histories, steps: step, commands, acknowledged, executions, virtualMs, happened };
  const last = transcript.last();
  const report = { seed, figures, digest: transcript.digest() };
  return cluster.violation === undefined
    ? report
    : { ...report, violation: { what: cluster.violation, step, transcript: last } };
}

function textOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

/** Mostly a moment, sometimes long enough for something to run out. */
function pauseMs(chance: Chance): number {
  if (chance.percent(60)) return chance.between(0, 200);
  return chance.percent(80) ? chance.between(200, 2_000) : chance.between(2_000, 10_000);
}

function someOf<T>(items: readonly T[], chance: Chance, count: number): T[] {
  const left = [...items];
  return Array.from({ length: count }, () => left.splice(chance.between(0, left.length - 1), 1)[0] as T);
}
