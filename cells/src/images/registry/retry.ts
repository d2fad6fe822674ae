import type { Clock } from '@rivera/kit/clock';
import { ImageError } from '../image-error.js';
import { TemporaryError, UnusableError } from './http.js';

export interface RetrySettings {
  /** In all, per request. */
  attempts: number;
  /** Waited before the second attempt, doubled for each further one. */
  retryBaseMs: number;
}

/** What is tried again. */
export interface Attempts extends RetrySettings {
  clock: Clock;
  signal: AbortSignal;
  /** The image, for the message. */
  name: string;
}

/** Does the work until it succeeds or fails for good. @throws ImageError, `unreachable` after the last attempt */
export async function withRetries<T>(work: () => Promise<T>, o: Attempts): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (error instanceof UnusableError)
        throw new ImageError('unreachable', `image ${o.name}: ${error.message}`, { cause: error });
      if (!(error instanceof TemporaryError)) throw error;
      if (attempt >= o.attempts)
        throw new ImageError('unreachable', `image ${o.name}: its registry can't be used: ${error.message}`, {
          cause: error,
        });
      await o.clock.sleep(o.retryBaseMs * 2 ** (attempt - 1), o.signal);
    }
  }
}
