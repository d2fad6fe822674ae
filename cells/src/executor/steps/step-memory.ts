import type { ContainerJournal, MarkValue } from '../store/record-store.js';

/** What the steps of one container remember across restarts of the agent. */
export interface StepMemory {
  get(key: string): MarkValue | undefined;
  /** Resolves when it is kept; see `ContainerJournal.append` for `durable`. */
  set(key: string, value: MarkValue, options?: { durable: boolean }): Promise<void>;
}

/** Memory in the container's journal. */
export class JournalMemory implements StepMemory {
  readonly #marks: Map<string, MarkValue>;

  constructor(
    marks: ReadonlyMap<string, MarkValue>,
    private readonly journal: ContainerJournal,
  ) {
    this.#marks = new Map(marks);
  }

  get(key: string): MarkValue | undefined {
    return this.#marks.get(key);
  }

  async set(key: string, value: MarkValue, options?: { durable: boolean }): Promise<void> {
    this.#marks.set(key, value);
    await this.journal.append([{ kind: 'mark', key, value }], options);
  }
}

/** Memory of a monitor's run, which is simply made again after a restart. */
export class ForgetfulMemory implements StepMemory {
  readonly #marks = new Map<string, MarkValue>();

  get(key: string): MarkValue | undefined {
    return this.#marks.get(key);
  }

  async set(key: string, value: MarkValue): Promise<void> {
    this.#marks.set(key, value);
  }
}
