import { setTimeout as delay } from 'node:timers/promises';

/** Time, chance and environment, given so that tests can decide them. */
export interface Runtime {
  /** Monotonic milliseconds. */
  now(): number;
  /** Resolves after `ms` or as soon as the signal aborts, whichever is first. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
  /** Uniform in [0, 1). */
  random(): number;
  readonly env: Readonly<Record<string, string | undefined>>;
}

export const systemRuntime: Runtime = {
  now: () => performance.now(),
  sleep: async (ms, signal) => {
    try {
      await delay(ms, undefined, { signal });
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  },
  random: Math.random,
  env: process.env,
};
