import { setTimeout as sleep } from 'node:timers/promises';
import { Forked } from './forked.js';
import type { Stand } from './stand.js';
import { unwinding } from './unwinding.js';
import type { Watched } from './watchers-process.js';

const QUIET_MS = 500;

/** Clients that watch all instances, in a process of their own. */
export class Watchers {
  constructor(private readonly forked: Forked) {}

  get pid(): number {
    return this.forked.pid;
  }

  /** What they have seen since the last time. */
  seen(): Promise<Watched> {
    return this.forked.ask<Watched>('seen');
  }

  /** Resolves when they have caught up, and forgets what they saw. */
  async untilQuiet(): Promise<void> {
    while ((await this.seen()).events > 0) await sleep(QUIET_MS);
  }
}

/** Runs `body` while so many watchers are connected. */
export async function withWatchers<T>(
  { stack }: Stand,
  count: number,
  body: (watchers: Watchers) => Promise<T>,
): Promise<T> {
  const identity = await stack.identity('reader', 'watcher');
  const settings = { address: stack.addresses[0], identity, watchers: count };
  const starting = Forked.start('./watchers-process.ts', { folder: stack.folder, name: 'watchers', settings });
  return unwinding(
    () => Forked.closeStarting(starting),
    async () => body(new Watchers(await starting)),
  );
}
