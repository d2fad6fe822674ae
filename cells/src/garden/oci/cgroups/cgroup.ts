import { existsSync, readdirSync } from 'node:fs';
import { readdir, readFile, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '@rivera/kit/clock';
import { hasCode, isMissing, readIfPresent } from '../../../kernel/durable.js';
import { send } from '../../../kernel/send.js';

/** Where version 1 has no limit of memory, it tells the most that it can count, rounded down to pages. */
const ENDLESS = 2 ** 62;
const MOUNT = '/sys/fs/cgroup';

/** One hierarchy for all controllers (v2), or one each (v1, also with an empty v2 mount beside it). */
export const cgroupVersion: 1 | 2 = existsSync(join(MOUNT, 'cgroup.controllers')) ? 2 : 1;

/** Where version 2 is mounted beside version 1; undefined where there is only one of them. */
export function hybridMount(): string | undefined {
  const mount = join(MOUNT, 'unified');
  return cgroupVersion === 1 && existsSync(join(mount, 'cgroup.controllers')) ? mount : undefined;
}

/** Whether memory and swap together can be limited; v2 always can. */
export function hasSwapLimit(): boolean {
  return cgroupVersion === 2 || existsSync(join(MOUNT, 'memory/memory.memsw.limit_in_bytes'));
}

/** Directories that stand for a path: one, or one for each controller. */
export function cgroupDirectories(path: string): string[] {
  if (cgroupVersion === 2) return [join(MOUNT, path)];
  const controllers = readdirSync(MOUNT, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return controllers.map((entry) => join(MOUNT, entry.name, path));
}

/** Where the kernel shows a control group to a controller, which matters in version 1. */
export function cgroupDirectory(path: string, controller: string): string {
  return cgroupVersion === 2 ? join(MOUNT, path) : join(MOUNT, controller, path);
}

/** Usage as the kernel counts it. */
export interface CgroupUsage {
  memoryBytes: number;
  cpuTimeNs: number;
  pids: number;
}

/** The control group of a container: who is in it, what it uses, and the end of both. */
export class ContainerCgroup {
  constructor(readonly path: string) {}

  /** Processes in it and in the groups below it, by their pid on the host. Empty when it doesn't exist. */
  async pids(): Promise<number[]> {
    const groups = await groupsAt(this.directory('pids'));
    const texts = await Promise.all(groups.map((group) => readIfPresent(join(group, 'cgroup.procs')).catch(gone)));
    return texts.flatMap((text) => (text ?? '').split('\n').filter(Boolean).map(Number));
  }

  /** How often the kernel killed something in it, or in the groups below it, for want of memory. */
  async oomKills(): Promise<number> {
    const top = this.directory('memory');
    // Version 2 counts for all above as well, version 1 where it happens.
    const groups = cgroupVersion === 2 ? [top] : await groupsAt(top);
    return (await Promise.all(groups.map(oomKillsOf))).reduce((sum, count) => sum + count, 0);
  }

  /** A limit as the kernel holds it; 0: none. */
  async limit(controller: string, name: string): Promise<number> {
    const text = (await readFile(this.file(controller, name), 'utf8')).trim();
    return text === 'max' || Number(text) >= ENDLESS ? 0 : Number(text);
  }

  /** What it uses now; memory without file cache that could be dropped at once. */
  async usage(): Promise<CgroupUsage> {
    const number = async (controller: string, file: string) =>
      Number((await readFile(this.file(controller, file), 'utf8')).trim());
    const stat = async (controller: string, file: string, key: string) =>
      Number(new RegExp(`^${key} (\\d+)`, 'm').exec(await readFile(this.file(controller, file), 'utf8'))?.[1] ?? 0);
    const v2 = cgroupVersion === 2;
    const [used, inactive, cpuTimeNs, pids] = await Promise.all([
      number('memory', v2 ? 'memory.current' : 'memory.usage_in_bytes'),
      stat('memory', 'memory.stat', v2 ? 'inactive_file' : 'total_inactive_file'),
      v2 ? stat('cpu', 'cpu.stat', 'usage_usec').then((us) => us * 1000) : number('cpuacct', 'cpuacct.usage'),
      number('pids', 'pids.current'),
    ]);
    return { memoryBytes: Math.max(0, used - inactive), cpuTimeNs, pids };
  }

  /**
   * Kills whatever is in it until nothing is. The first process goes first: when it is the init of a pid namespace the
   * kernel takes all the others with it, so that not even a fork bomb gets away.
   */
  async killAll(clock: Clock, o: { init?: number; timeoutMs: number }): Promise<void> {
    const deadline = clock.now() + o.timeoutMs;
    for (let pauseMs = 1; ; pauseMs = Math.min(pauseMs * 1.5, 50)) {
      const pids = await this.pids();
      if (pids.length === 0) return;
      if (clock.now() > deadline) throw new Error(`processes survive KILL: ${pids.join(', ')}`);
      const targets = o.init !== undefined && pids.includes(o.init) ? [o.init] : pids;
      for (const pid of targets) send(pid, 'SIGKILL');
      await clock.sleep(pauseMs);
    }
  }

  /** Removes it and what is below it from every hierarchy. Fine when it isn't there; throws when somebody is still inside. */
  async remove(): Promise<void> {
    await Promise.all(cgroupDirectories(this.path).map((directory) => removeGroup(directory)));
  }

  /** Where the kernel shows it to a controller. */
  directory(controller: string): string {
    return cgroupDirectory(this.path, controller);
  }

  private file(controller: string, name: string): string {
    return join(this.directory(controller), name);
  }
}

/** Control groups that a cell has for all of its containers, once it has none. */
export async function removeEmptyGroups(path: string): Promise<void> {
  await Promise.all(cgroupDirectories(path).map(removeDirectory));
}

/** How often the kernel killed something for want of memory: in version 1 in this group, in version 2 also in those below. */
export async function oomKillsOf(directory: string): Promise<number> {
  const file = cgroupVersion === 2 ? 'memory.events' : 'memory.oom_control';
  const text = await readIfPresent(join(directory, file)).catch(gone);
  return Number(/^oom_kill (\d+)/m.exec(text ?? '')?.[1] ?? 0);
}

/** A group and all below it, from the top down; none when it doesn't exist. */
async function groupsAt(directory: string): Promise<string[]> {
  const below = await subgroups(directory);
  return [directory, ...(await Promise.all(below.map(groupsAt))).flat()];
}

async function subgroups(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true }).catch((error: unknown) => {
    if (isMissing(error)) return [];
    throw error;
  });
  return entries.filter((entry) => entry.isDirectory()).map((entry) => join(directory, entry.name));
}

/** The kernel refuses to remove one that has others below it; few have. */
async function removeGroup(directory: string): Promise<void> {
  await removeDirectory(directory).catch(async (error: unknown) => {
    if (!hasCode(error, 'EBUSY')) throw error;
    await Promise.all((await subgroups(directory)).map(removeGroup));
    await removeDirectory(directory);
  });
}

async function removeDirectory(directory: string): Promise<void> {
  await rmdir(directory).catch((error: unknown) => {
    if (!isMissing(error)) throw error;
  });
}

/** A group that is being removed answers reads with ENODEV; one of threads has its processes listed above it. */
function gone(error: unknown): undefined {
  if (hasCode(error, 'ENODEV') || hasCode(error, 'EOPNOTSUPP')) return undefined;
  throw error;
}
