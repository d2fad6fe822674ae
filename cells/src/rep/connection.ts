import type { Clock } from '@rivera/kit/clock';
import { fromStatus, RiveraError } from '@rivera/kit/errors';
import { LeaderFinder } from '@rivera/kit/grpc/leader';
import type { Logger } from '@rivera/kit/log';

/** Waits between attempts: doubled each time, spread by half so that a thousand cells don't come back at once. */
const BACKOFF = { firstMs: 50, longestMs: 3_000 };

/** How long a server may take to welcome a stream. */
const WELCOME_TIMEOUT_MS = 10_000;

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
  #attempts = 0;
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
      const wait = Math.min(BACKOFF.firstMs * 2 ** this.#attempts++, BACKOFF.longestMs);
      await clock.sleep(wait * (0.5 + random() / 2), signal).catch(() => {});
    }
  }

  async #once(address: string): Promise<void> {
    const { clock, converse } = this.#options;
    const over = new AbortController();
    const failure: { error?: unknown } = {};
    const end = (error?: unknown): void => {
      if (error !== undefined && !over.signal.aborted) failure.error = error;
      over.abort();
    };
    const late = new RiveraError('DEADLINE_EXCEEDED', `no welcome from ${address} within ${WELCOME_TIMEOUT_MS} ms`);
    const cancelTimer = clock.setTimer(WELCOME_TIMEOUT_MS, () => end(late));
    let welcomedAtMs = Number.POSITIVE_INFINITY;
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
      // A server that welcomes everybody and soon throws them out again, for whatever fault, is not to be dialled without end.
      if (clock.now() - welcomedAtMs >= BACKOFF.longestMs) this.#attempts = 0;
    }
    if (failure.error !== undefined) throw failure.error;
  }
}

/** For writers: that the stream is over, its reader learns better; anything else is a fault of ours that ends it. */
export function unlessOver(end: (error: unknown) => void): (error: unknown) => void {
  return (error) => {
    if (!(error instanceof RiveraError)) end(error);
  };
}
