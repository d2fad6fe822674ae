/** How fast a child that dies is started again. */
export interface BackoffPolicy {
  /** Wait after the first death. */
  firstMs: number;
  /** Longest wait. */
  longestMs: number;
  /** A child that ran this long counts as healthy: the count starts again. */
  healthyAfterMs: number;
}

export const BACKOFF: BackoffPolicy = { firstMs: 200, longestMs: 30_000, healthyAfterMs: 30_000 };

/**
 * What follows a death.
 * @param deathsBefore deaths in a row, without this one
 * @param ranForMs how long it ran this time
 */
export function afterDeath(
  deathsBefore: number,
  ranForMs: number,
  policy: BackoffPolicy,
): { deaths: number; waitMs: number } {
  const deaths = ranForMs >= policy.healthyAfterMs ? 1 : deathsBefore + 1;
  return { deaths, waitMs: Math.min(policy.longestMs, policy.firstMs * 2 ** (deaths - 1)) };
}
