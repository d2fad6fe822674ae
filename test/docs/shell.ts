import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import type { Written } from './shape.js';

/** Where and how commands are run. */
export interface ShellOptions {
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
  readonly timeoutMs?: number;
}

/** What one command of several did. */
export interface Ran extends Written {
  readonly command: string;
}

const TIMEOUT_MS = 120_000;

/**
 * Runs commands one after the other in one shell, as somebody at a terminal does: variables, folder and `$?` go from one to
 * the next. A command that fails does not end the others.
 * @throws when the shell ends early or time is over, with what was written
 */
export async function runCommands(commands: readonly string[], options: ShellOptions): Promise<Ran[]> {
  const mark = `--- ${randomUUID()}`;
  const after = `__status=$?; echo; echo '${mark}'; echo >&2; echo '${mark}' >&2; (exit $__status)`;
  const { stdout, stderr, failure } = await bash(commands.flatMap((command) => [command, after]).join('\n'), options);
  const [out, err] = [stdout, stderr].map((text) => text.split(`\n${mark}\n`));
  if (out?.length !== commands.length + 1) throw new Error(`the shell ended early: ${failure}\n${stdout}\n${stderr}`);
  return commands.map((command, i) => ({ command, stdout: lines(out[i]), stderr: lines(err?.[i]) }));
}

/** Runs a script, which has to succeed as a whole. @throws when it does not, with what it wrote */
export async function runScript(script: string, options: ShellOptions): Promise<void> {
  const { stdout, stderr, failure } = await bash(`set -euo pipefail\n${script}`, options);
  if (failure !== undefined) throw new Error(`${failure}\n${stdout}\n${stderr}`);
}

function bash(script: string, { cwd, env, timeoutMs = TIMEOUT_MS }: ShellOptions) {
  return new Promise<{ stdout: string; stderr: string; failure: string | undefined }>((resolve) => {
    execFile('/bin/bash', ['-c', script], { cwd, env, timeout: timeoutMs }, (error, stdout, stderr) => {
      resolve({ stdout, stderr, failure: error === null ? undefined : error.killed ? 'time is over' : `ended with ${error.code}` });
    });
  });
}

/** The marker stands on a line of its own, also after output that does not end with one. */
function lines(text = ''): string[] {
  return text.replace(/\n$/, '').split('\n');
}
