import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { atFailpoints } from '@rivera/kit/failpoint';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { commandLine } from '../../kernel/proc.js';
import { plainProcess, plainSpec } from '../contract.js';
import { type GardenContainer, GardenError } from '../garden.js';
import { ContainerCgroup } from './cgroups/cgroup.js';
import type { OciGarden } from './oci-garden.js';
import { cellPlaces } from './places.js';
import { chooseRuntime } from './runtime/choice.js';
import type { Runtime } from './runtime/runtime.js';
import { type ScratchCell, scratchCell } from './scratch-cell.js';
import { tracesOf } from './traces.js';

/*
 * A container's life with something breaking at each of its fail points. Each step may fail, with an error that says so; once all is
 * repaired the garden says of every container and process what the kernel says, so does a garden that starts anew, and everything
 * can be destroyed without a trace.
 */

const HANDLE = 'chaos';
/** No step may take longer, whatever is broken. */
const STEP_TIMEOUT_MS = 60_000;
const WAIT = { timeout: 30_000, interval: 10 };
/** A runtime that says nothing for so long is given up; real ones take milliseconds. */
const RUNTIME_TIMEOUT_MS = 2_000;

let cell: ScratchCell;
let garden: OciGarden;
let modeFile: string;

beforeAll(async () => {
  cell = await scratchCell();
  const { dataDir } = cell.options;
  mkdirSync(dataDir, { recursive: true });
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64m', 'chaos', dataDir]);
  const runtime = join(dirname(dataDir), 'runtime.sh');
  modeFile = `${runtime}.mode`;
  const { path } = (await chooseRuntime(cell.options.runtime ?? 'auto')).runtime as Runtime;
  writeFileSync(modeFile, '');
  writeFileSync(
    runtime,
    `#!/bin/sh
case "$(cat ${modeFile})" in
fail) echo 'out of order' >&2; exit 1 ;;
late) ${path} "$@"; exit 1 ;;
hang) : >${modeFile}; sleep 600; exit 1 ;;
unheard)
  : >${modeFile}
  ${path} "$@"
  while [ "$1" != --pid-file ]; do shift; done
  : >"$2"
  kill -9 $PPID
  exit 1 ;;
esac
exec ${path} "$@"
`,
  );
  chmodSync(runtime, 0o755);
  cell.options.runtime = runtime;
  cell.options.runtimeTimeoutMs = RUNTIME_TIMEOUT_MS;
  garden = await cell.open();
});
beforeEach(() => atFailpoints(undefined));
// Also after a failure, so that the next begins with nothing broken.
afterEach(heal);
afterAll(async () => {
  atFailpoints(undefined);
  heal();
  await garden?.close();
  await cell?.remove();
});

const places = () => cellPlaces(cell.options.dataDir, cell.options.cellId);
const filler = () => join(cell.options.dataDir, 'filler');

/** Each thing that breaks. */
const strikes: Record<string, () => void> = {
  'init is killed': () => kill(pidIn(places().container(HANDLE).initPidFile)),
  'supervisors are killed': () => {
    for (const pid of supervisors()) kill(pid);
  },
  'the runtime fails': () => writeFileSync(modeFile, 'fail'),
  'the runtime does its work and fails': () => writeFileSync(modeFile, 'late'),
  // Once, at its next call.
  'the runtime hangs': () => writeFileSync(modeFile, 'hang'),
  // As with a full disk: it has started the process, and nothing says which.
  'the supervisor dies before it can tell of its process': () => writeFileSync(modeFile, 'unheard'),
  'the disk is full': () => {
    // It fails when there is no more room.
    spawnSync('dd', ['if=/dev/zero', `of=${filler()}`, 'bs=64k']);
    expect(statfsSync(cell.options.dataDir).bavail).toBe(0);
  },
  'the disk is read-only': () => {
    // The kernel refuses while files are being written or removed.
    const remount = 'for i in $(seq 500); do mount -o remount,ro "$1" 2>/dev/null && exit; sleep 0.02; done; exit 1';
    execFileSync('sh', ['-c', remount, 'remount', cell.options.dataDir]);
  },
};

/** Everything is repaired but for what is dead. */
function heal(): void {
  writeFileSync(modeFile, '');
  execFileSync('mount', ['-o', 'remount,rw', cell.options.dataDir]);
  rmSync(filler(), { force: true });
}

/** While a process runs, or a disk image is mounted, the kernel lets nobody make the disk read-only. */
const STEPS = ['create', 'property', 'run', 'stop', 'destroy'];

