import type { Logger } from '@rivera/kit/log';
import { isUnwanted } from './core/converge.js';
import type { State } from './core/state.js';
import type { Pace } from './pace.js';

/** When a comparison of everything stops nothing, as the fault may be in what it compares with. */
export interface MassStopNumbers {
  /** A domain must be vouched for at least so long after the unwanted instances were found. */
  readonly graceMs: number;
  /** More than this part of all instances must have become unwanted. */
  readonly fraction: number;
  /** And at least so many. */
  readonly minimumInstances: number;
}

/**
 * Keeps one empty or partial listing from stopping what runs. Who removes LRPs stops their instances in the same breath, so a
 * comparison that suddenly finds many unwanted ones has most likely lost sight of what is desired. They are left alone until a
 * client vouches for their domain anew, having had the time to see what is missing.
 */
export class MassStopGuard {
  private readonly vouchedAtMs = new Map<string, number>();
  private heldSinceMs: number | undefined;
  /** Unwanted instances that are left alone. */
  held = 0;

  constructor(
    private readonly numbers: MassStopNumbers,
    private readonly log: Logger,
  ) {}

  /** A client says that what is desired in the domain is complete. */
  vouched(domain: string, now: number): void {
    this.vouchedAtMs.set(domain, now);
  }

  /** Counts what nobody desires. @returns which domains' instances may be stopped */
  async look(state: State, now: number, pace: Pace): Promise<(domain: string) => boolean> {
    const unwanted = await unwantedByDomain(state, now, pace);
    const count = [...unwanted.values()].reduce((sum, each) => sum + each, 0);
    const many = count >= this.numbers.minimumInstances && count > this.numbers.fraction * state.actualLrpCount;
    if (!many) {
      this.heldSinceMs = undefined;
      this.held = 0;
      return () => true;
    }
    this.heldSinceMs ??= now;
    const vouchedAfterMs = this.heldSinceMs + this.numbers.graceMs;
    const mayStop = (domain: string) => (this.vouchedAtMs.get(domain) ?? 0) >= vouchedAfterMs;
    const heldDomains = [...unwanted.keys()].filter((domain) => !mayStop(domain));
    this.held = heldDomains.reduce((sum, domain) => sum + (unwanted.get(domain) ?? 0), 0);
    if (this.held > 0) {
      this.log.error(
        { unwanted: count, instances: state.actualLrpCount, domains: heldDomains.slice(0, 10) },
        'most instances are desired by nobody all at once: none is stopped until their domains are vouched for anew',
      );
    }
    return mayStop;
  }
}

async function unwantedByDomain(state: State, now: number, pace: Pace): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  for (const processGuid of [...state.slotOrder.after('')]) {
    const pause = pace.step();
    if (pause !== undefined) await pause;
    for (const [, { ordinary, others }] of state.slotsOf(processGuid)) {
      for (const row of others.length === 0 ? [ordinary] : [ordinary, ...others]) {
        if (row === undefined || !isUnwanted({ state, now }, row)) continue;
        counts.set(row.domain, (counts.get(row.domain) ?? 0) + 1);
      }
    }
  }
  return counts;
}
