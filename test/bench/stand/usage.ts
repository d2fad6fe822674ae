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
  /** Transactions of the BBS, one after another; undefined: not asked. */
  readonly commits: Commits | undefined;
}

export interface Commits {
  readonly count: number;
  /** Of all of them together. */
  readonly seconds: number;
}

/** Ticks of /proc in a second. */
const HERTZ = 100;

/** Processes by what they are; several of one kind count as one. */
export type Pids = Readonly<Record<string, number | readonly number[]>>;

/** Looks at processes from now on. Admin: of the server whose transactions are of interest. */
export async function watchUse(pids: Pids, admin?: AdminPort): Promise<() => Promise<Use>> {
  const committedBefore = await commitsOf(admin);
  const before = { atMs: performance.now(), machine: machineTicks(), threads: threadsOf(pids) };
  return async () => {
    const seconds = (performance.now() - before.atMs) / 1000;
    const machine = machineTicks();
    const threads = threadsOf(pids);
    const committed = await commitsOf(admin);
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
      commits: committed &&
        committedBefore && {
          count: committed.count - committedBefore.count,
          seconds: committed.seconds - committedBefore.seconds,
        },
    };
  };
}

async function commitsOf(admin: AdminPort | undefined): Promise<Commits | undefined> {
  const metrics = await admin?.metrics();
  return (
    metrics && {
      count: metrics.sum('rivera_bbs_commit_seconds_count'),
      seconds: metrics.sum('rivera_bbs_commit_seconds_sum'),
    }
  );
}

/** Resident memory of processes together, in MiB. */
export function rssMb(pids: number | readonly number[]): number {
  return [pids].flat().reduce((sum, pid) => {
    const kb = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return sum + Number(kb ?? Number.NaN) / 1024;
  }, 0);
}

/** CPU of each thread of each process. A thread that ends takes what it used with it; ours live as long as their process. */
function threadsOf(pids: Pids): Map<string, Map<string, number>> {
  return new Map(
    Object.entries(pids).map(([name, those]) => {
      const threads = [those].flat().flatMap((pid) => {
        const tasks = `/proc/${pid}/task`;
        return readdirSync(tasks).map((tid): [string, number] => [tid, ticksIn(`${tasks}/${tid}/stat`)]);
      });
      return [name, new Map(threads)];
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
