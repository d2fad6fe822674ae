import { existsSync, readdirSync } from 'node:fs';
import { readFile, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '@rivera/kit/clock';
import { hasCode, isMissing, readIfPresent } from './durable.js';

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

/** A file of a control group; the controller says where it is in version 1. */
export function cgroupFile({ path, controller, name }: { path: string; controller: string; name: string }): string {
  return cgroupVersion === 2 ? join(MOUNT, path, name) : join(MOUNT, controller, path, name);
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

  /** Processes in it, by their pid on the host. Empty when it doesn't exist. */
  async pids(): Promise<number[]> {
    const text = await readIfPresent(this.file('pids', 'cgroup.procs')).catch(gone);
    return (text ?? '').split('\n').filter(Boolean).map(Number);
  }

  /** How often the kernel killed something in it for want of memory. */
  async oomKills(): Promise<number> {
    const file = cgroupVersion === 2 ? 'memory.events' : 'memory.oom_control';
    const text = await readIfPresent(this.file('memory', file)).catch(gone);
    return Number(/^oom_kill (\d+)/m.exec(text ?? '')?.[1] ?? 0);
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
      for (const pid of targets) tryKill(pid);
      await clock.sleep(pauseMs);
    }
  }

  /** Removes it from every hierarchy. Fine when it isn't there; throws when somebody is still inside. */
  async remove(): Promise<void> {
    await Promise.all(
      cgroupDirectories(this.path).map((directory) =>
        rmdir(directory).catch((error: unknown) => {
          if (!isMissing(error)) throw error;
        }),
      ),
    );
  }

  private file(controller: string, name: string): string {
    return cgroupFile({ path: this.path, controller, name });
  }
}

function tryKill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}

/** A group that is being removed answers reads with ENODEV. */
function gone(error: unknown): undefined {
  if (hasCode(error, 'ENODEV')) return undefined;
  throw error;
}
