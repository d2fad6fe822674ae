import { hash } from 'node:crypto';
import { ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import type { CellHeartbeat, CellInventory, HeldLrp, HeldTask } from '@rivera/gen/rivera/bbs/v1/session_service';
import type { Work } from './work.js';

/** Most entries of one part of an inventory: about 100 kB on the wire. */
const INVENTORY_PART_ENTRIES = 1_000;

interface Entry {
  work: Work;
  state: ActualLrpState;
  high: number;
  low: number;
}

/**
 * The work that the BBS has acknowledged this cell to hold, with a digest that is kept up at the cost of one hash a change,
 * so that a heartbeat costs the same with one container or ten thousand.
 */
export class HeldWork {
  readonly #entries = new Map<string, Entry>();
  #high = 0;
  #low = 0;

  get size(): number {
    return this.#entries.size;
  }

  /** Notes an acknowledged claim, announcement or start. The state is of no meaning for Tasks. */
  hold(guid: string, work: Work, state: ActualLrpState): void {
    const before = this.#entries.get(guid);
    if (before?.state === state) return;
    if (before) this.#mix(before);
    const digest = hash('sha256', digestInput(work, state), 'hex');
    const entry: Entry = {
      work,
      state,
      high: Number.parseInt(digest.slice(0, 8), 16),
      low: Number.parseInt(digest.slice(8, 16), 16),
    };
    this.#mix(entry);
    this.#entries.set(guid, entry);
  }

  /** Notes that the BBS holds it no longer against this cell. */
  release(guid: string): void {
    const entry = this.#entries.get(guid);
    if (!entry) return;
    this.#mix(entry);
    this.#entries.delete(guid);
  }

  has(guid: string): boolean {
    return this.#entries.has(guid);
  }

  /** What a heartbeat says; the rule stands at `CellHeartbeat` in the protocol. */
  heartbeat(): Omit<CellHeartbeat, 'unanswered'> {
    return { digest: hex(this.#high) + hex(this.#low), count: this.#entries.size };
  }

  /**
   * Everything held, in parts. `asked` are the claims and starts that were sent and not yet answered: the BBS reads them
   * before the inventory, so leaving them out would make it look as if this cell had lost what it was just given.
   */
  inventory(requestId: number, asked: Iterable<{ guid: string; work: Work }>): CellInventory[] {
    const all: { work: Work; state: ActualLrpState }[] = [...this.#entries.values()];
    for (const { guid, work } of asked) {
      if (!this.#entries.has(guid)) all.push({ work, state: ActualLrpState.CLAIMED });
    }
    const parts: CellInventory[] = [];
    for (let from = 0; from === 0 || from < all.length; from += INVENTORY_PART_ENTRIES) {
      const lrps: HeldLrp[] = [];
      const tasks: HeldTask[] = [];
      for (const { work, state } of all.slice(from, from + INVENTORY_PART_ENTRIES)) {
        if (work.kind === 'lrp') lrps.push({ key: work.key, instanceGuid: work.instanceGuid, state });
        else tasks.push({ taskGuid: work.taskGuid, executionGuid: work.executionGuid });
      }
      parts.push({ requestId, lrps, tasks, more: from + INVENTORY_PART_ENTRIES < all.length });
    }
    return parts;
  }

  #mix(entry: { high: number; low: number }): void {
    this.#high = (this.#high ^ entry.high) >>> 0;
    this.#low = (this.#low ^ entry.low) >>> 0;
  }
}

function digestInput(work: Work, state: ActualLrpState): string {
  return work.kind === 'lrp' ? `l/${work.instanceGuid}/${state}` : `t/${work.taskGuid}/${work.executionGuid}`;
}

function hex(word: number): string {
  return word.toString(16).padStart(8, '0');
}
