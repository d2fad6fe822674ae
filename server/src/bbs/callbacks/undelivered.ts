/**
 * Why nothing was delivered, for whoever finds the dead letter: the system's own words, such as "connect ECONNREFUSED 10.0.0.7:80".
 * A name with several addresses fails with an error for each and no words of its own: then the first one's count.
 */
export function whyNotDelivered(error: unknown, { timeoutMs }: { timeoutMs: number }): string {
  if (!(error instanceof Error)) return String(error);
  if (isTimeout(error)) return `no answer within ${timeoutMs} ms`;
  if (error.message !== '') return error.message;
  return error instanceof AggregateError && error.errors.length > 0
    ? whyNotDelivered(error.errors[0], { timeoutMs })
    : error.name;
}

/** An aborted request says no more than that it was; the reason is its cause. */
function isTimeout({ name, cause }: Error): boolean {
  return name === 'TimeoutError' || (cause instanceof Error && isTimeout(cause));
}
