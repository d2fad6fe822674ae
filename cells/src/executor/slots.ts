import { untilAborted } from '@rivera/kit/single-flight';
import pLimit, { type LimitFunction } from 'p-limit';

/** A bounded number of things at once. Whoever waits for a slot goes away at once when it is cancelled. */
export class Slots {
  readonly #limit: LimitFunction;

  constructor(count: number) {
    this.#limit = pLimit(count);
  }

  run<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    let started = false;
    const running = this.#limit(() => {
      signal.throwIfAborted();
      started = true;
      return work();
    });
    running.catch(() => {});
    // Work that has begun heeds the signal itself and is waited for, so that nothing of it is left behind.
    return untilAborted(running, signal).catch((error) => {
      if (started) return running;
      throw error;
    });
  }
}
