import { readFileSync } from 'node:fs';
import { GardenError, RLIMITS, type Rlimit } from '../../garden.js';

/** As the kernel lists them in /proc/PID/limits. */
const LISTED_AS: Record<Rlimit, string> = {
  as: 'Max address space',
  core: 'Max core file size',
  cpu: 'Max cpu time',
  data: 'Max data size',
  fsize: 'Max file size',
  locks: 'Max file locks',
  memlock: 'Max locked memory',
  msgqueue: 'Max msgqueue size',
  nice: 'Max nice priority',
  nofile: 'Max open files',
  nproc: 'Max processes',
  rss: 'Max resident set',
  rtprio: 'Max realtime priority',
  sigpending: 'Max pending signals',
  stack: 'Max stack size',
};

const own = parseLimits(readFileSync('/proc/self/limits', 'utf8'));

/** The agent's own hard limit: more can't be given away without CAP_SYS_RESOURCE. Infinity: none. */
export function hardLimit(name: Rlimit): number {
  return own[name];
}

/** Hard limits in a kernel's table. */
export function parseLimits(table: string): Record<Rlimit, number> {
  const lines = table.split('\n');
  const hard = (name: Rlimit): number => {
    const listed = LISTED_AS[name];
    const line = lines.find((each) => each.startsWith(`${listed} `));
    const value = line?.slice(listed.length).trim().split(/\s+/)[1];
    return value === undefined || value === 'unlimited' ? Number.POSITIVE_INFINITY : Number(value);
  };
  return Object.fromEntries(RLIMITS.map((name) => [name, hard(name)])) as Record<Rlimit, number>;
}

/** Limits of a process as the runtime wants them. @throws GardenError `process-failed` */
export function rlimitsOf(wanted: Partial<Record<Rlimit, number>>): { type: string; hard: number; soft: number }[] {
  return Object.entries(wanted).map(([name, value]) => {
    const known = RLIMITS.find((each) => each === name);
    if (!known) throw new GardenError('process-failed', `there is no rlimit '${name.slice(0, 20)}'`);
    if (!Number.isSafeInteger(value) || value < 0)
      throw new GardenError('process-failed', `rlimit ${known}: ${value} is not a whole number from 0 on`);
    if (value > hardLimit(known))
      throw new GardenError('process-failed', `rlimit ${known}: ${value} is above this cell's own ${hardLimit(known)}`);
    return { type: `RLIMIT_${known.toUpperCase()}`, hard: value, soft: value };
  });
}
