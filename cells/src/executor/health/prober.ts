import type { Check } from '@rivera/gen/rivera/recipe/v1/action';

/** Where a container is probed. */
export interface ProbeTarget {
  /** Address inside the network of containers. */
  address: string;
  timeoutMs: number;
}

/** Makes one probe of a container. */
export interface Prober {
  /** Undefined when it succeeded, else why not, for users. Rejects only when the signal aborts. */
  probe(check: Check, target: ProbeTarget, signal: AbortSignal): Promise<string | undefined>;
}

/** Whether a check says what to probe; the others are skipped (spec cell §23.1). */
export function isValidCheck(check: Check): boolean {
  const port = check.probe?.value.port ?? 0;
  return Number.isInteger(port) && port >= 1 && port <= 65_535;
}
