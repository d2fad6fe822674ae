import { createHash } from 'node:crypto';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { failpoint } from '@rivera/kit/failpoint';
import { agentMark } from '../../../kernel/agent-mark.js';
import { hasCode, readIfPresent, writeDurably } from '../../../kernel/durable.js';
import { PERL } from '../../../kernel/kernel-script.js';
import { launch as launchProgram } from '../../../kernel/launcher.js';
import { commandLine } from '../../../kernel/proc.js';
import { STANDARD_FILES_SCRIPT } from '../../../kernel/standard-files.js';
import { syncDirectory } from '../../../kernel/sync-directory.js';
import { GardenError, type MemoryShare } from '../../garden.js';
import type { Membership } from '../cgroups/memory-shares.js';
import type { ContainerPlaces } from '../places.js';

/** The supervisor detaches in milliseconds; this long only on a machine in trouble. */
const START_TIMEOUT_MS = 60_000;

/** What a process leaves behind. The order in which these appear is what makes a crash at any point tell its story. */
export interface ProcessPlaces {
  dir: string;
  /** Written before anything is launched: with it the process may have run, without it it never did. */
  record: string;
  spec: string;
  pidFile: string;
  supervisorPid: string;
  /** What the supervisor reports: the pid or why there is none, then the exit code. */
  report: string;
  log: string;
  /** Where the supervisor works once the process has ended: not on the disk, which may be full then. */
  exitDir: string;
  /** Written by the supervisor, at once, when the process has ended. */
  exit: string;
  /** How it ended, as this garden told it. */
  ended: string;
}

/** Durable facts of a process. */
export interface ProcessRecord {
  id: string;
  /** Appears in the supervisor's command line. */
  uuid: string;
  launchedAtMs: number;
  /** Share of memory that it has; absent: what the container has. */
  memoryShare?: MemoryShare;
  /** What goes into it; absent: nothing. */
  input?: 'pipe' | 'terminal';
}

/** Places of a process. */
export function processPlaces(container: ContainerPlaces, id: string): ProcessPlaces {
  const dir = join(container.processes, id);
  const exitDir = join(container.ends, id);
  return {
    dir,
    record: join(dir, 'record.json'),
    spec: join(dir, 'spec.json'),
    pidFile: join(dir, 'pid'),
    supervisorPid: join(dir, 'conmon.pid'),
    report: join(dir, 'report'),
    log: join(dir, 'log'),
    exitDir,
    exit: join(exitDir, container.handle),
    ended: join(dir, 'ended.json'),
  };
}

/** Names a process for the supervisor. */
export function processUuid(o: { cellId: string; handle: string; id: string }): string {
  return createHash('sha256').update(`${o.cellId}/${o.handle}/${o.id}`).digest('hex').slice(0, 32);
}

/**
 * Takes an id and makes durable that the process is going to be launched.
 * @throws GardenError `process-exists`
 */
export async function recordLaunch(places: ProcessPlaces, record: ProcessRecord, spec: object): Promise<void> {
  try {
    await mkdir(places.dir, { mode: 0o700 });
  } catch (error) {
    if (hasCode(error, 'EEXIST')) throw new GardenError('process-exists', `process '${record.id}' exists already`);
    throw error;
  }
  // Nothing is launched before all of this is done, so these may come to be in any order.
  await Promise.all([
    writeFile(places.spec, JSON.stringify(spec), { mode: 0o600 }),
    writeDurably(places.record, JSON.stringify(record)),
    syncDirectory(join(places.dir, '..')),
    mkdir(places.exitDir, { recursive: true, mode: 0o700 }),
  ]);
}

/**
 * Starts the supervisor and returns once it runs on its own; the outcome appears in the report. The report is a file and not a
 * pipe, so that the supervisor doesn't die of an agent that dies at this moment.
 */
