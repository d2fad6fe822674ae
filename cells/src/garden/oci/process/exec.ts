import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough, type Readable, Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { type IPty, spawn as spawnTerminal } from '@lydell/node-pty';
import type { Clock } from '@rivera/kit/clock';
import { agentMark } from '../../../kernel/agent-mark.js';
import { hasCode, readIfPresent } from '../../../kernel/durable.js';
import { processFacts } from '../../../kernel/proc.js';
import { sendToGroup, signalName } from '../../../kernel/send.js';
import { GardenError, type InteractiveProcess, type TerminalSpec } from '../../garden.js';
import type { Cell } from '../cell.js';
import type { ContainerCgroup } from '../cgroups/cgroup.js';
import type { ContainerPlaces } from '../places.js';
import type { RuntimeProgram } from '../runtime/runtime.js';
import { type ProcessIdentity, signalProcess } from './signals.js';
import { runtimeMessage } from './supervisor.js';
import { onPlainTerminal } from './terminal-modes.js';
import { onRelayedTerminal } from './terminal-relay.js';

/** Ctrl-D: what a terminal sends instead of an end of input. */
const END_OF_TRANSMISSION = '\x04';

/** Start time of a process that had ended before it could be looked at: fits nobody. */
const ALREADY_GONE = -1;

/** A process that doesn't read its terminal is asked again so often. */
const INPUT_RETRY_MS = 10;

/** Output that may wait for its reader, who takes all of it at once: what is read in larger pieces costs less. */
const OUTPUT_BYTES = 256 * 1024;

let made = 0;

/** A child of this program that runs something in a container. */
interface Running {
  stdin: Writable;
  stdout: Readable;
  stderr: Readable;
  /** Of the runtime's process on the host. */
  pid: number;
  resize(columns: number, rows: number): void;
  /** The runtime's process is gone; output may still be on its way. */
  exited: Promise<void>;
  /** After all output was handed over. */
  ended: Promise<Ended>;
}

interface Ended {
  code: number;
  signal?: NodeJS.Signals;
}

/** A process for a person, and when it is gone whether or not its output was read. */
export interface PersonsProcess extends InteractiveProcess {
  readonly exited: Promise<void>;
}

export interface ExecRequest {
  cell: Cell;
  /** What made the container. */
  runtime: RuntimeProgram;
  places: ContainerPlaces;
  cgroup: ContainerCgroup;
  /** OCI process specification. */
  spec: object;
  terminal?: TerminalSpec;
}

/**
 * Runs a process in a container as a child of this program, with a terminal or with pipes.
 * @throws GardenError `process-failed` when it can't be started
 */
export async function startExec(request: ExecRequest): Promise<PersonsProcess> {
  const { cell, runtime, places, cgroup } = request;
  const base = join(places.execs, `${process.pid}-${++made}`);
  const files = { spec: `${base}.json`, pid: `${base}.pid`, log: `${base}.log`, socket: `${base}.sock` };
  await writeFile(files.spec, JSON.stringify(request.spec), { mode: 0o600 }).catch((cause: unknown) => {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new GardenError('process-failed', `the process could not be noted: ${why}`, { cause });
  });
  const args = [
    '--root',
    cell.places.runtimeRoot,
    '--log',
    files.log,
    'exec',
    '--process',
    files.spec,
    '--pid-file',
    files.pid,
    places.handle,
  ];
  const { terminal } = request;
  const begun = terminal
    ? withTerminal(onTerminal(runtime, args, files.socket), terminal, cell.settings.clock)
    : withPipes(runtime.path, args);
  const running = await begun.catch(async (cause: unknown) => {
    await rm(files.spec, { force: true }).catch(() => undefined);
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new GardenError('process-failed', `the runtime could not be started: ${why}`, { cause });
  });
  let over = false;
  const exited = running.exited.then(() => {
    over = true;
  });
  const identity = await identify(cell, files.pid, () => over);
  exited
    .then(() => Promise.all(Object.values(files).map((file) => rm(file, { force: true }))))
    .catch((error: unknown) => {
      // A disk that is read-only now keeps them; the next start of the agent tries again.
      cell.settings.log.warn({ error, container: places.handle }, "files of a person's process could not be removed");
    });
  if (!identity) {
    const message = await readFile(files.log, 'utf8').catch(() => '');
    sendToGroup(running.pid, 'SIGKILL');
    throw new GardenError('process-failed', runtimeMessage(message || 'the process could not be started'));
  }
  const tell = (signal: NodeJS.Signals) =>
    signalProcess(cgroup, identity, signal).catch((error: unknown) => {
      cell.settings.log.warn({ error, container: places.handle, signal }, "a person's process could not be signalled");
    });
  return {
    stdin: running.stdin,
    stdout: running.stdout,
    stderr: running.stderr,
    resize: (columns, rows) => {
      if (!over) running.resize(columns, rows);
    },
    signal: (signal) => {
      if (!over) void tell(signal);
    },
    kill: () => {
      // The family first, while it can be recognised; the runtime ends with its process.
      void tell('SIGKILL').then(() => {
        if (!over) sendToGroup(running.pid, 'SIGKILL');
      });
    },
    wait: () => running.ended,
    exited,
  };
}

