/** Addresses and users that are remembered; beyond that the oldest are forgotten. */
const MAX_ENTRIES = 20_000;
/** Wrong credentials of one address for all its users, in units of those for one. */
const ADDRESS_FACTOR = 10;

interface Entry {
  failures: number;
  sinceMs: number;
  lockedUntilMs: number;
}

/** How many failures lock whom out for how long. */
export interface LockoutRules {
  readonly failures: number;
  readonly windowMs: number;
  readonly durationMs: number;
}

/**
 * Counts wrong credentials by address and user, so that nobody can lock a user out from elsewhere, and more patiently by address alone.
 */
export class Lockout {
  readonly #entries = new Map<string, Entry>();

  constructor(
    private readonly rules: LockoutRules,
    private readonly now: () => number,
  ) {}

  /** Whether the right credentials are refused as well. */
  isLocked(address: string, user: string): boolean {
    return [`${address} ${user}`, address].some((key) => (this.#entries.get(key)?.lockedUntilMs ?? 0) > this.now());
  }

  failed(address: string, user: string): void {
    this.#count(`${address} ${user}`, this.rules.failures);
    this.#count(address, this.rules.failures * ADDRESS_FACTOR);
  }

  succeeded(address: string, user: string): void {
    this.#entries.delete(`${address} ${user}`);
  }

  #count(key: string, most: number): void {
    const now = this.now();
    const known = this.#entries.get(key);
    const entry =
      known && now - known.sinceMs <= this.rules.windowMs ? known : { failures: 0, sinceMs: now, lockedUntilMs: 0 };
    entry.failures++;
    if (entry.failures >= most) {
      entry.lockedUntilMs = now + this.rules.durationMs;
      entry.failures = 0;
    }
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= MAX_ENTRIES) break;
      this.#entries.delete(oldest);
    }
  }
}
