import {
  type ContainerJournal,
  fold,
  type JournalEntry,
  type RecordStore,
  type StoredContainer,
} from './record-store.js';

/**
 * Remembers as long as the program runs: for tests, and for cells that are only simulated. One store handed to one executor
 * after another stands for one disk.
 */
export class MemoryRecordStore implements RecordStore {
  readonly #containers = new Map<string, JournalEntry[]>();

  async load(): Promise<{ stored: StoredContainer; journal: ContainerJournal }[]> {
    const found: { stored: StoredContainer; journal: ContainerJournal }[] = [];
    for (const [guid, entries] of this.#containers) {
      const stored = fold(entries);
      if (stored) found.push({ stored, journal: this.create(guid) });
    }
    return found;
  }

  create(guid: string): ContainerJournal {
    return {
      append: async (entries) => {
        const kept = this.#containers.get(guid);
        if (!kept) this.#containers.set(guid, [...entries]);
        else {
          // Only the last record counts, and flapping readiness would pile them up.
          if (entries.some((entry) => entry.kind === 'record')) {
            const index = kept.findIndex((entry) => entry.kind === 'record');
            if (index >= 0) kept.splice(index, 1);
          }
          kept.push(...entries);
        }
      },
      remove: async () => void this.#containers.delete(guid),
    };
  }

  async close(): Promise<void> {}
}
