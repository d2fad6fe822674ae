import { mkdirSync } from 'node:fs';
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from '@rivera/kit/log';
import { Recording, type RecordingFacts } from './recording.js';

/** How often is looked whether there is too much, at most. */
const TIDY_MS = 60_000;
const SUFFIX = '.cast';

export interface RecordingsOptions {
  readonly folder: string;
  /** Of all recordings in the folder together; 0: no limit. */
  readonly maxBytes: number;
  /** Ms that only grow. */
  readonly steadyNow: () => number;
  readonly log: Logger;
}

/** The recordings of a folder. Together they stay within a size: when a session ends, the oldest go. */
export class Recordings {
  /** Names of files that are being written. */
  readonly #open = new Set<string>();
  #lookedMs = Number.NEGATIVE_INFINITY;

  constructor(private readonly options: RecordingsOptions) {}

  /** @throws Error when the folder can't be made */
  begin(facts: RecordingFacts, onError: (error: Error) => void): Recording {
    const { folder } = this.options;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const name = `${facts.id}${SUFFIX}`;
    const recording = new Recording(join(folder, name), facts, Date.now, onError);
    this.#open.add(name);
    void recording.closed.then(() => {
      this.#open.delete(name);
      return this.#tidy();
    });
    return recording;
  }

  /** Never rejects. */
  async #tidy(): Promise<void> {
    const { folder, maxBytes, steadyNow, log } = this.options;
    if (maxBytes === 0 || steadyNow() - this.#lookedMs < TIDY_MS) return;
    this.#lookedMs = steadyNow();
    try {
      const found = await this.#finished();
      let bytes = found.reduce((sum, { size }) => sum + size, 0);
      const tooMany = found.filter(({ size }) => {
        const isTooMuch = bytes > maxBytes;
        if (isTooMuch) bytes -= size;
        return isTooMuch;
      });
      for (const { name } of tooMany) await rm(join(folder, name), { force: true });
      if (tooMany.length > 0)
        log.info({ folder, removed: tooMany.length, left: found.length - tooMany.length }, 'old recordings removed');
    } catch (error) {
      log.warn({ err: error, folder }, 'old recordings could not be removed');
    }
  }

  /** Oldest first. */
  async #finished(): Promise<{ name: string; size: number; mtimeMs: number }[]> {
    const { folder } = this.options;
    const names = (await readdir(folder)).filter((name) => name.endsWith(SUFFIX) && !this.#open.has(name));
    const found = [];
    for (const name of names) {
      // Another proxy may be tidying up as well.
      const facts = await stat(join(folder, name)).catch(() => undefined);
      if (facts) found.push({ name, size: facts.size, mtimeMs: facts.mtimeMs });
    }
    return found.sort((a, b) => a.mtimeMs - b.mtimeMs);
  }
}