export async function launch(o: {
  places: ProcessPlaces;
  uuid: string;
  handle: string;
  runtime: { path: string; root: string };
  /** Host id of the container's root, who is to own its output; undefined when that is the host's root. */
  owner: number | undefined;
  outputLimitBytes: number;
  membership: Membership;
  input?: ProcessRecord['input'];
}): Promise<void> {
  const { places } = o;
  const args = ['--api-version', '1', '--full-attach', '--exec', '--log-level', 'error', '-c', o.handle, '-u', o.uuid];
  const { path, root } = o.runtime;
  const [program = path, ...words] = [
    ...[PERL, '-e', STANDARD_FILES_SCRIPT, String(o.owner ?? '')],
    ...[...o.membership.wrapper, path, '--root', root],
  ];
  args.push('-r', program, ...words.flatMap((word) => ['--runtime-arg', word]), '-b', places.dir);
  args.push('--exec-process-spec', places.spec, '-p', places.pidFile, '--conmon-pidfile', places.supervisorPid);
  args.push(
    '-l',
    `k8s-file:${places.log}`,
    '--log-size-max',
    String(o.outputLimitBytes),
    '--exit-dir',
    places.exitDir,
    '--no-sync-log',
  );
  if (o.input === 'pipe') args.push('-i');
  args.push(...o.membership.options.flatMap((option) => ['--runtime-opt', option]));
  // A terminal stays open when the bridge to it ends: others may come, also from a later agent.
  if (o.input === 'terminal') args.push('-i', '-t', '--leave-stdin-open');
  const env = { PATH: process.env.PATH, LC_ALL: 'C', _OCI_SYNCPIPE: '3' };
  const request = { argv: ['conmon', ...args], env, discardOutput: true, timeoutMs: START_TIMEOUT_MS };
  // It leaves a file "oom" where it works when the container runs out of memory.
  const launched = launchProgram(
    { ...request, cwd: places.dir, report: places.report },
    { ...process.env, ...agentMark },
  );
  failpoint('cell.supervisor-spawned');
  const { code, signal } = await launched;
  if (code !== 0) throw new Error(`conmon ended with ${code ?? signal}`);
  failpoint('cell.supervisor-detached');
}

/** What the supervisor said of the start. */
export interface LaunchReport {
  /** On the host. */
  pid?: number;
  failure?: string;
}

/** The supervisor's word on the start, undefined until there is one. */
export async function readReport(places: ProcessPlaces): Promise<LaunchReport | undefined> {
  const text = await readIfPresent(places.report);
  const end = text?.indexOf('\n') ?? -1;
  if (text === undefined || end < 0) return undefined;
  const { data, message } = JSON.parse(text.slice(0, end)) as { data: number; message?: string };
  return data > 0 ? { pid: data } : { failure: runtimeMessage(message ?? 'the runtime gave no reason') };
}

/** The runtime's messages come wrapped in its log format. */
export function runtimeMessage(text: string): string {
  const messages = [...text.matchAll(/msg="((?:[^"\\]|\\.)*)"/g)].map((match) =>
    (match[1] ?? '').replace(/\\(.)/g, '$1'),
  );
  return (messages.join('; ') || text).trim().slice(0, 2000);
}

/** Pid of the living supervisor of a process; undefined when it is gone. */
export async function livingSupervisor(places: ProcessPlaces, uuid: string): Promise<number | undefined> {
  const pid = Number(await readIfPresent(places.supervisorPid));
  if (pid > 0 && commandLine(pid).includes(uuid)) return pid;
  return undefined;
}

/** Whether a supervisor is there that has not said who it is yet; on a busy machine that may take it long. */
export async function isBeingLaunched(places: ProcessPlaces): Promise<boolean> {
  const pids = (await readdir('/proc')).map(Number).filter((pid) => pid > 0);
  return pids.some((pid) => commandLine(pid).includes(places.spec));
}

/** Processes that an earlier garden launched, or was about to; what was never launched is removed and its id free again. */
export async function recordedProcesses(container: ContainerPlaces): Promise<ProcessRecord[]> {
  const records: ProcessRecord[] = [];
  for (const id of await readdir(container.processes)) {
    const places = processPlaces(container, id);
    const text = await readIfPresent(places.record);
    if (text !== undefined) records.push(JSON.parse(text) as ProcessRecord);
    else for (const dir of [places.exitDir, places.dir]) await rm(dir, { recursive: true, force: true });
  }
  return records;
}
