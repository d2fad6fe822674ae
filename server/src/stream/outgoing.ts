/**
 * What waits to be written to a stream. A reader that does not keep up makes `push` fail: the stream is then ended, and the
 * peer comes back with a fresh view, which costs less than unbounded memory.
 */
export class Outgoing<T> implements AsyncIterable<T> {
  private items: T[] = [];
  /** Items before this one have been read. */
  private head = 0;
  private wake: (() => void) | undefined;
  private ended: { error?: Error } | undefined;

  constructor(private readonly capacity: number) {}

  /** @returns false when there is no room or the stream has ended */
  push(item: T): boolean {
    if (this.ended !== undefined || this.items.length - this.head >= this.capacity) return false;
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
    this.head++;
    if (this.head === this.items.length || this.head > 1_024) {
      if (this.head * 2 >= this.items.length) {
        this.items = this.items.slice(this.head);
        this.head = 0;
      }
    }
    return item;
  }
}
