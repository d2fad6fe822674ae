import { spawn } from 'node:child_process';
import { agentMark } from './agent-mark.js';
import { sendToGroup } from './send.js';

/** What a command left. */
export interface CommandResult {
  code: number;
  stdout: string;
  stderr: string;
}

/** A command that failed; the message names it and carries the end of what it said. */
export class CommandError extends Error {
  constructor(
    readonly command: string,
    readonly result: CommandResult,
  ) {
    super(
      `${command} ended with ${result.code}: ${(result.stderr || result.stdout).trim().slice(-1000) || 'no message'}`,
    );
    this.name = 'CommandError';
  }
}

/** Longest output that is kept of each stream. */
const OUTPUT_LIMIT = 4 * 1024 * 1024;

export interface CommandOptions {
  input?: string;
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  /** KILL after this long. Default 60 s: all that a garden calls takes milliseconds. */
  timeoutMs?: number;
  /** For programs that leave a child which would keep the pipes open. */
  discardOutput?: boolean;
}

/** Runs a command to its end. Never throws for its exit code; an executable that can't be started is code 127. */
export function runToEnd(command: string, args: string[], options: CommandOptions = {}): Promise<CommandResult> {
  return new Promise((resolve) => {
    const out = options.discardOutput ? 'ignore' : 'pipe';
    const child = spawn(command, args, {
      stdio: [options.input === undefined ? 'ignore' : 'pipe', out, out],
      env: { ...(options.env ?? process.env), ...agentMark },
      ...(options.cwd !== undefined && { cwd: options.cwd }),
      // A group of its own, so that all of it can be ended.
      detached: true,
    });
    const stdout = collect(child.stdout);
    const stderr = collect(child.stderr);
    const timer = setTimeout(() => {
      if (child.pid !== undefined) sendToGroup(child.pid, 'SIGKILL');
      // What left the group may hold them for ever.
      child.stdout?.destroy();
      child.stderr?.destroy();
    }, options.timeoutMs ?? 60_000);
    child.on('close', () => clearTimeout(timer));
    child.on('error', (error) => resolve({ code: 127, stdout: '', stderr: error.message }));
    child.on('close', (code, signal) =>
      resolve({ code: code ?? 128, stdout: stdout(), stderr: signal ? `${stderr()} (ended by ${signal})` : stderr() }),
    );
    if (options.input !== undefined && child.stdin) {
      // The child may end without reading all of it; its exit code tells.
      child.stdin.on('error', () => undefined);
      child.stdin.end(options.input);
    }
  });
}

/** Runs a command that has to succeed; resolves with its standard output. */
export async function run(command: string, args: string[], options: CommandOptions = {}): Promise<string> {
  const result = await runToEnd(command, args, options);
  if (result.code !== 0) throw new CommandError([command, ...args].join(' ').slice(0, 300), result);
  return result.stdout;
}

function collect(stream: NodeJS.ReadableStream | null): () => string {
  const chunks: Buffer[] = [];
  let size = 0;
  stream?.on('data', (chunk: Buffer) => {
    if (size < OUTPUT_LIMIT) chunks.push(chunk);
    size += chunk.length;
  });
  return () => Buffer.concat(chunks).toString('utf8');
}
