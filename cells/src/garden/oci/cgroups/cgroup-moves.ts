import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cgroupDirectory, cgroupVersion } from './cgroup.js';

let underWay: Promise<void> | undefined;

/**
 * Spares the runtime a wait. Whoever moves a process between control groups waits until every CPU has gone through the kernel's
 * scheduler once, 5 to 15 ms, unless somebody else is doing so or did just now. The runtime always moves one. So this program is
 * moved, to where it is already, beside the work that comes before the runtime. Nothing depends on it: where it can't be done the runtime
 * waits.
 */
export function prepareMoves(): Promise<void> {
  underWay ??= moveNowhere()
    .catch(() => undefined)
    .finally(() => {
      underWay = undefined;
    });
  return underWay;
}

async function moveNowhere(): Promise<void> {
  const groups = await readFile('/proc/self/cgroup', 'utf8');
  // Any hierarchy does, as all of them wait for the same; of version 1 this one is needed anyway.
  const line = cgroupVersion === 2 ? /^0::(.*)$/m : /^\d+:pids:(.*)$/m;
  const path = line.exec(groups)?.[1];
  if (path !== undefined) await writeFile(join(cgroupDirectory(path, 'pids'), 'cgroup.procs'), String(process.pid));
}
