import type { Clock } from '@rivera/kit/clock';

/** Waits before something that failed for now is tried again; they double while nothing succeeds. */
const WAIT = { firstMs: 250, longestMs: 5_000 };

/** What is to be looked at again later, all of it on one timer. */
export class Retries {
  readonly #clock: Clock;
  readonly #due: (guid: string) => void;
  readonly #waiting = new Set<string>();
  #waitMs = WAIT.firstMs;
  #cancel: (() => void) | undefined;
  #closed = false;

  constructor(clock: Clock, due: (guid: string) => void) {
    this.#clock = clock;
    this.#due = due;
  }

  [Symbol.iterator](): Iterator<string> {
    return this.#waiting.values();
  }

  add(guid: string): void {
    this.#waiting.add(guid);
    if (this.#cancel !== undefined || this.#closed) return;
    this.#cancel = this.#clock.setTimer(this.#waitMs, () => {
      this.#cancel = undefined;
      this.#waitMs = Math.min(this.#waitMs * 2, WAIT.longestMs);
      for (const waiting of this.#waiting) this.#due(waiting);
      this.#waiting.clear();
    });
  }

  /** Something went well: the next failure waits briefly again. */
  succeeded(): void {
    this.#waitMs = WAIT.firstMs;
  }

  close(): void {
    this.#closed = true;
    this.#cancel?.();
    this.#waiting.clear();
  }
}