/** Where each can happen and matters. */
const CASES: Record<string, string[]> = {
  'init is killed': [
    'container-made',
    'container-recorded',
    'change-recorded',
    'process-recorded',
    'supervisor-spawned',
    'supervisor-detached',
    'process-started',
    'process-exit-seen',
    'container-dying',
  ],
  'supervisors are killed': ['supervisor-spawned', 'supervisor-detached', 'process-started', 'container-dying'],
  'the runtime fails': ['container-half-made', 'change-recorded', 'process-recorded', 'container-dying'],
  'the runtime does its work and fails': ['container-half-made', 'change-recorded'],
  'the runtime hangs': ['container-half-made', 'change-recorded', 'process-recorded'],
  'the supervisor dies before it can tell of its process': ['process-recorded'],
  'the disk is full': [
    'container-half-made',
    'container-made',
    'container-recorded',
    'change-recorded',
    'process-recorded',
    'supervisor-spawned',
    'supervisor-detached',
    'process-started',
    'process-exit-seen',
    'container-dying',
    'container-killed',
    'container-half-destroyed',
  ],
};

describe.each(Object.entries(CASES))('when %s', (fault, points) => {
  it.each(points)(
    'at %s, garden and kernel agree afterwards, and nothing stays',
    { timeout: 180_000 },
    async (point) => {
      const strike = strikes[fault] as () => void;
      let struck = false;
      atFailpoints((name) => {
        if (struck || name !== `cell.${point}`) return;
        struck = true;
        strike();
      });
      await life();
      expect(struck).toBe(true);
      await repairedAndAgreed();
    },
  );
});

describe('when the disk is read-only', () => {
  it.each(STEPS)(
    'before %s, garden and kernel agree afterwards, and nothing stays',
    { timeout: 180_000 },
    async (step) => {
      // Without a disk image, which is open for writing and would keep the disk from it.
      await life({ before: step, strike: strikes['the disk is read-only'] as () => void, diskBytes: 0 });
      await repairedAndAgreed();
    },
  );
});

/** What happens to a container from its making to its end. Every step ends in time, well or with the garden's own error. */
async function life(o: { before?: string; strike?: () => void; diskBytes?: number } = {}): Promise<void> {
  const step = async <T>(name: string, work: () => Promise<T>): Promise<T | undefined> => {
    if (name === o.before) o.strike?.();
    const late = AbortSignal.timeout(STEP_TIMEOUT_MS);
    const timeout = new Promise<never>((_, reject) => {
      late.addEventListener('abort', () => reject(new Error(`${name} does not end`)));
    });
    return Promise.race([work(), timeout]).catch((error: unknown) => {
      expect(error, `${name} fails with an error of the garden`).toBeInstanceOf(GardenError);
      return undefined;
    });
  };
  const limits = { memoryBytes: 0, diskBytes: o.diskBytes ?? 4 * 1024 * 1024, pids: 50, cpuShares: 0 };
  const container = await step('create', () =>
    garden.create(plainSpec(HANDLE, cell.rootFs, { ports: [8080], limits })),
  );
  if (container) {
    await step('property', () => container.setProperty('a', 'b'));
    await step('limits', () => container.setLimits({ pids: 60 }));
    const sleep = { path: '/bin/sh', args: ['-c', 'echo said; sleep 1000'] };
    const process = await step('run', () => container.run(plainProcess('p', sleep)));
    // What was told to have failed must not run.
    if (!process) await vi.waitFor(async () => expect((await pidsOf(HANDLE)).others).toEqual([]), WAIT);
    await step('exec', async () => {
      const person = await container.exec({ path: '/bin/true', args: [], env: {}, dir: '', user: 'root' });
      person.stdout.resume();
      person.stderr.resume();
      await person.wait();
    });
    await step('signal', async () => process?.signal('SIGTERM'));
    await step('wait', async () => process?.wait());
    await step('stop', () => container.stop(50));
  }
  if (garden.lookup(HANDLE)) await step('destroy', () => garden.destroy(HANDLE));
}

it('makes a change of limits in the kernel that an earlier agent had only noted', async () => {
  const container = await garden.create(plainSpec(HANDLE, cell.rootFs));
  // As if the agent ended here.
  atFailpoints((name) => {
    if (name === 'cell.change-recorded') throw new GardenError('closed', 'power was cut');
  });
  await expect(container.setLimits({ pids: 77, memoryBytes: 32 * 1024 * 1024 })).rejects.toMatchObject({
    kind: 'closed',
  });
  expect((await container.limits()).pids).toBe(0);
  await repairedAndAgreed((found) =>
    expect(found.spec.limits).toMatchObject({ pids: 77, memoryBytes: 32 * 1024 * 1024 }),
  );
});

