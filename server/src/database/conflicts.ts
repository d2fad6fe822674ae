import { setTimeout as sleep } from 'node:timers/promises';
import { classifyDatabaseError, isDatabaseError } from './errors.js';

/** First pause before another try; doubles each time. */
const FIRST_BACKOFF_MS = 10;
/** How often to try when nobody says otherwise. */
const ATTEMPTS = 5;

/** Does work again that the server undid in favour of somebody else's: as often as `attempts` says (default 5), with growing pauses. */
export async function repeatOnConflict<T>(work: () => Promise<T>, attempts = ATTEMPTS): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      if (!isDatabaseError(error) || classifyDatabaseError(error) !== 'conflict' || attempt >= attempts) throw error;
      await sleep(FIRST_BACKOFF_MS * 2 ** (attempt - 1) * (0.5 + Math.random()));
    }
  }
}
