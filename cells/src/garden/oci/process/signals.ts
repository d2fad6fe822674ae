import { isAlive, type ProcessFacts, processFacts } from '../../../kernel/proc.js';
import { send } from '../../../kernel/send.js';
import type { ContainerCgroup } from '../cgroups/cgroup.js';

/** A process of a container by what can't be mistaken for another. */
export interface ProcessIdentity {
  pid: number;
  startTime: number;
  /** Session it was in when it was known to run. With crun it leads none: a process that has ended outside the container did. */
  session?: number;
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
  if (!facts) return;
  if (facts.group === target.pid) return send(-target.pid, signal);
  for (const pid of groupOf(facts, await membersOf(cgroup))) send(pid, signal);
}

/**
 * Whom a signal for a process is for that doesn't lead its group. One that was put into a group of the container gets it alone; where
 * the group's leader was the runtime, the group is the process's own.
 */
export function groupOf(target: ProcessFacts, members: ProcessFacts[]): number[] {
  if (members.some(({ pid }) => pid === target.group)) return [target.pid];
  return members.filter(({ group, pid }) => group === target.group || pid === target.pid).map(({ pid }) => pid);
}

async function membersOf(cgroup: ContainerCgroup): Promise<ProcessFacts[]> {
  return (await cgroup.pids()).flatMap((pid) => processFacts(pid) ?? []);
}

/** Kills a process and whatever came of it, also when it is gone itself and only its session is left. */
async function killFamily(cgroup: ContainerCgroup, target: ProcessIdentity): Promise<void> {
  for (let pass = 0; pass < KILL_PASSES; pass++) {
    const members = (await membersOf(cgroup)).filter(({ state }) => state !== 'Z');
    const family = familyOf(target, members);
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
      const joined = facts.session === target.pid || facts.session === target.session;
      if (family.has(facts.pid) || !(family.has(facts.parent) || joined)) continue;
      family.add(facts.pid);
      grown = true;
    }
  }
  return members.filter((facts) => family.has(facts.pid));
}

async function isMember(cgroup: ContainerCgroup, target: ProcessIdentity): Promise<boolean> {
  return isAlive(target.pid, target.startTime) && (await cgroup.pids()).includes(target.pid);
}