it('says that the disk is full where a start fails for want of it', async () => {
  const container = await garden.create(plainSpec(HANDLE, cell.rootFs));
  atFailpoints((name) => {
    if (name === 'cell.process-recorded') strikes['the disk is full']?.();
  });
  const starting = container.run(plainProcess('p', { path: '/bin/true', args: [] }));
  await expect(starting).rejects.toThrow(`no space is left at ${cell.options.dataDir}`);
  await repairedAndAgreed();
});

it('tells how a process ended that ended while the disk was full', async () => {
  const container = await garden.create(plainSpec(HANDLE, cell.rootFs));
  const script = 'trap "exit 7" TERM; echo set; sleep 1000 & wait';
  const process = await container.run(plainProcess('p', { path: '/bin/sh', args: ['-c', script] }));
  for await (const { data } of process.output()) if (data.includes('set')) break;
  strikes['the disk is full']?.();
  await process.signal('SIGTERM');
  expect(await process.wait()).toEqual({ code: 7, outOfMemory: false });
  await garden.close();
  garden = await cell.open();
  expect(await garden.lookup(HANDLE)?.attach('p')?.wait()).toEqual({ code: 7, outOfMemory: false });
  await repairedAndAgreed();
});

async function repairedAndAgreed(check: (found: GardenContainer) => void = () => undefined): Promise<void> {
  atFailpoints(undefined);
  heal();
  await agreed();
  await garden.close();
  garden = await cell.open();
  await agreed();
  garden.list().forEach(check);
  for (const { handle } of garden.list()) await garden.destroy(handle);
  expect(await cell.leaks()).toEqual([]);
  await vi.waitFor(() => expect(holders()).toEqual([]), WAIT);
}

/** What the garden says of its containers is what the kernel says. */
async function agreed(): Promise<void> {
  for (const container of garden.list()) {
    const { state, processes } = await container.status();
    const { init, others } = await pidsOf(container.handle);
    for (const { id, ended } of processes) {
      const end = await (container.attach(id) as NonNullable<ReturnType<GardenContainer['attach']>>).wait();
      expect(end, `${id} has an end, as nothing of this life runs for long`).toBeDefined();
      expect(ended || end !== undefined).toBe(true);
    }
    expect(others, 'no process runs of which the garden says that it has ended').toEqual([]);
    if (init === undefined) {
      expect(state).toBe('stopped');
      continue;
    }
    expect(await works(container)).toBe(true);
    expect(await container.limits()).toEqual(container.spec.limits);
  }
  // What is on the machine belongs to a container that the garden has, or to one that it has yet to take away.
  const known = new Set(garden.list().map(({ handle }) => handle));
  const strangers = () =>
    tracesOf(places()).then((traces) => traces.filter(({ handle }) => handle !== '' && !known.has(handle)));
  if ((await strangers()).length > 0) {
    await garden.destroy(HANDLE).catch((error: unknown) => expect(error).toMatchObject({ kind: 'not-found' }));
    // The kernel lets go of a loop device with the last use of its mount, which may be a moment later.
    await vi.waitFor(async () => expect(await strangers()).toEqual([]), WAIT);
  }
}

let checked = 0;
async function works(container: GardenContainer): Promise<boolean> {
  const process = await container.run(plainProcess(`check-${++checked}`, { path: '/bin/true', args: [] }));
  return (await process.wait()).code === 0;
}

/** Processes of a container, by the kernel. */
async function pidsOf(handle: string): Promise<{ init: number | undefined; others: number[] }> {
  const own = places().container(handle);
  const pids = await new ContainerCgroup(own.cgroup).pids();
  const init = pidIn(own.initPidFile);
  return { init: pids.includes(init) ? init : undefined, others: pids.filter((pid) => pid !== init) };
}

/** Who has files of the cell open, this program included: nobody, once there is no container. */
function holders(): string[] {
  return readdirSync('/proc').flatMap((pid) => {
    if (!/^\d+$/.test(pid)) return [];
    const open = linksIn(`/proc/${pid}/fd`).filter((path) => path.startsWith(`${cell.options.dataDir}/`));
    return open.map((path) => `${pid} (${commandLine(Number(pid))[0]}): ${path}`);
  });
}

function linksIn(dir: string): string[] {
  try {
    return readdirSync(dir).map((name) => readlinkSync(join(dir, name)));
  } catch {
    // The process has ended, or closed the file.
    return [];
  }
}

function supervisors(): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0)
    .filter((pid) => {
      const words = commandLine(pid);
      return words[0]?.endsWith('conmon') && words.some((word) => word.startsWith(`${places().containers}/`));
    });
}

function pidIn(file: string): number {
  try {
    return Number(readFileSync(file, 'utf8'));
  } catch {
    return 0;
  }
}

function kill(pid: number): void {
  if (pid <= 0) return;
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It was gone already.
  }
}
