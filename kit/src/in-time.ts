/**
 * Does work that has to end in time: its signal aborts after `ms`, or with another one. Take this and not `AbortSignal.timeout` within
 * `AbortSignal.any`: there nothing holds the timeout in Node.js 20, and once the collector has taken it, it never comes.
 * @throws whatever the work makes of its signal, whose reason is a DOMException `TimeoutError` when the time is over
 */
export async function inTime<T>(
  ms: number,
  signal: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const over = new AbortController();
  const cut = (): void => over.abort(signal?.reason);
  if (signal?.aborted) cut();
  else signal?.addEventListener('abort', cut, { once: true });
  const late = (): void => over.abort(new DOMException('The operation was aborted due to timeout', 'TimeoutError'));
  const timer = setTimeout(late, ms);
  try {
    return await work(over.signal);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', cut);
  }
}
