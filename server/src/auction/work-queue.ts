import { compareWork, type PlaceableWork } from './work.js';

interface Entry {
  work: PlaceableWork;
  /** Where it is in the heap. */
  at: number;
}

/**
 * Work that waits to be placed, in the order of {@link compareWork}: a binary heap that also knows every piece by its key. What
 * arrives during a storm goes where it belongs at once, and no batch is ever sorted as a whole.
 */
export class WorkQueue {
  private readonly heap: Entry[] = [];
  private readonly byKey = new Map<string, Entry>();

  get size(): number {
    return this.heap.length;
  }

  has(key: string): boolean {
    return this.byKey.has(key);
  }

  /** @returns false when the key waits already: the first stays, the newcomer is dropped */
  push(work: PlaceableWork): boolean {
    if (this.byKey.has(work.key)) return false;
    const entry = { work, at: this.heap.length };
    this.byKey.set(work.key, entry);
    this.heap.push(entry);
    this.rise(entry);
    return true;
  }

  /** Takes the first. */
  pop(): PlaceableWork | undefined {
    const first = this.heap[0];
    return first && this.take(first.work.key);
  }

  /** Takes one out of turn. @returns undefined when it doesn't wait */
  take(key: string): PlaceableWork | undefined {
    const entry = this.byKey.get(key);
    if (entry === undefined) return undefined;
    this.byKey.delete(key);
    const last = this.heap.pop() as Entry;
    if (last === entry) return entry.work;
    last.at = entry.at;
    this.heap[last.at] = last;
    this.rise(last);
    this.sink(last);
    return entry.work;
  }

  private rise(entry: Entry): void {
    while (entry.at > 0) {
      const parent = this.heap[(entry.at - 1) >> 1] as Entry;
      if (compareWork(parent.work, entry.work) <= 0) return;
      this.swap(parent, entry);
    }
  }

  private sink(entry: Entry): void {
    for (;;) {
      const left = this.heap[2 * entry.at + 1];
      const right = this.heap[2 * entry.at + 2];
      if (left === undefined) return;
      const lesser = right !== undefined && compareWork(right.work, left.work) < 0 ? right : left;
      if (compareWork(entry.work, lesser.work) <= 0) return;
      this.swap(entry, lesser);
    }
  }

  private swap(a: Entry, b: Entry): void {
    const at = a.at;
    a.at = b.at;
    b.at = at;
    this.heap[a.at] = a;
    this.heap[b.at] = b;
  }
}
