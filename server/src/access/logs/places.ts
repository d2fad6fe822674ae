import { RiveraError } from '@rivera/kit/errors';

/** A bound on how many do something at once; a few more wait in order of their coming. */
export class Places {
  private taken = 0;
  /** Who waits; each is called with a place that somebody left. */
  private readonly queue = new Set<() => void>();

  constructor(
    private readonly size: number,
    private readonly maxWaiting: number,
  ) {}

  /** A place if there is one now; returns how to leave it. */
  tryTake(): (() => void) | undefined {
    if (this.taken >= this.size) return undefined;
    this.taken++;
    return this.leaving();
  }

  /**
   * Waits for a place; returns how to leave it.
   * @throws TOO_MANY_REQUESTS when too many wait already, the signal's reason when it is aborted first
   */
  async take(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    const free = this.tryTake();
    if (free !== undefined) return free;
    if (this.queue.size >= this.maxWaiting) {
      throw new RiveraError('TOO_MANY_REQUESTS', 'too many logs are read at the moment', { retryDelayMs: 1_000 });
    }
    const leave = await this.turn(signal);
    if (signal.aborted) leave?.();
    signal.throwIfAborted();
    return leave as () => void;
  }

  /** Resolves with the place, or without one when the signal is aborted first. */
  private async turn(signal: AbortSignal): Promise<(() => void) | undefined> {
    let give: () => void = () => undefined;
    let giveUp: () => void = () => undefined;
    const place = new Promise<(() => void) | undefined>((resolve) => {
      give = () => resolve(this.leaving());
      giveUp = () => {
        this.queue.delete(give);
        resolve(undefined);
      };
    });
    this.queue.add(give);
    signal.addEventListener('abort', giveUp, { once: true });
    try {
      return await place;
    } finally {
      signal.removeEventListener('abort', giveUp);
    }
  }

  /** Who leaves hands the place on, so that nobody who comes later takes it. */
  private leaving(): () => void {
    let left = false;
    return () => {
      if (left) return;
      left = true;
      const [next] = this.queue;
      if (next === undefined) {
        this.taken--;
        return;
      }
      this.queue.delete(next);
      next();
    };
  }
}
