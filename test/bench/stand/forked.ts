import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

const GRACE_MS = 5_000;

/** A part of a benchmark in a process of its own, so that its memory and CPU can be told from the others'. */
export class Forked {
  private constructor(private readonly child: ChildProcess) {}

  /** Starts a module of this folder with settings that it reads from a file; resolves when it has said something. */
  static async start(module: string, { folder, name, settings }: { folder: string; name: string; settings: object }) {
    // The folder in the command line marks what a crashed run has left, and whoever may be ended for it.
    const file = join(folder, `${name}.json`);
    writeFileSync(file, JSON.stringify(settings), { mode: 0o600 });
    const flags = (process.env.RIVERA_NODE_FLAGS ?? '').split(' ').filter(Boolean);
    const child = fork(new URL(module, import.meta.url), [file], {
      execArgv: ['--conditions=source', '--import', 'tsx', ...flags],
    });
    const forked = new Forked(child);
    try {
      await forked.hears();
      return forked;
    } catch (error) {
      await forked.close();
      throw error;
    }
  }

  /** Ends one that may still be starting; a start that fails leaves nothing. */
  static async closeStarting(starting: Promise<Forked>): Promise<void> {
    const forked = await starting.catch(() => undefined);
    await forked?.close();
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  /** Asks something and waits for the answer. */
  async ask<T>(question: string): Promise<T> {
    const answer = this.hears();
    this.child.send(question);
    return (await answer) as T;
  }

  async close(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const exited = once(this.child, 'exit');
    this.child.kill('SIGTERM');
    const late = setTimeout(() => this.child.kill('SIGKILL'), GRACE_MS);
    await exited;
    clearTimeout(late);
  }

  private async hears(): Promise<unknown> {
    const stop = new AbortController();
    const gone = once(this.child, 'exit', { signal: stop.signal }).then(([code]) => {
      throw new Error(`a process of the benchmark ended with ${code}`);
    });
    try {
      const [message] = await Promise.race([once(this.child, 'message', { signal: stop.signal }), gone]);
      return message;
    } finally {
      gone.catch(() => undefined);
      stop.abort();
    }
  }
}
