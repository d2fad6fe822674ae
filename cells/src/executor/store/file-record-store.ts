import { mkdir, readdir, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from '@rivera/kit/log';
import { syncDirectory } from '../../kernel/sync-directory.js';
import { JournalFile } from './journal-file.js';
import type { ContainerJournal, RecordStore, StoredContainer } from './record-store.js';

const SUFFIX = '.jsonl';

/** Container journals in a folder, one file each, readable by their owner alone. */
export class FileRecordStore implements RecordStore {
  readonly #journals = new Map<string, JournalFile>();
  #syncing: Promise<void> | undefined;
  #syncWanted: Promise<void> | undefined;

  constructor(
    private readonly directory: string,
    private readonly logger: Logger,
  ) {}

  async load(): Promise<{ stored: StoredContainer; journal: ContainerJournal }[]> {
    await mkdir(this.directory, { recursive: true, mode: 0o700 });
    const found: { stored: StoredContainer; journal: ContainerJournal }[] = [];
    for (const name of await readdir(this.directory)) {
      if (name.endsWith('.new')) await unlink(join(this.directory, name));
      if (!name.endsWith(SUFFIX)) continue;
      const journal = this.#journal(name.slice(0, -SUFFIX.length));
      try {
        const stored = await journal.read();
        if (stored) found.push({ stored, journal: this.#wrap(stored.record.guid, journal) });
        else await this.#wrap(name.slice(0, -SUFFIX.length), journal).remove();
      } catch (error) {
        // One unreadable record must not keep all others down. Its container, if any, is unknown now and will be reaped.
        this.logger.error({ err: error, file: name }, 'a container journal is unreadable and was set aside');
        await journal.close();
        this.#journals.delete(name.slice(0, -SUFFIX.length));
        await rename(join(this.directory, name), join(this.directory, `${name}.unreadable`));
      }
    }
    return found;
  }

  create(guid: string): ContainerJournal {
    return this.#wrap(guid, this.#journal(guid));
  }

  async close(): Promise<void> {
    await Promise.all([...this.#journals.values()].map((journal) => journal.close()));
    this.#journals.clear();
  }

  #journal(guid: string): JournalFile {
    const journal = new JournalFile(join(this.directory, `${guid}${SUFFIX}`), {
      syncDirectory: () => this.#syncDirectory(),
      logger: this.logger,
    });
    this.#journals.set(guid, journal);
    return journal;
  }

  #wrap(guid: string, journal: JournalFile): ContainerJournal {
    return {
      append: (entries, options) => journal.append(entries, options),
      remove: async () => {
        await journal.remove();
        if (this.#journals.get(guid) === journal) this.#journals.delete(guid);
      },
    };
  }

  /** Files made at the same time share a sync; one that is under way may have begun too early to count. */
  #syncDirectory(): Promise<void> {
    if (!this.#syncing) {
      this.#syncing = syncDirectory(this.directory).finally(() => {
        this.#syncing = undefined;
      });
      return this.#syncing;
    }
    this.#syncWanted ??= this.#syncing
      .catch(() => {})
      .then(() => {
        this.#syncWanted = undefined;
        return this.#syncDirectory();
      });
    return this.#syncWanted;
  }
}
