import { EXIT } from './failures.js';

/**
 * Signals this close together are one: `npm start` hands on the signal that the terminal has sent to us as well, so a single
 * Ctrl-C arrives twice.
 */
const ONE_GESTURE_MS = 500;

/**
 * What Ctrl-C and TERM mean: the first one asks the command to end in order, the second one to end at once.
 */
export class Interrupts {
  readonly #asked = new AbortController();
  readonly #forced = new AbortController();
  readonly #now: () => number;
  #first: NodeJS.Signals | undefined;
  #lastMs = Number.NEGATIVE_INFINITY;
  #count = 0;

  /** @param now milliseconds of a clock that never goes back */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Aborted by the first signal. */
  get signal(): AbortSignal {
    return this.#asked.signal;
  }

  /** Aborted by the second signal. */
  get forced(): AbortSignal {
    return this.#forced.signal;
  }

  /** The exit code that the first signal stands for; undefined while there was none. */
  get exitCode(): number | undefined {
    if (this.#first === undefined) return undefined;
    return this.#first === 'SIGINT' ? EXIT.interrupted : EXIT.terminated;
  }

  /** @returns how many signals there were, this one included */
  deliver(name: NodeJS.Signals): number {
    const now = this.#now();
    if (now - this.#lastMs < ONE_GESTURE_MS) return this.#count;
    this.#lastMs = now;
    this.#count++;
    this.#first ??= name;
    if (this.#count === 1) this.#asked.abort();
    else this.#forced.abort();
    return this.#count;
  }
}
