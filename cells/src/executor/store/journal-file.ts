import { type FileHandle, open, rename, unlink } from 'node:fs/promises';
import type { Logger } from '@rivera/kit/log';
import { decodeEntry, encodeEntry } from './journal-codec.js';
import { type ContainerJournal, fold, type JournalEntry, type StoredContainer, unfold } from './record-store.js';

/** A journal that has grown by so much is written anew with its meaning alone. */
const COMPACT_AFTER_BYTES = 256 * 1024;
const RETRY_MS = 1000;

interface Pending {
  entries: JournalEntry[];
  durable: boolean;
  resolve(): void;
  reject(error: unknown): void;
}

/**
 * One container's journal: a file of JSON lines, appended to. Appends that come while the disk is busy share the next write
 * and its sync. A write that fails is repeated until it succeeds or the journal is closed: state that can't be made
 * durable must not be told to anybody. A torn last line, which only a crash leaves, was never acknowledged and is dropped.
 */
export class JournalFile implements ContainerJournal {
  #file: FileHandle | undefined;
  #position = 0;
  #compactAt = COMPACT_AFTER_BYTES;
  #entries: JournalEntry[] = [];
  #pending: Pending[] = [];
  #flushing: Promise<void> | undefined;
  #closed = false;
  #named = false;
  #wake: (() => void) | undefined;

  constructor(
    readonly path: string,
    private readonly options: { syncDirectory: () => Promise<void>; logger: Logger },
  ) {}

  /** Reads what is there. Undefined when it holds no record. */
  async read(): Promise<StoredContainer | undefined> {
    this.#file = await open(this.path, 'r+');
    const content = await this.#file.readFile();
    const end = content.lastIndexOf(0x0a) + 1;
    for (const line of content.subarray(0, end).toString('utf8').split('\n')) {
      if (line !== '') this.#entries.push(decodeEntry(line));
    }
    this.#position = end;
    this.#named = true;
    const stored = fold(this.#entries);
    if (stored) this.#entries = unfold(stored);
    return stored;
  }

  append(entries: JournalEntry[], options: { durable: boolean } = { durable: true }): Promise<void> {
    if (this.#closed) return Promise.reject(new Error('the journal is closed'));
    return new Promise((resolve, reject) => {
      this.#pending.push({ entries, durable: options.durable, resolve, reject });
      this.#flushing ??= this.#flush();
    });
  }

  async remove(): Promise<void> {
    await this.close();
    try {
      await unlink(this.path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
    await this.options.syncDirectory();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#wake?.();
    await this.#flushing;
    await this.#file?.close();
    this.#file = undefined;
  }

  async #flush(): Promise<void> {
    while (this.#pending.length > 0) {
      const batch = this.#pending.splice(0);
      const entries = batch.flatMap((pending) => pending.entries);
      const durable = batch.some((pending) => pending.durable);
      try {
        await this.#writeUntilKept(entries, durable);
        for (const pending of batch) pending.resolve();
      } catch (error) {
        for (const pending of batch) pending.reject(error);
      }
    }
    this.#flushing = undefined;
  }

  async #writeUntilKept(entries: JournalEntry[], durable: boolean): Promise<void> {
    for (;;) {
      try {
        await this.#write(entries, durable);
        return;
      } catch (error) {
        this.options.logger.error(
          { err: error, path: this.path },
          'a container journal could not be written; trying again',
        );
        if (this.#closed) throw error;
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, RETRY_MS);
          this.#wake = () => {
            clearTimeout(timer);
            resolve();
          };
        });
        this.#wake = undefined;
      }
    }
  }

  async #write(entries: JournalEntry[], durable: boolean): Promise<void> {
    this.#file ??= await open(this.path, 'wx', 0o600).catch((error: NodeJS.ErrnoException) => {
      // A first write that failed half-way has made the file already.
      if (error.code === 'EEXIST') return open(this.path, 'r+');
      throw error;
    });
    const lines = Buffer.from(entries.map((entry) => `${encodeEntry(entry)}\n`).join(''));
    // At a fixed position, so that a repeated write covers what a failed one left.
    await writeAll(this.#file, lines, this.#position);
    if (durable) await this.#file.datasync();
    if (!this.#named && durable) {
      await this.options.syncDirectory();
      this.#named = true;
    }
    this.#position += lines.length;
    this.#entries.push(...entries);
    if (this.#position > this.#compactAt) await this.#compact();
  }

  async #compact(): Promise<void> {
    const stored = fold(this.#entries);
    if (!stored) return;
    const entries = unfold(stored);
    const content = Buffer.from(entries.map((entry) => `${encodeEntry(entry)}\n`).join(''));
    const temporary = `${this.path}.new`;
    const file = await open(temporary, 'w', 0o600);
    try {
      await writeAll(file, content, 0);
      await file.datasync();
      await rename(temporary, this.path);
      await this.options.syncDirectory();
    } catch (error) {
      await file.close();
      // The long journal still says the same; the next append tries again.
      this.options.logger.warn({ err: error, path: this.path }, 'a container journal could not be shortened');
      return;
    }
    await this.#file?.close();
    this.#file = file;
    this.#position = content.length;
    this.#compactAt = content.length + COMPACT_AFTER_BYTES;
    this.#entries = entries;
  }
}

async function writeAll(file: FileHandle, content: Buffer, position: number): Promise<void> {
  for (let written = 0; written < content.length; ) {
    const { bytesWritten } = await file.write(content, written, content.length - written, position + written);
    written += bytesWritten;
  }
}
