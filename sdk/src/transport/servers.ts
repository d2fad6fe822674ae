import type { RiveraError } from '../errors.js';

/** Reasons that make another server worth a try; none at all comes from a broken connection. */
const SPEAKS_OF_THE_SERVER: ReadonlySet<string> = new Set([
  '',
  'NOT_LEADER',
  'SHUTTING_DOWN',
  'UNAVAILABLE',
  'DEADLINE_EXCEEDED',
]);

/**
 * Decides which server the next attempt goes to: the leader that a standby named, else the list in turn.
 * Only what failed at the address in use moves it: calls that fail late do not send everybody on again.
 */
export class Servers {
  readonly #listed: readonly string[];
  #index = 0;
  #leader: string | undefined;

  constructor(listed: readonly string[]) {
    this.#listed = listed;
  }

  /** How many addresses there are to try. */
  get count(): number {
    return new Set([...this.#listed, ...(this.#leader ? [this.#leader] : [])]).size;
  }

  current(): string {
    const listed = this.#listed[this.#index];
    if (listed === undefined) throw new Error('the server list is empty');
    return this.#leader ?? listed;
  }

  /** Takes note of a failure at `address`. Returns whether a leader is now known that was not asked yet. */
  failed(address: string, error: RiveraError): boolean {
    if (address !== this.current()) return error.reason === 'NOT_LEADER';
    const named = error.reason === 'NOT_LEADER' ? error.metadata.leader_address : undefined;
    if (named && named !== address) {
      this.#leader = named;
      return true;
    }
    if (!SPEAKS_OF_THE_SERVER.has(error.reason)) return false;
    this.#leader = undefined;
    this.#index = (this.#index + 1) % this.#listed.length;
    if (this.current() === address) this.#index = (this.#index + 1) % this.#listed.length;
    return false;
  }
}
