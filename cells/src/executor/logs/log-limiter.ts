/** For how long everything is dropped after the limit was exceeded (spec cell §25). */
const MUTE_MS = 1000;

/** A bucket that fills at a rate and holds one second's worth. Its clock is that of what passes through it. */
class TokenBucket {
  #tokens: number;
  #lastMs: number | undefined;

  constructor(private readonly ratePerSecond: number) {
    this.#tokens = ratePerSecond;
  }

  take(tokens: number, timeMs: number): boolean {
    if (this.#lastMs !== undefined && timeMs > this.#lastMs) {
      this.#tokens = Math.min(this.ratePerSecond, this.#tokens + ((timeMs - this.#lastMs) * this.ratePerSecond) / 1000);
    }
    this.#lastMs = Math.max(this.#lastMs ?? timeMs, timeMs);
    if (tokens > this.#tokens) return false;
    this.#tokens -= tokens;
    return true;
  }
}

/** What a container may log. */
export interface LogLimits {
  /** Of the definition: -1 none, 0 nothing passes. */
  bytesPerSecond: number;
  /** Of the operator; 0: none. */
  linesPerSecond: number;
}

/**
 * Decides which lines of a container pass. It reckons with the times at which the lines were written, so output that is read
 * again after a restart of the agent is limited exactly as it was the first time.
 */
export class LogLimiter {
  readonly #bytes: TokenBucket | undefined;
  readonly #lines: TokenBucket | undefined;
  #mutedUntilMs = Number.NEGATIVE_INFINITY;

  constructor(private readonly limits: LogLimits) {
    if (limits.bytesPerSecond > 0) this.#bytes = new TokenBucket(limits.bytesPerSecond);
    if (limits.linesPerSecond > 0) this.#lines = new TokenBucket(limits.linesPerSecond);
  }

  /** Whether a line passes, and the notice that is due when it is the first that doesn't. */
  admit(bytes: number, timeMs: number): { pass: boolean; notice?: string } {
    if (this.limits.bytesPerSecond === 0) return { pass: false };
    if (timeMs < this.#mutedUntilMs) return { pass: false };
    if (this.#lines && !this.#lines.take(1, timeMs)) {
      return this.#mute(timeMs, `(${this.limits.linesPerSecond} log-lines/sec) set by platform operator`);
    }
    if (this.#bytes && !this.#bytes.take(bytes, timeMs)) {
      return this.#mute(timeMs, `(${this.limits.bytesPerSecond} bytes/sec)`);
    }
    return { pass: true };
  }

  #mute(timeMs: number, what: string): { pass: false; notice: string } {
    this.#mutedUntilMs = timeMs + MUTE_MS;
    return { pass: false, notice: `app instance exceeded log rate limit ${what}` };
  }
}
