/** Time as an argument: whoever waits or looks at the time takes a Clock, so that a test or the simulator owns it. */
export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /** Resolves after `ms`; rejects with the signal's reason when that is aborted first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Calls `fn` once after `ms`; the returned function cancels. An unref'd timer does not keep the process alive. */
  setTimer(ms: number, fn: () => void, options?: { unref?: boolean }): () => void;
}

/** setTimeout fires at once for anything longer than this. */
const LONGEST_TIMEOUT_MS = 2 ** 31 - 1;

/** The machine's own time. */
export const systemClock: Clock = {
  now: () => Date.now(),
  sleep(ms, signal) {
    return sleepWith((delay, fn) => systemClock.setTimer(delay, fn), ms, signal);
  },
  setTimer(ms, fn, options) {
    let timer: NodeJS.Timeout;
    const wait = (left: number): void => {
      const step = Math.min(left, LONGEST_TIMEOUT_MS);
      timer = setTimeout(() => (step < left ? wait(left - step) : fn()), step);
      if (options?.unref) timer.unref();
    };
    wait(ms);
    return () => clearTimeout(timer);
  },
};

/**
 * The machine's time for whoever measures how long something takes: it begins at the machine's own and is never set, neither forward
 * nor back. What it shows drifts from the date by as much as that is set, so it is not for what people read or certificates say.
 */
export const steadyClock: Clock = { ...systemClock, now: () => performance.timeOrigin + performance.now() };

interface Timer {
  readonly at: number;
  readonly order: number;
  readonly fn: () => void;
}

/** A clock that moves only when told to, for tests. Timers fire in the order of their time, then of their making. */
export class ManualClock implements Clock {
  #now: number;
  #made = 0;
  readonly #timers = new Set<Timer>();

  constructor(startMs = 0) {
    this.#now = startMs;
  }

  now(): number {
    return this.#now;
  }

  /** How many timers and sleeps are waiting. */
  get pending(): number {
    return this.#timers.size;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return sleepWith((delay, fn) => this.setTimer(delay, fn), ms, signal);
  }

  setTimer(ms: number, fn: () => void): () => void {
    const timer: Timer = { at: this.#now + Math.max(0, ms), order: this.#made++, fn };
    this.#timers.add(timer);
    return () => {
      this.#timers.delete(timer);
    };
  }

  /**
   * Moves time on by `ms` and fires what falls due, each timer at its own time. What the timers set off gets
   * its turn before the next one fires, so a timer that they make within the span fires as well.
   */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    await turn();
    for (let timer = this.#firstUntil(end); timer; timer = this.#firstUntil(end)) {
      this.#timers.delete(timer);
      this.#now = timer.at;
      timer.fn();
      await turn();
    }
    this.#now = end;
  }

  #firstUntil(end: number): Timer | undefined {
    let first: Timer | undefined;
    for (const timer of this.#timers) {
      if (timer.at > end) continue;
      if (!first || timer.at < first.at || (timer.at === first.at && timer.order < first.order)) first = timer;
    }
    return first;
  }
}

/** Lets every promise that is settled by now run its continuations. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function sleepWith(
  setTimer: (ms: number, fn: () => void) => () => void,
  ms: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const onAbort = (): void => {
      cancel();
      reject(signal?.reason);
    };
    const cancel = setTimer(ms, () => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    });
    signal?.addEventListener('abort', onAbort, { once: true });
    return undefined;
  });
}
