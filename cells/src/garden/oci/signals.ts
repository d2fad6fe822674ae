import type { ContainerCgroup } from './cgroup.js';
import { isAlive, type ProcessFacts, processFacts } from './proc.js';
import { send } from './send.js';

/** A process of a container by what can't be mistaken for another. */
export interface ProcessIdentity {
  pid: number;
  startTime: number;
}

/** Passes over a family that goes on forking before the rest is left to the container's end. */
const KILL_PASSES = 20;

/**
 * Signals a process that must still be the same and in its container: a pid alone may long be somebody else's. Its whole
 * process group gets the signal, as from a terminal; KILL goes to everything that descends from it or shares its session.
 */
export async function signalProcess(
  cgroup: ContainerCgroup,
  target: ProcessIdentity,
  signal: NodeJS.Signals,
): Promise<void> {
  if (signal === 'SIGKILL') return killFamily(cgroup, target);
  if (!(await isMember(cgroup, target))) return;
  const facts = processFacts(target.pid);
  if (facts) send(facts.group === target.pid ? -target.pid : target.pid, signal);
}

/** Kills a process and whatever came of it, also when it is gone itself and only its session is left. */
async function killFamily(cgroup: ContainerCgroup, target: ProcessIdentity): Promise<void> {
  for (let pass = 0; pass < KILL_PASSES; pass++) {
    const members = (await cgroup.pids())
      .map(processFacts)
      .filter((facts) => facts !== undefined && facts.state !== 'Z');
    const family = familyOf(target, members as ProcessFacts[]);
    if (family.length === 0) return;
    for (const facts of family) send(facts.pid, 'SIGKILL');
  }
}

/** The process, its descendants and its session. A session can't outlive its pid's reuse: the kernel keeps the number taken. */
export function familyOf(target: ProcessIdentity, members: ProcessFacts[]): ProcessFacts[] {
  const leader = members.find((facts) => facts.pid === target.pid);
  if (leader && leader.startTime !== target.startTime) return [];
  const family = new Set<number>([target.pid]);
  for (let grown = true; grown; ) {
    grown = false;
    for (const facts of members) {
      if (family.has(facts.pid) || !(family.has(facts.parent) || facts.session === target.pid)) continue;
      family.add(facts.pid);
      grown = true;
    }
  }
  return members.filter((facts) => family.has(facts.pid));
}

async function isMember(cgroup: ContainerCgroup, target: ProcessIdentity): Promise<boolean> {
  return isAlive(target.pid, target.startTime) && (await cgroup.pids()).includes(target.pid);
}
