import { readdir } from 'node:fs/promises';
import type { Clock } from '@rivera/kit/clock';
import { commandLine, type ProcessFacts, processFacts } from '../../../kernel/proc.js';
import { send } from '../../../kernel/send.js';
import type { ContainerCgroup } from '../cgroups/cgroup.js';
import type { ContainerPlaces } from '../places.js';
import { familyOf } from './signals.js';
import { livingSupervisor, type ProcessPlaces } from './supervisor.js';

/** What is killed is gone at once unless the kernel is in the middle of something for it. */
const END_TIMEOUT_MS = 10_000;
const PASS_MS = 5;

/** Where launched processes are: a container that lives, or did. */
export interface LaunchedIn {
  container: ContainerPlaces;
  cgroup: ContainerCgroup;
  /** Pid of its init on the host. */
  init: number;
  clock: Clock;
}

/**
 * Ends a supervisor, the runtime that starts its process, and whatever these have started, also where a full disk kept them from
 * writing down who they are.
 */
export async function endLaunch(places: ProcessPlaces, uuid: string, where: LaunchedIn): Promise<void> {
  await untilNone(where.clock, () => killStarters(places, uuid));
  await endStrays(where);
}

/** Ends processes of a container that nobody follows. */
export async function endStrays(where: LaunchedIn): Promise<void> {
  await untilNone(where.clock, () => killStrays(where));
}

async function untilNone(clock: Clock, pass: () => Promise<boolean>): Promise<void> {
  const deadline = clock.now() + END_TIMEOUT_MS;
  while ((await pass()) && clock.now() < deadline) await clock.sleep(PASS_MS);
}

/** The supervisor goes first, so that nothing follows; the runtime names the process's files. Tells whether there was anybody. */
async function killStarters(places: ProcessPlaces, uuid: string): Promise<boolean> {
  const supervisor = await livingSupervisor(places, uuid);
  const all = (await readdir('/proc')).flatMap((name) => processFacts(Number(name)) ?? []);
  const starters = all.filter(({ pid }) => pid === supervisor || commandLine(pid).includes(places.spec));
  if (supervisor !== undefined) send(supervisor, 'SIGKILL');
  for (const starter of starters)
    for (const { pid } of familyOf({ pid: starter.pid, startTime: starter.startTime }, all)) send(pid, 'SIGKILL');
  return starters.length > 0;
}

/**
 * Kills processes that came into the container under a supervisor or a runtime which is gone: nobody will ever tell how they end. The
 * kernel gives them a parent outside the container, and not its init, as it does with those that a process inside has left. Tells
 * whether there may be more of them.
 */
async function killStrays({ cgroup, container, init }: LaunchedIn): Promise<boolean> {
  const members = (await cgroup.pids()).flatMap((pid) => processFacts(pid) ?? []).filter(({ state }) => state !== 'Z');
  const inside = new Set(members.map(({ pid }) => pid));
  const entered = members.filter(({ pid, parent }) => pid !== init && !inside.has(parent));
  const unfollowed = entered.filter((facts) => !isFollowed(facts, container));
  for (const stray of unfollowed.filter(hasSettled)) {
    for (const { pid } of familyOf({ pid: stray.pid, startTime: stray.startTime }, members)) send(pid, 'SIGKILL');
  }
  return unfollowed.length > 0;
}

/** Supervisors, and runtimes that start something, name files of the container. */
function isFollowed({ parent }: ProcessFacts, container: ContainerPlaces): boolean {
  return commandLine(parent).some((word) => word.startsWith(`${container.dir}/`));
}

/** A parent that is ending has no command line any more, and is about to leave its children to another. */
function hasSettled({ pid, parent }: ProcessFacts): boolean {
  return commandLine(parent).length > 0 && processFacts(pid)?.parent === parent;
}
