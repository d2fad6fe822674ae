import { type ChildProcessByStdio, spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { kernelCalls } from './kernel-calls.js';
import { PERL } from './kernel-script.js';
import { LAUNCHER_SCRIPT } from './launcher-script.js';
import { signalName } from './send.js';

/** What is to be run. */
export interface LaunchRequest {
  /** A program and its arguments, or with `kernelSteps` words for the helper itself (`kernel-steps.ts`). */
  argv: readonly string[];
  kernelSteps?: boolean;
  env: NodeJS.ProcessEnv;
  cwd?: string;
  input?: string;
  /** Throw output away, and don't wait for those that hold it open. */
  discardOutput: boolean;
  timeoutMs: number;
  /** A file, emptied or made, that the program has as its file descriptor 3. */
  report?: string;
  /** Mounts that it is not to see, nor what it starts; those of others stay. */
  hidden?: readonly string[];
}

/** How it ended. */
export interface LaunchResult {
  /** Undefined when a signal ended it. 127: it could not be started. */
  code: number | undefined;
  signal: string | undefined;
  stdout: string;
  stderr: string;
}

interface Helper {
  child: ChildProcessByStdio<Writable, Readable, null>;
  waiting: Map<string, (result: LaunchResult) => void>;
}

let helper: Helper | undefined;
let made = 0;

/**
 * Runs a program by a small process that is kept for it. Starting one means copying the page tables of who starts it: ten
 * milliseconds for an agent with a hundred megabytes, in which it does nothing else, and less than one for the helper.
 */
export function launch(request: LaunchRequest, env: NodeJS.ProcessEnv): Promise<LaunchResult> {
  helper ??= startHelper(env);
  if (!helper) {
    const stderr = `${PERL} can't be started: no process or file descriptor may be left`;
    return Promise.resolve({ code: 126, signal: undefined, stdout: '', stderr });
  }
  const { child, waiting } = helper;
  const id = String(++made);
  return new Promise((resolve) => {
    hold(child, true);
    waiting.set(id, resolve);
    child.stdin.write(frameOf(id, request));
  });
}

/** Ends the helper unless it is at work; the next launch starts one again. */
export async function restLauncher(): Promise<void> {
  if (!helper || helper.waiting.size > 0) return;
  const { child } = helper;
  helper = undefined;
  hold(child, true);
  const gone = new Promise((resolve) => child.once('close', resolve));
  child.stdin.end();
  await gone;
}

/** Undefined when the machine has nothing left for it. */
function startHelper(env: NodeJS.ProcessEnv): Helper | undefined {
  const child = spawn(PERL, ['-e', LAUNCHER_SCRIPT, ...kernelCalls()], { stdio: ['pipe', 'pipe', 'inherit'], env });
  const own: Helper = { child, waiting: new Map() };
  // Its death is told to those that wait, below.
  child.on('error', () => undefined);
  // Then it has no streams either.
  if (child.pid === undefined) return undefined;
  child.stdin.on('error', () => undefined);
  child.on('exit', () => {
    if (helper === own) helper = undefined;
  });
  // Only now: what it had begun goes on without it, and answers.
  child.on('close', () => {
    const lost = {
      code: 128,
      signal: undefined,
      stdout: '',
      stderr: 'the launcher has ended; nobody knows what became of it',
    };
    for (const tell of own.waiting.values()) tell(lost);
    own.waiting.clear();
  });
  readFrames(child.stdout, (fields) => {
    const [id = '', code, stdout = '', stderr = ''] = fields.map(String);
    const tell = own.waiting.get(id);
    own.waiting.delete(id);
    if (own.waiting.size === 0) hold(child, false);
    const number = Number(code);
    const ended = number < 0 ? { code: undefined, signal: signalName(-number) } : { code: number, signal: undefined };
    tell?.({ ...ended, stdout, stderr });
  });
  return own;
}

/** Only work keeps this program alive, not that the helper is there. */
function hold(child: Helper['child'], on: boolean): void {
  const handles = [child, child.stdin, child.stdout] as unknown as Pick<Socket, 'ref' | 'unref'>[];
  for (const handle of handles) on ? handle.ref() : handle.unref();
}

function frameOf(id: string, request: LaunchRequest): Buffer {
  const env = Object.entries(request.env).flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`]));
  const { argv, cwd = '', report = '', hidden = [], input } = request;
  const steps = request.kernelSteps ? '1' : '';
  const quiet = request.discardOutput ? '1' : '';
  const piped = input === undefined ? '' : '1';
  const words = [cwd, report, hidden.join('\n'), piped, input ?? '', String(argv.length), ...argv, ...env];
  return field(Buffer.concat([id, String(request.timeoutMs), steps, quiet, ...words].map(field)));
}

function field(content: string | Buffer): Buffer {
  const bytes = Buffer.from(content as string);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

function readFrames(stream: Readable, take: (fields: Buffer[]) => void): void {
  let rest: Buffer = Buffer.alloc(0);
  stream.on('data', (chunk: Buffer) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    while (rest.length >= 4 && rest.length >= 4 + rest.readUInt32BE(0)) {
      const end = 4 + rest.readUInt32BE(0);
      take(fieldsOf(rest.subarray(4, end)));
      rest = rest.subarray(end);
    }
  });
}

function fieldsOf(frame: Buffer): Buffer[] {
  const fields: Buffer[] = [];
  for (let at = 0; at + 4 <= frame.length; ) {
    const end = at + 4 + frame.readUInt32BE(at);
    fields.push(frame.subarray(at + 4, end));
    at = end;
  }
  return fields;
}
