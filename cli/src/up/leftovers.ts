import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isAlive, type ProcessIdentity } from './process-identity.js';

/** How long a leftover may take to end after TERM. */
const GRACE_MS = 5_000;

/**
 * Ends what an earlier `rivera up` left running when it was killed itself, as recorded in the run folder. A cell gets KILL at once:
 * asked politely it would stop its containers, while a killed cell's containers live on and are adopted by the next one.
 * @returns names of what was ended
 */
export async function endLeftovers(runDir: string, graceMs = GRACE_MS): Promise<string[]> {
  const ended: string[] = [];
  for (const file of readdirSync(runDir).filter((name) => name.endsWith('.pid'))) {
    const path = join(runDir, file);
    const name = file.slice(0, -'.pid'.length);
    const identity = readIdentity(path);
    if (identity !== undefined && isAlive(identity)) {
      await end(identity, name.startsWith('cell') ? 0 : graceMs);
      ended.push(name);
    }
    rmSync(path, { force: true });
  }
  return ended;
}

async function end(identity: ProcessIdentity, graceMs: number): Promise<void> {
  if (graceMs > 0) signal(identity, 'SIGTERM');
  const killAt = performance.now() + graceMs;
  let killed = false;
  while (isAlive(identity)) {
    if (!killed && performance.now() >= killAt) {
      signal(identity, 'SIGKILL');
      killed = true;
    }
    await sleep(20);
  }
}

/** Sends a signal; a process that has ended meanwhile needs none. */
function signal(identity: ProcessIdentity, name: NodeJS.Signals): void {
  try {
    process.kill(identity.pid, name);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}

function readIdentity(path: string): ProcessIdentity | undefined {
  try {
    const value = JSON.parse(readFileSync(path, 'utf8')) as Partial<ProcessIdentity>;
    return typeof value.pid === 'number' && typeof value.startTime === 'string'
      ? { pid: value.pid, startTime: value.startTime }
      : undefined;
  } catch {
    return undefined;
  }
}
