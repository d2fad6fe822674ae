import type { Clock } from '@rivera/kit/clock';

/**
 * Notices that nobody has used a container for as long as it may go unused. Time counts only while no use is under way, and from
 * the end of the last one.
 */
export class Grace {
  private uses = 0;
  private cancel: () => void = () => undefined;
  private over = false;

  constructor(
    private readonly clock: Clock,
    private graceTimeMs: number,
    private readonly onUnused: () => void,
  ) {
    this.wind();
  }

  /** From now on another time; it counts from now. */
  set(graceTimeMs: number): void {
    this.graceTimeMs = graceTimeMs;
    this.wind();
  }

  /** A use begins; returns how to end it, once. */
  begin(): () => void {
    this.uses++;
    this.cancel();
    let ended = false;
    return () => {
      if (ended) return;
      ended = true;
      this.uses--;
      this.wind();
    };
  }

  /** One use from its beginning to its end. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    const end = this.begin();
    try {
      return await work();
    } finally {
      end();
    }
  }

  close(): void {
    this.over = true;
    this.cancel();
  }

  /** Goes on after `close`. */
  open(): void {
    this.over = false;
    this.wind();
  }

  private wind(): void {
    this.cancel();
    if (this.over || this.uses > 0 || this.graceTimeMs === 0) return;
    this.cancel = this.clock.setTimer(this.graceTimeMs, this.onUnused, { unref: true });
  }
}
