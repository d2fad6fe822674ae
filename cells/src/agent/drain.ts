import type { Clock } from '@rivera/kit/clock';
import type { Logger } from '@rivera/kit/log';
import type { Reconciler } from '../rep/reconciler.js';

const PROGRESS_MS = 10_000;

export interface DrainOptions {
  readonly reconciler: Pick<Reconciler, 'size' | 'empty'>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly timeoutMs: number;
}

/**
 * Waits while the BBS has a drained cell's instances replaced elsewhere and stops them here one by one, and while its Tasks come to
 * their ends. @returns whether nothing is left
 */
export async function untilDrained({ reconciler, clock, log, timeoutMs }: DrainOptions): Promise<boolean> {
  const deadlineMs = clock.now() + timeoutMs;
  const waiting = new AbortController();
  const emptied = reconciler.empty().then(() => 'emptied' as const);
  try {
    for (let leftMs = timeoutMs; leftMs > 0; leftMs = deadlineMs - clock.now()) {
      log.info(
        { left: reconciler.size, leftMs },
        'draining: waiting until everything here has been replaced or has ended',
      );
      const pause = clock.sleep(Math.min(PROGRESS_MS, leftMs), waiting.signal).then(
        () => 'waited' as const,
        () => 'waited' as const,
      );
      if ((await Promise.race([emptied, pause])) === 'emptied') {
        log.info('drained: nothing is left here');
        return true;
      }
    }
    log.warn({ left: reconciler.size }, 'not drained in time: what is left has not been replaced');
    return false;
  } finally {
    waiting.abort();
  }
}
