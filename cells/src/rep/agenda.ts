import type { CellInventory, SessionRequest } from '@rivera/gen/rivera/bbs/v1/session_service';
import type { Reconciler } from './reconciler.js';

/** What a cell says to the BBS after its hello. */
export type Message = NonNullable<SessionRequest['message']>;

/** Requests that wait at the same time; one would do. */
const MAX_INVENTORY_REQUESTS = 16;

/**
 * What one stream owes the BBS, and in which order: the rest of an inventory that was begun, a changed presence, a heartbeat,
 * what was unanswered when the stream opened, an inventory, and then whatever happens.
 *
 * An inventory names what was asked for before it, so that goes first; nothing gets between its parts, as the BBS judges by the
 * whole what this cell holds at the moment of the first. Heartbeats never wait for transitions, however many there are.
 */
export class Agenda {
  readonly #reconciler: Pick<Reconciler, 'outbox' | 'held' | 'asked'>;
  #evacuating: boolean;
  #updateDue: boolean;
  #heartbeatDue = false;
  /** Ids of requests; a stream opens with an inventory that nobody asked for. */
  readonly #inventoriesDue = [0];
  #parts: CellInventory[] = [];

  constructor(reconciler: Pick<Reconciler, 'outbox' | 'held' | 'asked'>, evacuating: boolean) {
    this.#reconciler = reconciler;
    this.#evacuating = evacuating;
    this.#updateDue = evacuating;
  }

  /** The cell takes no new work from now on. */
  evacuate(): void {
    this.#evacuating = true;
    this.#updateDue = true;
  }

  beat(): void {
    this.#heartbeatDue = true;
  }

  requestInventory(requestId: number): void {
    if (this.#inventoriesDue.length < MAX_INVENTORY_REQUESTS) this.#inventoriesDue.push(requestId);
  }

  /** What to say now; undefined when nothing is owed. */
  next(): Message | undefined {
    const { outbox, held } = this.#reconciler;
    const part = this.#parts.shift();
    if (part !== undefined) return { $case: 'inventory', value: part };
    if (this.#updateDue) {
      this.#updateDue = false;
      return { $case: 'update', value: { evacuating: this.#evacuating, capacity: undefined } };
    }
    if (this.#heartbeatDue) {
      this.#heartbeatDue = false;
      return { $case: 'heartbeat', value: { ...held.heartbeat(), unanswered: outbox.sentUnanswered } };
    }
    const requestId = outbox.hasEarlier ? undefined : this.#inventoriesDue.shift();
    if (requestId !== undefined) {
      this.#parts = held.inventory(requestId, this.#reconciler.asked());
      return this.next();
    }
    const transitions = outbox.take();
    return transitions.length > 0 ? { $case: 'transitions', value: { transitions } } : undefined;
  }
}
