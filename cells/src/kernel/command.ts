import { agentMark } from './agent-mark.js';
import { launch } from './launcher.js';

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

/** All that a garden calls takes milliseconds. */
const TIMEOUT_MS = 60_000;

export interface CommandOptions {
  input?: string;
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  /** KILL, of all of its process group, after this long. Default 60 s. */
  timeoutMs?: number;
  /** Mounts that it is not to see. */
  hidden?: readonly string[];
  /** For programs that leave a child which would keep the pipes open. */
  discardOutput?: boolean;
}

/** Runs a command to its end. Never throws for its exit code; an executable that can't be started is code 127. */
export async function runToEnd(command: string, args: string[], options: CommandOptions = {}): Promise<CommandResult> {
  const env = { ...(options.env ?? process.env), ...agentMark };
  const { input, cwd, hidden, discardOutput = false, timeoutMs = TIMEOUT_MS } = options;
  const request = {
    argv: [command, ...args],
    env,
    discardOutput,
    timeoutMs,
    ...(input !== undefined && { input }),
    ...(cwd !== undefined && { cwd }),
    ...(hidden !== undefined && { hidden }),
  };
  const { code, signal, stdout, stderr } = await launch(request, { ...process.env, ...agentMark });
  return { code: code ?? 128, stdout, stderr: signal ? `${stderr} (ended by ${signal})` : stderr };
}

/** Runs a command that has to succeed; resolves with its standard output. */
export async function run(command: string, args: string[], options: CommandOptions = {}): Promise<string> {
  const result = await runToEnd(command, args, options);
  if (result.code !== 0) throw new CommandError([command, ...args].join(' ').slice(0, 300), result);
  return result.stdout;
}
