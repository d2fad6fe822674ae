import { setTimeout as sleep } from 'node:timers/promises';
import { afterDeath, BACKOFF, type BackoffPolicy } from './backoff.js';

/** The part of a private database server that keeping it up needs. */
export interface DatabaseServer {
  readonly url: string;
  readonly pid: number;
  isRunning(): boolean;
  stop(): Promise<void>;
}

/** What happens to the server. */
export type DatabaseEvent =
  | { kind: 'died'; restartInMs: number }
  | { kind: 'started'; pid: number }
  | { kind: 'failed'; why: string };

/** How often it is looked after: the server's process is not always our child, so nobody tells us of its end. */
const WATCH_MS = 100;

/** Keeps a private database server running: starts it again, with back-off, when it dies. */
export class KeptDatabase {
  #server: DatabaseServer;
  #startedAtMs = performance.now();
  #deaths = 0;
  readonly #stopping = new AbortController();
  readonly #watching: Promise<void>;

  private constructor(
    server: DatabaseServer,
    private readonly start: () => Promise<DatabaseServer>,
    private readonly onEvent: (event: DatabaseEvent) => void,
    private readonly policy: BackoffPolicy,
  ) {
    this.#server = server;
    this.#watching = this.#watch();
  }

  /** Starts it once; a failure of this first start is the caller's. */
  static async open(
    start: () => Promise<DatabaseServer>,
    onEvent: (event: DatabaseEvent) => void,
    policy: BackoffPolicy = BACKOFF,
  ): Promise<KeptDatabase> {
    return new KeptDatabase(await start(), start, onEvent, policy);
  }

  get url(): string {
    return this.#server.url;
  }

  get pid(): number {
    return this.#server.pid;
  }

  /** Ends it in order: everything that is committed is on disk. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#watching;
    await this.#server.stop();
  }

  async #watch(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      if (this.#server.isRunning()) await pause(WATCH_MS, signal);
      else await this.#revive(signal);
    }
  }

  async #revive(signal: AbortSignal): Promise<void> {
    const next = afterDeath(this.#deaths, performance.now() - this.#startedAtMs, this.policy);
    this.#deaths = next.deaths;
    this.onEvent({ kind: 'died', restartInMs: next.waitMs });
    await pause(next.waitMs, signal);
    if (signal.aborted) return;
    try {
      // Lets go of the data folder, which the dead server still has.
      await this.#server.stop();
      this.#server = await this.start();
      this.#startedAtMs = performance.now();
      this.onEvent({ kind: 'started', pid: this.#server.pid });
    } catch (error) {
      this.onEvent({ kind: 'failed', why: error instanceof Error ? error.message : String(error) });
      this.#startedAtMs = performance.now();
    }
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined);
}
