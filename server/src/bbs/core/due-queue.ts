/**
 * What is to be looked at when, or goes in which order: one time per key, cheap to move. A binary heap of (time, key) in which
 * entries that were overtaken stay until they surface.
 */
export class DueQueue {
  private readonly dueAt = new Map<string, number>();
  private readonly heap: { at: number; key: string }[] = [];

  get size(): number {
    return this.dueAt.size;
  }

  /** When `key` is due; undefined: it is not. */
  at(key: string): number | undefined {
    return this.dueAt.get(key);
  }

  /** Looks at `key` at `at`, and not at the time set before. */
  set(key: string, at: number): void {
    if (this.dueAt.get(key) === at) return;
    this.dueAt.set(key, at);
    this.push({ at, key });
    if (this.heap.length > 64 && this.heap.length > 4 * this.dueAt.size) this.rebuild();
  }

  clear(key: string): void {
    this.dueAt.delete(key);
  }

  /** When the next key is due; undefined when none is. */
  next(): number | undefined {
    this.dropOvertaken();
    return this.heap[0]?.at;
  }

  /** The key with the earliest time; undefined when there is none. */
  first(): string | undefined {
    this.dropOvertaken();
    return this.heap[0]?.key;
  }

  /** Takes up to `limit` keys that are due at `now`, earliest first. */
  take(now: number, limit: number): string[] {
    const keys: string[] = [];
    while (keys.length < limit) {
      this.dropOvertaken();
      const top = this.heap[0];
      if (top === undefined || top.at > now) break;
      this.pop();
      this.dueAt.delete(top.key);
      keys.push(top.key);
    }
    return keys;
  }

  private dropOvertaken(): void {
    for (let top = this.heap[0]; top !== undefined && this.dueAt.get(top.key) !== top.at; top = this.heap[0])
      this.pop();
  }

  private rebuild(): void {
    this.heap.length = 0;
    for (const [key, at] of this.dueAt) this.push({ at, key });
  }

  private push(entry: { at: number; key: string }): void {
    const { heap } = this;
    let i = heap.length;
    heap.push(entry);
    while (i > 0) {
      const parent = (i - 1) >> 1;
      const above = heap[parent] as { at: number; key: string };
      if (above.at <= entry.at) break;
      heap[i] = above;
      i = parent;
    }
    heap[i] = entry;
  }

  private pop(): void {
    const { heap } = this;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      const right = heap[child + 1];
      if (right !== undefined && right.at < (heap[child] as { at: number }).at) child++;
      const below = heap[child] as { at: number; key: string };
      if (below.at >= last.at) break;
      heap[i] = below;
      i = child;
    }
    heap[i] = last;
  }
}
