import { DeadlineExceededError } from '../errors.js';

/** How long to wait for something to come about. */
export interface WaitOptions {
  /** Gives up when aborted. */
  signal?: AbortSignal | undefined;
  /** Milliseconds; default 10 minutes; `Infinity`: for ever. */
  timeoutMs?: number | undefined;
}

const DEFAULT_WAIT_MS = 10 * 60 * 1000;
/** Longest time that Node's timers can hold. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Runs `body` with a signal that aborts with the caller's, or when time is over; that makes a {@link DeadlineExceededError}. */
export async function within<T>(
  what: string,
  { signal, timeoutMs = DEFAULT_WAIT_MS }: WaitOptions,
  body: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const onAbort = () => controller.abort(signal?.reason);
  if (signal?.aborted) onAbort();
  signal?.addEventListener('abort', onAbort, { once: true });
  let late = false;
  const onTime = () => {
    late = true;
    controller.abort();
  };
  const timer = timeoutMs <= LONGEST_TIMER_MS ? setTimeout(onTime, timeoutMs) : undefined;
  try {
    return await body(controller.signal);
  } catch (error) {
    if (late) throw new DeadlineExceededError({ message: `${what} not within ${timeoutMs} ms`, cause: error });
    throw error;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
  }
}
