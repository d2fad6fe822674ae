/** How often something happened since the start of the agent, and how long it took the last time. */
export interface Tally {
  succeeded: number;
  failed: number;
  lastSucceededMs: number;
  lastFailedMs: number;
}

/** What an executor has counted since it was started. */
export interface ExecutorCounters {
  /** Certificates of containers. */
  credentials: Tally;
  /** From the beginning of a container's making to the end of its setup (spec cell §18). */
  setups: Tally;
  /** Processes that were still there when the time for a graceful end was over. */
  exitedOnTimeout: number;
  /** Containers that ended because this kind of check found them unhealthy. */
  livenessFailures: { [kind in CheckKind]: number };
}

/** How health is found out. */
export type CheckKind = 'tcp' | 'http' | 'monitor';

export function newCounters(): ExecutorCounters {
  return {
    credentials: newTally(),
    setups: newTally(),
    exitedOnTimeout: 0,
    livenessFailures: { tcp: 0, http: 0, monitor: 0 },
  };
}

/** Counts one more. */
export function count(tally: Tally, { ok, ms }: { ok: boolean; ms: number }): void {
  if (ok) {
    tally.succeeded++;
    tally.lastSucceededMs = ms;
  } else {
    tally.failed++;
    tally.lastFailedMs = ms;
  }
}

function newTally(): Tally {
  return { succeeded: 0, failed: 0, lastSucceededMs: 0, lastFailedMs: 0 };
}
