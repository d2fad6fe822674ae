import type { DesiredLrp } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import type { Command } from 'commander';
import { parseMilliseconds } from '../recipe/quantities.js';

/** Options of commands that wait for instances. */
export interface Waiting {
  wait: boolean;
  /** Milliseconds. */
  waitTimeout?: number;
}

/** Options of commands that wait until instances run. */
export interface WaitingToRun extends Waiting {
  /** Milliseconds. */
  settle?: number;
}

/** Time for instances to come up or go, unless said otherwise. */
export const WAIT_MS = 120_000;
/** Nobody looks at an instance without checks and ports: that it has run for so long is all that says that it does not end at once. */
const SETTLE_MS = 1_000;

/** @param until what is waited for, as in "the instances run" */
export function withWaiting(command: Command, { until = 'the instances run', limit = '2m' } = {}): Command {
  return command
    .option('--no-wait', `do not wait until ${until}`)
    .option('--wait-timeout <time>', `give up waiting after this time (default ${limit})`, (text: string) =>
      parseMilliseconds(text),
    );
}

export function withSettling(command: Command): Command {
  return withWaiting(command).option(
    '--settle <time>',
    'how long instances must have been running (default 1s without checks and ports, else 0s)',
    (text: string) => parseMilliseconds(text),
  );
}

/** How long instances of an LRP have to have been running before they count. */
export function settlingOf(lrp: DesiredLrp, { settle }: WaitingToRun): number {
  const isLookedAt = lrp.ports.length > 0 || lrp.monitor !== undefined || (lrp.checkDefinition?.checks.length ?? 0) > 0;
  return settle ?? (isLookedAt ? 0 : SETTLE_MS);
}

/** Longest time that Node's timers can hold, 24 days: as good as for ever. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Aborts when so much time is over. */
export function lateAfter(ms: number): AbortSignal {
  return AbortSignal.timeout(Math.min(Math.ceil(ms), LONGEST_TIMER_MS));
}