/** Who runs in the container: known once the runtime has written the pid. Undefined when that never happened. */
async function identify(cell: Cell, pidFile: string, isOver: () => boolean): Promise<ProcessIdentity | undefined> {
  const { clock } = cell.settings;
  const deadline = clock.now() + cell.settings.runtimeTimeoutMs;
  for (;;) {
    // Looked at first: what ended just now may have written its pid before.
    const over = isOver();
    const pid = Number(await readIfPresent(pidFile));
    if (pid > 0) return processFacts(pid) ?? { pid, startTime: ALREADY_GONE };
    if (over || clock.now() > deadline) return undefined;
    await clock.sleep(4);
  }
}

async function withPipes(command: string, args: string[]): Promise<Running> {
  const child = spawn(command, args, { stdio: 'pipe', detached: true, env: { ...process.env, ...agentMark } });
  const { pid } = child;
  if (pid === undefined) {
    // No such program, or no process or descriptor left; in the latter case there are no streams either.
    const [cause] = await once(child, 'error');
    throw cause;
  }
  // A process that doesn't read its input isn't an error.
  child.stdin.on('error', () => undefined);
  const exited = new Promise<void>((resolve) => {
    child.on('exit', () => resolve());
    child.on('error', () => resolve());
  });
  const closed = new Promise<Ended>((resolve) => {
    child.on('close', (code, signal) => resolve(signal ? endedBy(signal) : { code: code ?? 128 }));
    child.on('error', () => resolve({ code: 127 }));
  });
  // Piped on at once, as Node throws away what nobody reads by the time that a child exits.
  const [stdout, stderr] = [child.stdout.pipe(outlet()), child.stderr.pipe(outlet())];
  const ended = closed.then(async (end) => {
    await Promise.all([handedOver(stdout), handedOver(stderr)]);
    return end;
  });
  return { stdin: child.stdin, stdout, stderr, pid, resize: () => undefined, exited, ended };
}

/** The runtime's process did not end by itself, and nobody can say how the one inside did. */
function endedBy(signal: NodeJS.Signals): Ended {
  return { code: 128, signal };
}

function outlet(): PassThrough {
  return new PassThrough({ highWaterMark: OUTPUT_BYTES });
}

/** Resolves once everything was read, or the reader went away. */
async function handedOver(stream: Readable): Promise<void> {
  await finished(stream, { writable: false }).catch(() => undefined);
}

/** The container's handle is the last of the arguments. */
function onTerminal({ name, path }: RuntimeProgram, args: string[], socket: string): [command: string, args: string[]] {
  if (name !== 'crun') return onPlainTerminal(path, args);
  return onRelayedTerminal(path, [...args.slice(0, -1), '--console-socket', socket, ...args.slice(-1)], socket);
}

async function withTerminal([command, args]: [string, string[]], o: TerminalSpec, clock: Clock): Promise<Running> {
  const env = { PATH: process.env.PATH ?? '', TERM: o.term, ...agentMark };
  const terminal = spawnTerminal(command, args, { name: o.term, cols: o.columns, rows: o.rows, env, encoding: null });
  const stdout = new PassThrough();
  // With encoding null the data are buffers, whatever the types say.
  terminal.onData((data: unknown) => {
    if (stdout.write(data as Buffer)) return;
    terminal.pause();
    stdout.once('drain', () => terminal.resume());
  });
  const stdin = terminalInput(terminal, clock);
  const exited = new Promise<Ended>((resolve) =>
    terminal.onExit(({ exitCode, signal }) =>
      resolve(signal ? endedBy(signalName(signal) as NodeJS.Signals) : { code: exitCode }),
    ),
  );
  const ended = exited.then(async (end) => {
    stdin.destroy();
    stdout.end();
    await handedOver(stdout);
    return end;
  });
  const nothing = new PassThrough();
  nothing.end();
  return {
    stdin,
    stdout,
    stderr: nothing,
    pid: terminal.pid,
    resize: (columns, rows) => terminal.resize(columns, rows),
    exited: exited.then(() => undefined),
    ended,
  };
}

/**
 * What people type. The terminal's own `write` waits for the process to read, and the whole agent with it; so each piece is offered
 * without waiting, and what is not taken is offered again, while whoever sends has to wait.
 */
function terminalInput(terminal: IPty, clock: Clock): Writable {
  const { fd, _socket: socket } = terminal as unknown as { fd: number; _socket: Readable };
  const offer = (bytes: Buffer, done: () => void): void => {
    // Once it is closed, its number may be another file's.
    if (socket.destroyed) return done();
    let taken = 0;
    try {
      taken = writeSync(fd, bytes);
    } catch (error) {
      // It ended; that is told in another way.
      if (!hasCode(error, 'EAGAIN')) return done();
    }
    if (taken === bytes.length) return done();
    clock.setTimer(INPUT_RETRY_MS, () => offer(bytes.subarray(taken), done));
  };
  return new Writable({
    write: (chunk: Buffer, _encoding, done) => offer(chunk, done),
    final: (done) => offer(Buffer.from(END_OF_TRANSMISSION), done),
  });
}
