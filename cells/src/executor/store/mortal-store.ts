import type { ContainerJournal, RecordStore, StoredContainer } from './record-store.js';

/**
 * A fail point for tests: a store whose program is killed at a write, either just before it or just after it. From then on nothing
 * is acknowledged any more.
 */
export class MortalStore implements RecordStore {
  #writes = 0;
  #dead = false;
  readonly #died: Promise<void>;
  #die: () => void = () => {};

  constructor(
    private readonly inner: RecordStore,
    private readonly death: { atWrite: number; writeIsKept: boolean },
  ) {
    this.#died = new Promise((resolve) => {
      this.#die = resolve;
    });
  }

  get dead(): boolean {
    return this.#dead;
  }

  /** Resolves at death. */
  get died(): Promise<void> {
    return this.#died;
  }

  async load(): Promise<{ stored: StoredContainer; journal: ContainerJournal }[]> {
    const found = await this.inner.load();
    return found.map(({ stored, journal }) => ({ stored, journal: this.#wrap(journal) }));
  }

  create(guid: string): ContainerJournal {
    return this.#wrap(this.inner.create(guid));
  }

  async close(): Promise<void> {}

  #wrap(journal: ContainerJournal): ContainerJournal {
    const write = (perform: () => Promise<void>): Promise<void> => {
      if (this.#dead) return new Promise(() => {});
      if (this.#writes++ < this.death.atWrite) return perform();
      this.#dead = true;
      const kept = this.death.writeIsKept ? perform() : Promise.resolve();
      return kept.then(this.#die).then(() => new Promise(() => {}));
    };
    return {
      append: (entries, options) => write(() => journal.append(entries, options)),
      remove: () => write(() => journal.remove()),
    };
  }
}
