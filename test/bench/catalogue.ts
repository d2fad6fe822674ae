import { auction } from './auction.js';
import { burst } from './burst.js';
import { containerLeaks } from './container-leaks.js';
import { containerStart } from './container-start.js';
import { convergence } from './convergence.js';
import { desire } from './desire.js';
import type { Report } from './figures.js';
import { listing } from './listing.js';
import { memory } from './memory.js';
import { ssh } from './ssh.js';
import { takeover } from './takeover.js';
import { taskLatency } from './task-latency.js';
import { taskLives } from './task-lives.js';
import { transitions } from './transitions.js';
import { watch } from './watch.js';

/** What the command line may set; unset: the benchmark's own. */
export interface Sizes {
  readonly lrps: number | undefined;
  readonly count: number | undefined;
  readonly cells: number | undefined;
}

export interface Benchmark {
  /** One line for people. */
  readonly purpose: string;
  readonly run: (report: Report, sizes: Sizes) => Promise<void>;
}

export const BENCHMARKS: Readonly<Record<string, Benchmark>> = {
  transitions: {
    purpose: 'claims, starts, crashes and whole lives of LRPs a second, through 20 sessions (--lrps 50000)',
    run: (report, { lrps = 50_000 }) => transitions(report, { lrps }),
  },
  desire: {
    purpose: 'desires a second, by single calls of 64 callers and in bulk (--lrps 20000)',
    run: (report, { lrps = 20_000 }) => desire(report, { lrps }),
  },
  'task-lives': {
    purpose: 'whole lives of Tasks a second, by single calls of 64 callers and in bulk, no containers (--count 20000)',
    run: (report, { count = 20_000 }) => taskLives(report, { tasks: count }),
  },
  burst: {
    purpose: 'from an empty cluster to all instances RUNNING on simulated cells (--lrps 250000 --cells 1000)',
    run: (report, { lrps = 250_000, cells = 1_000 }) => burst(report, { lrps, cells }),
  },
  listing: {
    purpose: 'all actual and all desired LRPs through the API, and what it leaves in memory (--lrps 250000)',
    run: (report, { lrps = 250_000 }) => listing(report, { lrps }),
  },
  convergence: {
    purpose: 'a pass over what is due and a full audit, with nothing and with 1 % to do (--lrps 250000)',
    run: (report, { lrps = 250_000 }) => convergence(report, { lrps }),
  },
  takeover: {
    purpose: 'from the end of the leader to the first write of the standby (--lrps 250000 --count 3 rounds)',
    run: (report, { lrps = 250_000, count = 3 }) => takeover(report, { lrps, rounds: count }),
  },
  watch: {
    purpose: '50 watchers: delay, events a second, and what they cost the transitions (--lrps 50000)',
    run: (report, { lrps = 50_000 }) => watch(report, { lrps }),
  },
  'task-latency': {
    purpose: 'from asking for a Task to knowing its end, in real containers (--count 60)',
    run: (report, { count = 60 }) => taskLatency(report, { tasks: count }),
  },
  'container-start': {
    purpose: 'from asking for a container to its first process, by phase; 200 idle ones (--count 40 --lrps 200)',
    run: (report, { count = 40, lrps = 200 }) => containerStart(report, { samples: count, idle: lrps }),
  },
  'container-leaks': {
    purpose: 'containers made and destroyed over and over, and what they leave (--count 10 rounds --lrps 200)',
    run: (report, { count = 10, lrps = 200 }) => containerLeaks(report, { rounds: count, containers: lrps }),
  },
  ssh: {
    purpose: 'logins, handshakes and MB/s through the SSH proxy beside sshd, and 500 idle sessions (--count 15 logins)',
    run: (report, { count = 15 }) => ssh(report, { logins: count }),
  },
  auction: {
    purpose: 'placements a second and the spread over cells, up to 10,000 cells x 1,000,000 LRPs, in one process',
    run: (report) => auction(report),
  },
  memory: {
    purpose: 'resident memory of each process with all LRPs RUNNING on 100 simulated cells (--lrps 50000)',
    run: (report, { lrps = 50_000 }) => memory(report, { lrps }),
  },
};
