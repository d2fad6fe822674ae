/** Longer ones count as this long. */
const MAX_MS = 120_000;

/** Delays in steps of a millisecond, however many they are. */
export class DelayHistogram {
  private readonly counts = new Uint32Array(MAX_MS + 1);
  count = 0;

  add(delayMs: number): void {
    const step = Math.min(MAX_MS, Math.max(0, Math.round(delayMs)));
    this.counts[step] = (this.counts[step] ?? 0) + 1;
    this.count++;
  }

  /** NaN when there are none. */
  quantile(part: number): number {
    let below = 0;
    for (const [ms, count] of this.counts.entries()) {
      below += count;
      if (below > part * this.count) return ms;
    }
    return Number.NaN;
  }
}
