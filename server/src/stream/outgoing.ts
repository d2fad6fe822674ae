/** A second bound for items that differ in size. */
export interface OutgoingBytes<T> {
  /** Bytes that may wait. One item larger than this passes when nothing else waits, since it would never fit. */
  readonly maxBytes?: number;
  /** What an item weighs, in bytes; asked once for each. */
  readonly weigh?: (item: T) => number;
}

/**
 * What waits to be written to a stream. A reader that does not keep up makes `push` fail: the stream is then ended, and the
 * peer comes back with a fresh view, which costs less than unbounded memory.
 */
export class Outgoing<T> implements AsyncIterable<T> {
  private items: T[] = [];
  /** Of the items, at the same places; empty when nothing is weighed. */
  private weights: number[] = [];
  private bytes = 0;
  /** Items before this one have been read. */
  private head = 0;
  private wake: (() => void) | undefined;
  private ended: { error?: Error } | undefined;
  private readonly maxBytes: number;
  private readonly weigh: ((item: T) => number) | undefined;

  /** @param capacity items that may wait */
  constructor(
    private readonly capacity: number,
    { maxBytes = Number.POSITIVE_INFINITY, weigh }: OutgoingBytes<T> = {},
  ) {
    this.maxBytes = maxBytes;
    this.weigh = weigh;
  }

  /** @returns false when there is no room or the stream has ended */
  push(item: T): boolean {
    const waiting = this.items.length - this.head;
    if (this.ended !== undefined || waiting >= this.capacity) return false;
    if (this.weigh !== undefined) {
      const weight = this.weigh(item);
      if (waiting > 0 && this.bytes + weight > this.maxBytes) return false;
      this.weights.push(weight);
      this.bytes += weight;
    }
    this.items.push(item);
    this.wake?.();
    return true;
  }

  /** Ends the stream behind what waits, or at once when it failed. */
  end(error?: Error): void {
    if (this.ended !== undefined) return;
    this.ended = error === undefined ? {} : { error };
    if (error !== undefined) {
      this.items = [];
      this.weights = [];
      this.bytes = 0;
      this.head = 0;
    }
    this.wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    for (;;) {
      if (this.head < this.items.length) {
        yield this.take();
        continue;
      }
      if (this.ended?.error !== undefined) throw this.ended.error;
      if (this.ended !== undefined) return;
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
      this.wake = undefined;
    }
  }

  /** Reading moves an index; the list is shortened when half of it has been read, so that each item costs the same. */
  private take(): T {
    const item = this.items[this.head] as T;
    this.bytes -= this.weights[this.head] ?? 0;
    this.head++;
    if (this.head === this.items.length || this.head > 1_024) {
      if (this.head * 2 >= this.items.length) {
        this.items = this.items.slice(this.head);
        this.weights = this.weights.slice(this.head);
        this.head = 0;
      }
    }
    return item;
  }
}
