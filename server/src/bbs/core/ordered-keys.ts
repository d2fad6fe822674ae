/**
 * Keys in order, for paging. Additions are gathered and merged when somebody reads, so that a burst of them costs one sort.
 */
export class OrderedKeys {
  private sorted: string[] = [];
  private readonly added = new Set<string>();
  private readonly removed = new Set<string>();

  add(key: string): void {
    if (!this.removed.delete(key)) this.added.add(key);
  }

  delete(key: string): void {
    if (!this.added.delete(key)) this.removed.add(key);
  }

  /** Keys greater than `key`, in order; all when it is ''. */
  *after(key: string): Generator<string> {
    this.merge();
    const keys = this.sorted;
    for (let i = key === '' ? 0 : upperBound(keys, key); i < keys.length; i++) {
      const candidate = keys[i] as string;
      if (!this.removed.has(candidate)) yield candidate;
    }
  }

  private merge(): void {
    if (this.added.size === 0 && this.removed.size === 0) return;
    const fresh = [...this.added].sort(compareKeys);
    const old = this.removed.size === 0 ? this.sorted : this.sorted.filter((key) => !this.removed.has(key));
    const merged: string[] = [];
    let i = 0;
    for (const key of fresh) {
      while (i < old.length && (old[i] as string) < key) merged.push(old[i++] as string);
      merged.push(key);
    }
    while (i < old.length) merged.push(old[i++] as string);
    this.sorted = merged;
    this.added.clear();
    this.removed.clear();
  }
}

function compareKeys(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function upperBound(keys: readonly string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((keys[middle] as string) <= key) low = middle + 1;
    else high = middle;
  }
  return low;
}
