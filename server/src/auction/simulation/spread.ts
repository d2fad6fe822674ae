/** How evenly something is spread over places. */
export interface Spread {
  readonly least: number;
  readonly most: number;
  readonly mean: number;
  /** Standard deviation over all places. */
  readonly deviation: number;
}

/** @param counts of each place; all 0 when there is no place */
export function spreadOf(counts: readonly number[]): Spread {
  if (counts.length === 0) return { least: 0, most: 0, mean: 0, deviation: 0 };
  let least = Number.POSITIVE_INFINITY;
  let most = Number.NEGATIVE_INFINITY;
  let sum = 0;
  for (const count of counts) {
    least = Math.min(least, count);
    most = Math.max(most, count);
    sum += count;
  }
  const mean = sum / counts.length;
  let squares = 0;
  for (const count of counts) squares += (count - mean) ** 2;
  return { least, most, mean, deviation: Math.sqrt(squares / counts.length) };
}
