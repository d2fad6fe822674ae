import { setMaxListeners } from 'node:events';
import type { Clock } from '@rivera/kit/clock';
import { GardenError } from '../garden/garden.js';

/**
 * How long an executor lives, and what must not outlive it. Letting go is not the same as stopping: once it is over, work
 * that was under way is neither finished nor failed but *hangs*, so that nothing after it acts on a container that
 * now belongs to the next executor. Hanging promises are collected with what refers to them.
 */
export class Lifetime {
  readonly #controller = new AbortController();
  readonly #timers = new Set<() => void>();
  readonly #working = new Set<Promise<unknown>>();

  constructor(
    /** The time of day. */
    readonly clock: Clock,
    /** What deadlines are reckoned by: it doesn't leap. */
    readonly steady: Clock = clock,
  ) {
    setMaxListeners(0, this.#controller.signal);
  }

  /** Aborts when it is over; for transfers, which have to be cut. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get over(): boolean {
    return this.#controller.signal.aborted;
  }

  /** The outcome of the work, as long as this lives. */
  async alive<T>(work: Promise<T>): Promise<T> {
    try {
      const value = await work;
      if (!this.over) return value;
    } catch (error) {
      // A garden that is closed first says nothing about the containers.
      const gardenIsClosed = error instanceof GardenError && error.kind === 'closed';
      if (!this.over && !gardenIsClosed) throw error;
    }
    return new Promise<T>(() => {});
  }

  /** Work that `end` waits for, such as a call of the garden that can't be cut. */
  track<T>(work: Promise<T>): Promise<T> {
    this.#working.add(work);
    const forget = (): void => void this.#working.delete(work);
    work.then(forget, forget);
    return work;
  }

  /** Calls once after `ms`, unless it is cancelled or over before. */
  timer(ms: number, fn: () => void): () => void {
    if (this.over) return () => {};
    const cancelClock = this.clock.setTimer(ms, () => {
      this.#timers.delete(cancel);
      fn();
    });
    const cancel = (): void => {
      this.#timers.delete(cancel);
      cancelClock();
    };
    this.#timers.add(cancel);
    return cancel;
  }

  /** True when the time went by, false when the signal cut it short. */
  pause(ms: number, signal?: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      if (this.over) return;
      if (signal?.aborted) {
        resolve(false);
        return;
      }
      const aborted = (): void => {
        cancel();
        resolve(false);
      };
      const cancel = this.timer(ms, () => {
        signal?.removeEventListener('abort', aborted);
        resolve(true);
      });
      signal?.addEventListener('abort', aborted, { once: true });
    });
  }

  /** Ends it: timers are cancelled, transfers cut, and what is tracked is waited for. */
  async end(): Promise<void> {
    this.#controller.abort(new Error('the executor is closed'));
    for (const cancel of [...this.#timers]) cancel();
    await Promise.allSettled([...this.#working]);
  }
}
