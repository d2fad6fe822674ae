import { readdirSync, readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import type { AdminPort } from './admin-port.js';

/** What a process used over a span, in cores: 1 is one core all the time. */
export interface ProcessUse {
  readonly name: string;
  readonly cores: number;
  /** Of the thread that used most. */
  readonly busiestThread: number;
}

/** Who used what over a span. */
export interface Use {
  readonly seconds: number;
  readonly processes: readonly ProcessUse[];
  readonly machineCores: number;
  /** Of the machine's cores together, 0..1: ours and everybody else's. */
  readonly machine: number;
  /** Part of the span in which the BBS had a transaction under way, 0..1; undefined: not asked. */
  readonly committing: number | undefined;
}

/** Ticks of /proc in a second. */
const HERTZ = 100;

/** Looks at processes from now on. Admin: of the server whose transactions are of interest. */
export async function watchUse(pids: Readonly<Record<string, number>>, admin?: AdminPort): Promise<() => Promise<Use>> {
  const commitSeconds = async () => (await admin?.metrics())?.sum('rivera_bbs_commit_seconds_sum');
  const committedBefore = await commitSeconds();
  const before = { atMs: performance.now(), machine: machineTicks(), threads: threadsOf(pids) };
  return async () => {
    const seconds = (performance.now() - before.atMs) / 1000;
    const machine = machineTicks();
    const threads = threadsOf(pids);
    const committed = await commitSeconds();
    const processes = Object.keys(pids).map((name) => {
      const used = [...(threads.get(name) ?? [])].map(
        ([tid, ticks]) => (ticks - (before.threads.get(name)?.get(tid) ?? 0)) / HERTZ / seconds,
      );
      return { name, cores: used.reduce((sum, each) => sum + each, 0), busiestThread: Math.max(0, ...used) };
    });
    return {
      seconds,
      processes,
      machineCores: cpus().length,
      machine: (machine.busy - before.machine.busy) / Math.max(1, machine.all - before.machine.all),
      committing:
        committed === undefined || committedBefore === undefined ? undefined : (committed - committedBefore) / seconds,
    };
  };
}

/** Resident memory of a process, in MiB. */
export function rssMb(pid: number): number {
  const kb = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kb ?? Number.NaN) / 1024;
}

/** CPU of each thread of each process. A thread that ends takes what it used with it; ours live as long as their process. */
function threadsOf(pids: Readonly<Record<string, number>>): Map<string, Map<string, number>> {
  return new Map(
    Object.entries(pids).map(([name, pid]) => {
      const tasks = `/proc/${pid}/task`;
      return [name, new Map(readdirSync(tasks).map((tid) => [tid, ticksIn(`${tasks}/${tid}/stat`)]))];
    }),
  );
}

function ticksIn(stat: string): number {
  const fields = readFileSync(stat, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return Number(fields[11]) + Number(fields[12]);
}

function machineTicks(): { busy: number; all: number } {
  const [first = ''] = readFileSync('/proc/stat', 'utf8').split('\n');
  const ticks = first.split(/\s+/).slice(1, 9).map(Number);
  const all = ticks.reduce((sum, each) => sum + each, 0);
  // Fields 4 and 5: idle, and idle until a disk answers.
  return { busy: all - (ticks[3] ?? 0) - (ticks[4] ?? 0), all };
}
