import { type ChildProcessWithoutNullStreams, execFile, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import type { Written } from './shape.js';

/** Where and how commands are run. */
export interface ShellOptions {
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
}

const TIMEOUT_MS = 120_000;

/** A shell in which commands follow one another as at a terminal: variables, folder and `$?` go from one to the next. */
export class Shell {
  private readonly child: ChildProcessWithoutNullStreams;
  private readonly ended: Promise<void>;
  private readonly heard = { stdout: '', stderr: '' };
  private listener: () => void = () => {};
  private dead = false;

  constructor({ cwd, env }: ShellOptions) {
    // A process group of its own, so that nothing of what it started outlives it.
    this.child = spawn('/bin/bash', [], { cwd, env, detached: true });
    for (const name of ['stdout', 'stderr'] as const) {
      this.child[name].setEncoding('utf8').on('data', (text: string) => {
        this.heard[name] += text;
        this.listener();
      });
    }
    this.ended = new Promise((resolve) => {
      this.child.once('close', () => {
        this.dead = true;
        this.listener();
        resolve();
      });
    });
  }

  /** Runs one command, whether it succeeds or not. @throws when the shell has ended, or time is over */
  async run(command: string): Promise<Written> {
    const mark = `--- ${randomUUID()}`;
    const tell = `__status=$?; echo; echo '${mark}'; echo >&2; echo '${mark}' >&2; (exit $__status)`;
    this.child.stdin.write(`(exit $__status); { ${command}\n} </dev/null; ${tell}\n`);
    const [stdout, stderr] = await Promise.all([this.upTo('stdout', mark), this.upTo('stderr', mark)]);
    return { stdout, stderr };
  }

  /** Ends it, with everything that it has started. */
  async end(): Promise<void> {
    this.child.stdin.end();
    if (!this.dead && this.child.pid !== undefined) process.kill(-this.child.pid, 'SIGKILL');
    await this.ended;
  }

  /** The lines before the mark, which stands on a line of its own even if the output does not end with one. */
  private async upTo(name: 'stdout' | 'stderr', mark: string): Promise<string[]> {
    const end = `\n${mark}\n`;
    await this.until(() => this.heard[name].includes(end));
    const [before = '', after = ''] = this.heard[name].split(end);
    this.heard[name] = after;
    return before.replace(/\n$/, '').split('\n');
  }

  private until(holds: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const fail = (why: string) => reject(new Error(`${why}\n${this.heard.stdout}\n${this.heard.stderr}`));
      const late = setTimeout(() => fail('a command takes too long'), TIMEOUT_MS);
      const previous = this.listener;
      this.listener = () => {
        previous();
        if (!holds() && !this.dead) return;
        clearTimeout(late);
        if (holds()) resolve();
        else fail('the shell has ended');
      };
      this.listener();
    });
  }
}

/** Runs a script, which has to succeed as a whole. @throws when it does not, with what it wrote */
export function runScript(script: string, { cwd, env }: ShellOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    execFile('/bin/bash', ['-euo', 'pipefail', '-c', script], { cwd, env, timeout: TIMEOUT_MS }, (error, _, stderr) => {
      if (error === null) resolve();
      else reject(new Error(`ended with ${error.code ?? error.signal}\n${stderr}`));
    });
  });
}
