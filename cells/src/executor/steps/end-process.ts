import type { ExitStatus, GardenProcess } from '../../garden/garden.js';
import type { StepContext } from './step.js';

/** How long a killed process may take to disappear. */
const AFTER_KILL_MS = 1000;

/**
 * Waits for a process; once the signal aborts it gets TERM, and KILL when it is still there after the graceful shutdown
 * interval (spec cell §22). Without an exit it didn't even heed KILL.
 */
export async function endProcess(
  process: GardenProcess,
  signal: AbortSignal,
  { lifetime, gracefulShutdownMs }: Pick<StepContext, 'lifetime' | 'gracefulShutdownMs'>,
): Promise<{ exit?: ExitStatus; killed: boolean }> {
  const exiting = lifetime.alive(process.wait());
  const aborted = untilAbort(signal);
  const exit = await Promise.race([exiting, aborted.promise]).finally(aborted.forget);
  if (exit) return { exit, killed: false };

  const graceful = await signalThenWait('SIGTERM', gracefulShutdownMs);
  if (graceful) return { exit: graceful, killed: false };
  const forced = await signalThenWait('SIGKILL', AFTER_KILL_MS);
  return { ...(forced && { exit: forced }), killed: true };

  async function signalThenWait(name: NodeJS.Signals, ms: number): Promise<ExitStatus | undefined> {
    // A signal that can't be delivered shows in the process not ending.
    const delivered = lifetime.alive(process.signal(name)).catch(() => {});
    const waiting = new AbortController();
    const inTime = await Promise.race([
      exiting,
      delivered.then(() => lifetime.pause(ms, waiting.signal)).then(() => undefined),
    ]);
    waiting.abort();
    return inTime;
  }
}

function untilAbort(signal: AbortSignal): { promise: Promise<undefined>; forget: () => void } {
  let forget = (): void => {};
  const promise = new Promise<undefined>((resolve) => {
    if (signal.aborted) {
      resolve(undefined);
      return;
    }
    const aborted = (): void => resolve(undefined);
    signal.addEventListener('abort', aborted, { once: true });
    forget = () => signal.removeEventListener('abort', aborted);
  });
  return { promise, forget };
}
