import type { LogEntry } from '@rivera/gen/rivera/rep/v1/container';

/** What a reader may fall behind by. */
export interface FollowerBounds {
  lines: number;
  bytes: number;
}

/** A reader of what is written from now on. When it falls behind, the oldest lines it has not read are given up, and counted. */
export class Follower {
  #queue: LogEntry[] = [];
  #head = 0;
  #bytes = 0;
  #dropped = 0;
  #wake: (() => void) | undefined;

  constructor(
    private readonly matches: (entry: LogEntry) => boolean,
    private readonly bounds: FollowerBounds,
  ) {}

  offer(entry: LogEntry): void {
    if (!this.matches(entry)) return;
    this.#queue.push(entry);
    this.#bytes += entry.payload.length;
    while (this.#queue.length - this.#head > this.bounds.lines || this.#bytes > this.bounds.bytes) {
      const lost = this.#queue[this.#head] as LogEntry;
      this.#bytes -= lost.payload.length;
      this.#head++;
      this.#dropped++;
    }
    if (this.#head > 1024 && this.#head * 2 > this.#queue.length) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
    this.#wake?.();
  }

  /** What there is, when there is something; undefined when the signal aborts. */
  async take(signal: AbortSignal): Promise<{ entries: LogEntry[]; dropped: number } | undefined> {
    while (this.#queue.length === this.#head) {
      if (signal.aborted) return undefined;
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          signal.removeEventListener('abort', wake);
          this.#wake = undefined;
          resolve();
        };
        this.#wake = wake;
        signal.addEventListener('abort', wake, { once: true });
      });
    }
    if (signal.aborted) return undefined;
    const taken = { entries: this.#queue.slice(this.#head), dropped: this.#dropped };
    this.#queue = [];
    this.#head = 0;
    this.#bytes = 0;
    this.#dropped = 0;
    return taken;
  }
}
