import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { stringify } from 'yaml';

export const ROOT = resolve(import.meta.dirname, '../..');
export const RIVERA = join(ROOT, 'cli/bin/rivera.mjs');
const BUILT = join(ROOT, 'cli/dist/main.js');

/** A rivera role as a process of its own, which a test may kill, pause and start again. */
export class Program {
  private child: ChildProcess | undefined;
  private exited: Promise<void> = Promise.resolve();

  constructor(
    readonly name: string,
    private readonly role: 'server' | 'cell',
    private readonly folder: string,
    private readonly config: object,
    private readonly env: NodeJS.ProcessEnv = {},
  ) {
    if (!existsSync(BUILT)) throw new Error(`${BUILT} is missing: run npm run build`);
  }

  get pid(): number {
    const pid = this.child?.pid;
    if (pid === undefined) throw new Error(`${this.name} does not run`);
    return pid;
  }

  get running(): boolean {
    return this.child !== undefined && this.child.exitCode === null && this.child.signalCode === null;
  }

  /** With what it ended; null while it runs, and when a signal ended it. */
  get exitCode(): number | null {
    return this.child?.exitCode ?? null;
  }

  get logFile(): string {
    return join(this.folder, `${this.name}.log`);
  }

  log(): string {
    return existsSync(this.logFile) ? readFileSync(this.logFile, 'utf8') : '';
  }

  /** Starts it; the environment adds to what every start gets. */
  start(env: NodeJS.ProcessEnv = {}): void {
    const config = join(this.folder, `${this.name}.yaml`);
    writeFileSync(config, stringify(this.config), { mode: 0o600 });
    const log = openSync(this.logFile, 'a');
    const flags = nodeFlags();
    // As people start it, unless Node is to be told something.
    const [command, ...before] = flags.length === 0 ? [RIVERA] : [process.execPath, ...flags, RIVERA];
    const child = spawn(command, [...before, this.role, '--config', config], {
      stdio: ['ignore', log, log],
      detached: true,
      env: { ...process.env, ...this.env, ...env },
    });
    closeSync(log);
    this.child = child;
    this.exited = new Promise((done) => child.once('exit', () => done()));
  }

  signal(signal: NodeJS.Signals): void {
    if (this.running) process.kill(this.pid, signal);
  }

  /** kill -9, and waits until it is gone. */
  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.exited;
  }

  /** Asks it to end. @throws Error when it does not, and had to be killed */
  async stop(graceMs = 40_000): Promise<void> {
    if (!this.running) return;
    this.signal('SIGCONT');
    this.signal('SIGTERM');
    let killed = false;
    const late = setTimeout(() => {
      killed = true;
      this.signal('SIGKILL');
    }, graceMs);
    await this.exited;
    clearTimeout(late);
    if (killed) throw new Error(`${this.name} did not end within ${graceMs} ms of SIGTERM`);
  }

  /** Resolves when it has ended by itself. */
  async ended(): Promise<void> {
    await this.exited;
  }
}

/** Flags for the programs' Node, e.g. RIVERA_NODE_FLAGS="--cpu-prof" to profile them. */
function nodeFlags(): string[] {
  return (process.env.RIVERA_NODE_FLAGS ?? '').split(' ').filter(Boolean);
}
