import { setTimeout as sleep } from 'node:timers/promises';
import { Forked } from './forked.js';
import type { Stand } from './stand.js';
import { unwinding } from './unwinding.js';
import type { Question, Watched } from './watchers-process.js';

/** A server that is busy delivers in bursts: longer than the longest pause between them. */
const QUIET_MS = 2_000;

/** Clients that watch all instances, in a process of their own. */
export class Watchers {
  constructor(private readonly forked: Forked) {}

  get pid(): number {
    return this.forked.pid;
  }

  /** What they have seen since the last time, once they have caught up. */
  async seen(): Promise<Watched> {
    let before = Number.NaN;
    for (let count = await this.count(); count !== before; count = await this.count()) {
      before = count;
      await sleep(QUIET_MS);
    }
    return this.forked.ask<Watched>('seen' satisfies Question);
  }

  private count(): Promise<number> {
    return this.forked.ask<number>('count' satisfies Question);
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
