import { RiveraError } from '../errors.js';

/** Which of several servers to talk to: the one that answered last, or was named by another one. */
export class LeaderFinder {
  readonly #addresses: readonly string[];
  #next = 0;
  #current: string;

  constructor(addresses: readonly string[]) {
    const [first] = addresses;
    if (first === undefined) throw new Error('no address to look for the leader at');
    this.#addresses = addresses;
    this.#current = first;
  }

  current(): string {
    return this.#current;
  }

  /**
   * Tells of a call that failed at `address` (default: the current one) and moves on when it is the server's fault.
   * Of many calls that fail at one address together, the first moves on and the others find it done.
   */
  failed(error: unknown, address = this.#current): void {
    if (!(error instanceof RiveraError) || address !== this.#current) return;
    const leader = error.reason === 'NOT_LEADER' ? error.metadata.leader_address : undefined;
    if (leader !== undefined && leader !== '' && leader !== address) {
      this.#current = leader;
      const place = this.#addresses.indexOf(leader);
      if (place >= 0) this.#next = place;
    } else if (MOVE_ON.has(error.reason)) {
      this.#advance(address);
    }
  }

  /** A leader that was named may be none of ours; its place in the round is that of the one who named it. */
  #advance(failed: string): void {
    for (let tries = 0; tries < this.#addresses.length; tries++) {
      this.#next = (this.#next + 1) % this.#addresses.length;
      const candidate = this.#addresses[this.#next];
      if (candidate !== undefined && candidate !== failed) {
        this.#current = candidate;
        return;
      }
    }
  }
}

/** Reasons that speak of the server, and not of what was asked of it. */
const MOVE_ON: ReadonlySet<string> = new Set(['NOT_LEADER', 'SHUTTING_DOWN', 'UNAVAILABLE', 'DEADLINE_EXCEEDED']);
