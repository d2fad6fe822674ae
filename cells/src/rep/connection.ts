import type { Clock } from '@rivera/kit/clock';
import { fromStatus, RiveraError } from '@rivera/kit/errors';
import { LeaderFinder } from '@rivera/kit/grpc/leader';
import type { Logger } from '@rivera/kit/log';

/** Waits between attempts: doubled each time, spread by half so that a thousand cells don't come back at once. */
const BACKOFF = { firstMs: 50, longestMs: 3_000 };

/**
 * Waits after a server was too busy: it welcomed late, soon lost the stream again, or had to say so. What a thousand cells begin anew
 * keeps it busy, so they leave it in peace for longer each time, and wait longer for its welcome. Still they are back within the time
 * to live that a new leader gives them.
 */
const RESPITE = { firstMs: 1_000, longestMs: 10_000 };

/** How long a server may take to welcome a stream; so much longer after each time that it was too busy. */
const WELCOME_TIMEOUT_MS = 10_000;

/** A stream that lasts for so long shows that the server can do its work. */
const STEADY_MS = 20_000;

/** Servers that say this would only be kept busy by asking again soon. */
const BUSY: ReadonlySet<string> = new Set(['DATABASE_UNAVAILABLE', 'TOO_MANY_REQUESTS']);

/** Longest a cell waits for a welcome. */
const LONGEST_WELCOME_MS = 60_000;

/** One stream to one server. */
export interface Conversation {
  readonly address: string;
  /** Aborted when it is to end, or has. */
  readonly signal: AbortSignal;
  /** The server took the stream in. */
  welcomed(): void;
  /** Ends it; an error is what it ended with. */
  end(error?: unknown): void;
}

export interface ConnectionOptions {
  servers: readonly string[];
  clock: Clock;
  logger: Logger;
  /** 0..1; for the jitter. */
  random: () => number;
  /** Talks until the stream is over. When it settles, nothing of the stream is left running. */
  converse(conversation: Conversation): Promise<void>;
}

/** Keeps one long-lived stream to whichever server leads, until it is closed. */
export class Connection {
  readonly #options: ConnectionOptions;
  readonly #finder: LeaderFinder;
  readonly #closing = new AbortController();
  /** In a row, without a welcome. */
  #attempts = 0;
  /** In a row: that a server was too busy. */
  #overloads = 0;
  #done: Promise<void> | undefined;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#finder = new LeaderFinder(options.servers);
  }

  start(): void {
    this.#done ??= this.#keepUp();
  }

  /** Ends the stream; resolves when nothing of it runs any more. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#done;
  }

  async #keepUp(): Promise<void> {
    const { clock, logger, random } = this.#options;
    const { signal } = this.#closing;
    while (!signal.aborted) {
      const address = this.#finder.current();
      try {
        await this.#once(address);
        logger.info({ address }, 'the server ended the stream');
      } catch (error) {
        if (signal.aborted) return;
        const failure = fromStatus(error);
        logger.warn({ address, reason: failure.reason, detail: failure.message }, 'stream lost');
        this.#finder.failed(failure);
      }
      await clock.sleep(this.#waitMs() * (0.5 + random() / 2), signal).catch(() => {});
    }
  }

  #waitMs(): number {
    const backoffMs = Math.min(BACKOFF.firstMs * 2 ** this.#attempts++, BACKOFF.longestMs);
    // Once may be an accident.
    if (this.#overloads < 2) return backoffMs;
    return Math.max(backoffMs, Math.min(RESPITE.firstMs * 2 ** (this.#overloads - 2), RESPITE.longestMs));
  }

  async #once(address: string): Promise<void> {
    const { clock, converse } = this.#options;
    const over = new AbortController();
    const failure: { error?: unknown } = {};
    const end = (error?: unknown): void => {
      if (error !== undefined && !over.signal.aborted) failure.error = error;
      over.abort();
    };
    const patienceMs = Math.min(WELCOME_TIMEOUT_MS * (1 + this.#overloads), LONGEST_WELCOME_MS);
    const late = new RiveraError('DEADLINE_EXCEEDED', `no welcome from ${address} within ${patienceMs} ms`);
    let isLate = false;
    let welcomedAtMs: number | undefined;
    const cancelTimer = clock.setTimer(patienceMs, () => {
      isLate = true;
      end(late);
    });
    const welcomed = (): void => {
      cancelTimer();
      welcomedAtMs = clock.now();
    };
    try {
      await converse({ address, signal: AbortSignal.any([this.#closing.signal, over.signal]), welcomed, end });
    } catch (error) {
      failure.error ??= error;
    } finally {
      cancelTimer();
      over.abort();
    }
    const lastedMs = welcomedAtMs === undefined ? 0 : clock.now() - welcomedAtMs;
    const { reason } = fromStatus(failure.error);
    const wasBroken = welcomedAtMs !== undefined && reason !== 'NOT_LEADER';
    // A server that welcomes everybody and soon throws them out again, for whatever fault, is not to be dialled without end.
    if (lastedMs >= BACKOFF.longestMs) this.#attempts = 0;
    if (lastedMs >= STEADY_MS) this.#overloads = 0;
    else if (isLate || wasBroken || BUSY.has(reason)) this.#overloads++;
    if (failure.error !== undefined) throw failure.error;
  }
}

/** For writers: that the stream is over, its reader learns better; anything else is a fault of ours that ends it. */
export function unlessOver(end: (error: unknown) => void): (error: unknown) => void {
  return (error) => {
    if (!(error instanceof RiveraError)) end(error);
  };
}
