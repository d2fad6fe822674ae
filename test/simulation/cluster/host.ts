import type { Clock } from '@rivera/kit/clock';
import type { VirtualTime } from './virtual-time.js';

/** What the wall clocks of a healthy cluster show at its beginning: 2023-11-14. */
const EPOCH_MS = 1_700_000_000_000;

/**
 * A process of the cluster as far as time concerns it: its timers, what reaches it from outside, its idea of the time of day. A
 * dead one hears of nothing any more; a paused one, like a frozen virtual machine, hears of everything when it wakes.
 */
export class Host {
  /** Between the wall clock and the true time. */
  skewMs = 0;
  private dead = false;
  private backlog: (() => void)[] | undefined;

  constructor(
    readonly name: string,
    readonly time: VirtualTime,
  ) {}

  get alive(): boolean {
    return !this.dead;
  }

  get paused(): boolean {
    return this.backlog !== undefined;
  }

  /** Its wall clock and its timers. */
  readonly clock: Clock = {
    now: () => EPOCH_MS + Math.floor(this.time.nowMs) + this.skewMs,
    setTimer: (ms, fn) => this.after(ms, fn),
    sleep: (ms, signal) => this.sleep(ms, signal),
  };

  /** Milliseconds that never go back, whatever the wall clock does. */
  monotonicMs(): number {
    return this.time.nowMs;
  }

  /** Runs `fn` in so many milliseconds, or when the process is awake again; never once it is dead. */
  after(ms: number, fn: () => void): () => void {
    let cancelled = false;
    const cancel = this.time.after(ms, () =>
      this.deliver(() => {
        if (!cancelled) fn();
      }),
    );
    return () => {
      cancelled = true;
      cancel();
    };
  }

  /** Something reaches the process from outside. */
  deliver(fn: () => void): void {
    if (this.dead) return;
    if (this.backlog === undefined) fn();
    else this.backlog.push(fn);
  }

  pause(): void {
    if (!this.dead) this.backlog ??= [];
  }

  /** What came meanwhile comes now: in its order or, as timers and sockets have no order after a long sleep, the last first. */
  resume(lastFirst: boolean): void {
    const waiting = this.backlog ?? [];
    this.backlog = undefined;
    if (lastFirst) waiting.reverse();
    for (const fn of waiting) this.after(0, fn);
  }

  /** The process ends without a word. */
  kill(): void {
    this.dead = true;
    this.backlog = undefined;
  }

  private sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const onAbort = () => {
        cancel();
        reject(signal?.reason);
      };
      const cancel = this.after(ms, () => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      });
      signal?.addEventListener('abort', onAbort, { once: true });
      return undefined;
    });
  }
}
