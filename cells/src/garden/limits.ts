import { GardenError, type GardenLimits } from './garden.js';

/** The kernel counts processes in a 22-bit number. */
const MAX_PIDS = 4_194_304;
const MAX_CPU_SHARES = 262_144;
const MAX_CPU_MILLICORES = 10_000_000;
/** Cut or written when the container is made. */
const FIXED = ['diskBytes', 'inodes', 'cpuMillicores'] as const;

/** What stands against a change of limits, by name; empty: nothing. */
export function limitViolations(change: Partial<GardenLimits>): { name: keyof GardenLimits; rule: string }[] {
  const most: Record<keyof GardenLimits, number> = {
    memoryBytes: Number.MAX_SAFE_INTEGER,
    diskBytes: Number.MAX_SAFE_INTEGER,
    pids: MAX_PIDS,
    cpuShares: MAX_CPU_SHARES,
    cpuMillicores: MAX_CPU_MILLICORES,
    inodes: Number.MAX_SAFE_INTEGER,
  };
  const names = Object.keys(most) as (keyof GardenLimits)[];
  return names.flatMap((name) => {
    const value = change[name];
    if (value === undefined || (Number.isSafeInteger(value) && value >= 0 && value <= most[name])) return [];
    return [{ name, rule: `is a whole number within 0..${most[name]}; 0 means none` }];
  });
}

/**
 * What of a change differs from how things are.
 * @throws GardenError `invalid`; `unsupported` for another disk limit
 */
export function limitChange(now: GardenLimits, change: Partial<GardenLimits>): Partial<GardenLimits> {
  const [violation] = limitViolations(change);
  if (violation) throw new GardenError('invalid', `limit ${violation.name} ${violation.rule}`);
  for (const name of FIXED) {
    if (change[name] !== undefined && change[name] !== (now[name] ?? 0))
      throw new GardenError(
        'unsupported',
        `a container's limit ${name} can't be changed: it is set when the container is made`,
      );
  }
  const { memoryBytes, pids, cpuShares } = change;
  const entries = Object.entries({ memoryBytes, pids, cpuShares }).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries);
}
