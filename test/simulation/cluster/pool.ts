import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Coverage } from './coverage.js';
import type { HistoryReport } from './history.js';
import type { Batch, BatchReport } from './worker.js';

export interface PoolOptions {
  readonly from: number;
  readonly seeds: number;
  readonly steps: number;
  readonly processes: number;
  /** Where the sources are; default here. */
  readonly workerFile?: string;
  readonly signal?: AbortSignal;
  /** After each batch. */
  readonly onProgress?: (coverage: Coverage) => void;
}

export interface PoolReport {
  readonly coverage: Coverage;
  /** Histories that went wrong, by seed; the first one ends the run, so there are seldom two. */
  readonly failed: readonly HistoryReport[];
  /** By seed. */
  readonly digests: ReadonlyMap<number, string>;
}

const HISTORIES_PER_BATCH = 25;
/** Histories die young: with room for them they never reach the old generation. */
const NODE_FLAGS = ['--conditions=source', '--import', 'tsx', '--max-semi-space-size=32'];

/** Runs many histories in several processes, which share nothing. @throws Error when a process dies */
export async function runMany(options: PoolOptions): Promise<PoolReport> {
  const { from, seeds, steps, processes, onProgress, signal } = options;
  const coverage = new Coverage();
  const failed: HistoryReport[] = [];
  const digests = new Map<number, string>();
  const perBatch = Math.max(1, Math.min(HISTORIES_PER_BATCH, Math.ceil(seeds / processes)));
  let next = from;
  const work = async (): Promise<void> => {
    const worker = new Worker(options.workerFile);
    const kill = () => worker.kill();
    signal?.addEventListener('abort', kill, { once: true });
    try {
      while (next < from + seeds && failed.length === 0 && !signal?.aborted) {
        const first = next;
        next = Math.min(from + seeds, first + perBatch);
        const report = await worker.run({ from: first, count: next - first, steps });
        coverage.add(report.figures);
        for (const [i, digest] of report.digests.entries()) digests.set(first + i, digest);
        if (report.failed !== undefined) failed.push(report.failed);
        onProgress?.(coverage);
      }
    } catch (error) {
      if (!signal?.aborted) throw error;
    } finally {
      signal?.removeEventListener('abort', kill);
      worker.kill();
    }
  };
  await Promise.all(Array.from({ length: Math.min(processes, seeds) }, work));
  failed.sort((a, b) => a.seed - b.seed);
  return { coverage, failed, digests };
}

/** One process that simulates. */
class Worker {
  private readonly child: ChildProcess;

  constructor(file = fileURLToPath(new URL('./worker.ts', import.meta.url))) {
    this.child = fork(file, [], { execArgv: NODE_FLAGS, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  }

  run(batch: Batch): Promise<BatchReport> {
    return new Promise((resolve, reject) => {
      const { child } = this;
      const answered = (report: unknown) => {
        child.off('exit', exited);
        resolve(report as BatchReport);
      };
      const exited = (code: number | null) => {
        child.off('message', answered);
        reject(new Error(`a simulating process ended with ${code} on seeds from ${batch.from}`));
      };
      child.once('message', answered);
      child.once('exit', exited);
      child.send(batch);
    });
  }

  kill(): void {
    this.child.kill('SIGKILL');
  }
}
