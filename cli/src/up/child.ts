import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { afterDeath, BACKOFF, type BackoffPolicy } from './backoff.js';
import { boundLog, sizeOf } from './log-file.js';
import { identify } from './process-identity.js';

/** A program that is to be kept running. */
export interface ChildSpec {
  /** For people, and for file names. */
  name: string;
  command: string;
  args: readonly string[];
  env: NodeJS.ProcessEnv;
  /** Takes its output; appended to. */
  logFile: string;
  /** Says which process it is, for a later start that finds it still running. */
  pidFile: string;
  /** How long it may take to end after TERM. */
  stopGraceMs: number;
}

/** What happens to a child. */
export type ChildEvent =
  | { kind: 'started'; name: string; pid: number; restarts: number }
  | { kind: 'died'; name: string; how: string; restartInMs: number; deaths: number }
  | { kind: 'killed'; name: string };

/**
 * Keeps one program running: starts it again with back-off when it dies, until it is stopped. The program has a process group of its own,
 * so that Ctrl-C on the terminal reaches only the supervisor, which then stops its children in order.
 */
export class Child {
  #process: ChildProcess | undefined;
  #exited: Promise<void> = Promise.resolve();
  #startedAtMs = 0;
  #deaths = 0;
  #restarts = -1;
  #stopping = false;
  #restartTimer: NodeJS.Timeout | undefined;
  #logStart: number | undefined;

  constructor(
    readonly spec: ChildSpec,
    private readonly onEvent: (event: ChildEvent) => void,
    private readonly policy: BackoffPolicy = BACKOFF,
  ) {}

  /** Its process number while it runs. */
  get pid(): number | undefined {
    return this.#process?.pid;
  }

  /** Deaths in a row. */
  get deaths(): number {
    return this.#deaths;
  }

  /** Where in its log this supervisor's time begins. */
  get logStart(): number {
    return this.#logStart ?? 0;
  }

  start(): void {
    this.#restartTimer = undefined;
    const { spec } = this;
    boundLog(spec.logFile);
    this.#logStart ??= sizeOf(spec.logFile);
    const log = openSync(spec.logFile, 'a', 0o600);
    const child = spawn(spec.command, [...spec.args], {
      detached: true,
      env: spec.env,
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    this.#process = child;
    this.#startedAtMs = performance.now();
    this.#exited = new Promise((resolve) => {
      child.once('error', (error) => {
        if (child.pid !== undefined) return;
        this.#gone(`could not be started: ${error.message}`);
        resolve();
      });
      child.once('exit', (code, signal) => {
        this.#gone(signal === null ? `exit code ${code}` : signal);
        resolve();
      });
    });
    if (child.pid === undefined) return;
    const identity = identify(child.pid);
    if (identity !== undefined) writeFileSync(spec.pidFile, JSON.stringify(identity));
    this.#restarts++;
    this.onEvent({ kind: 'started', name: spec.name, pid: child.pid, restarts: this.#restarts });
  }

  /**
   * TERM, wait for the grace period or for `forced`, KILL. Nothing is started again.
   * Resolves when the process has ended.
   */
  async stop(forced?: AbortSignal): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#restartTimer);
    const child = this.#process;
    if (child?.pid === undefined) return;
    child.kill('SIGTERM');
    const kill = () => {
      if (child.kill('SIGKILL')) this.onEvent({ kind: 'killed', name: this.spec.name });
    };
    const timer = setTimeout(kill, this.spec.stopGraceMs);
    if (forced?.aborted) kill();
    forced?.addEventListener('abort', kill, { once: true });
    await this.#exited;
    clearTimeout(timer);
    forced?.removeEventListener('abort', kill);
  }

  #gone(how: string): void {
    this.#process = undefined;
    rmSync(this.spec.pidFile, { force: true });
    if (this.#stopping) return;
    const next = afterDeath(this.#deaths, performance.now() - this.#startedAtMs, this.policy);
    this.#deaths = next.deaths;
    this.onEvent({ kind: 'died', name: this.spec.name, how, restartInMs: next.waitMs, deaths: next.deaths });
    this.#restartTimer = setTimeout(() => this.start(), next.waitMs);
  }
}
