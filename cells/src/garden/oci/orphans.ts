import { readdirSync, readFileSync } from 'node:fs';
import type { Clock } from '@rivera/kit/clock';
import { MARK } from '../../kernel/agent-mark.js';
import { hasCode, isMissing } from '../../kernel/durable.js';
import { isAlive } from '../../kernel/proc.js';
import { send } from '../../kernel/send.js';

/** Killed programs are gone at once unless the kernel is in the middle of something for them. */
const END_TIMEOUT_MS = 10_000;

/**
 * Ends what agents that are dead left running in the middle of some work: a mount or a runtime that goes on would put back what
 * is being cleared away.
 */
export async function endOrphans(clock: Clock): Promise<void> {
  const deadline = clock.now() + END_TIMEOUT_MS;
  for (;;) {
    const orphans = readdirSync('/proc')
      .map(Number)
      .filter((pid) => pid > 0 && isOrphan(pid));
    if (orphans.length === 0) return;
    if (clock.now() > deadline) throw new Error(`commands of an earlier agent can't be ended: ${orphans.join(', ')}`);
    for (const pid of orphans) send(pid, 'SIGKILL');
    await clock.sleep(5);
  }
}

function isOrphan(pid: number): boolean {
  const mark = new RegExp(`(?:^|\\0)${MARK}=(\\d+)\\.(\\d+)(?:\\0|$)`).exec(environment(pid));
  return mark !== null && isAlive(pid) && !isAlive(Number(mark[1]), Number(mark[2]));
}

function environment(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1');
  } catch (error) {
    // What even root may not read is no command of ours.
    if (isMissing(error) || hasCode(error, 'EACCES') || hasCode(error, 'EPERM')) return '';
    throw error;
  }
}
