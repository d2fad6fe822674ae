import type { Clock } from '@rivera/kit/clock';
import type { GardenContainer } from '../../garden/garden.js';
import type { ExecutorCounters } from '../counters.js';
import type { Downloader } from '../downloads/downloader.js';
import type { Uploader } from '../downloads/uploader.js';
import type { Lifetime } from '../lifetime.js';
import type { ContainerLog } from '../logs/container-log.js';
import type { StepMemory } from './step-memory.js';

/** Why a step failed. */
export interface StepFailure {
  /**
   * `cancelled`: it was told to end, and did. `grace-exceeded`: it was told to end, and had to be killed. Neither says anything
   * about the recipe, so they are left out where failures are put together.
   */
  kind: 'failed' | 'cancelled' | 'grace-exceeded';
  /** For users. */
  text: string;
}

/** How a step ended: without a failure, well. */
export type StepResult = StepFailure | undefined;

/** One run of a step. */
export interface StepRun {
  /** Aborts when the step has to end; it still reports its result, after everything it started has ended. */
  signal: AbortSignal;
  /** To be called once, when the step has got going: a process runs, a check passed. */
  ready(): void;
}

/**
 * Something that is done in a container. A step is made from its definition alone and can be run again by a later
 * executor: what it did before, its memory and the garden tell it.
 */
export interface Step {
  run(run: StepRun): Promise<StepResult>;
}

/** What steps work with. */
export interface StepContext {
  container: GardenContainer;
  /** Of a process, without its action's own variables (spec cell §24). */
  environment(action: { env: readonly { name: string; value: string }[]; user: string }): Record<string, string>;
  memory: StepMemory;
  log: ContainerLog;
  lifetime: Lifetime;
  clock: Clock;
  downloader: Downloader;
  uploader: Uploader;
  gracefulShutdownMs: number;
  counters: Pick<ExecutorCounters, 'exitedOnTimeout' | 'livenessFailures'>;
}

export const CANCELLED: StepFailure = { kind: 'cancelled', text: 'cancelled' };

export function failed(text: string): StepFailure {
  return { kind: 'failed', text };
}

/**
 * The failures of steps that ran side by side as one. Those that were only told to end are left out, unless there are no others.
 */
export function joinFailures(failures: readonly StepFailure[]): StepFailure | undefined {
  const told = failures.filter((failure) => failure.kind === 'failed');
  if (told.length > 0) return failed(told.map((failure) => failure.text).join('; '));
  return failures.find((failure) => failure.kind === 'grace-exceeded') ?? failures[0];
}
