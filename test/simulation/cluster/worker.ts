import { Coverage, type CoverageFigures } from './coverage.js';
import { type HistoryReport, runHistory } from './history.js';
import { countImmediates } from './virtual-time.js';

/** What a worker is given, one at a time. */
export interface Batch {
  readonly from: number;
  readonly count: number;
  readonly steps: number;
}

/** What it answers. */
export interface BatchReport {
  readonly figures: CoverageFigures;
  /** Of the first history that went wrong; the batch ends there. */
  readonly failed: HistoryReport | undefined;
  /** Of every history, in order of the seeds. */
  readonly digests: readonly string[];
}

/** Errors belong to everyday life here, and nobody reads where they were made; what goes wrong is run again with all of it. */
const STACK_FRAMES = 20;

countImmediates();
process.on('message', (batch: Batch) => void run(batch).then((report) => process.send?.(report)));
process.on('disconnect', () => process.exit(0));

async function run({ from, count, steps }: Batch): Promise<BatchReport> {
  const coverage = new Coverage();
  const digests: string[] = [];
  for (let seed = from; seed < from + count; seed++) {
    Error.stackTraceLimit = 0;
    const report = await runHistory({ seed, steps });
    digests.push(report.digest);
    coverage.add(report.figures);
    if (report.violation === undefined) continue;
    Error.stackTraceLimit = STACK_FRAMES;
    const again = await runHistory({ seed, steps });
    return { figures: { ...coverage }, failed: again.violation ? again : report, digests };
  }
  return { figures: { ...coverage }, failed: undefined, digests };
}
