import { createHash, randomBytes } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import type { Validators } from './fetch-file.js';

/** One version of a cached file, on disk: the archive as it was fetched and, once asked for, unpacked. */
export interface CacheVersion {
  /** md5 of the cache key. */
  readonly key: string;
  /** Unique on this cell. */
  readonly id: string;
  readonly sizeBytes: number;
  readonly validators: Validators;
  /** Bytes of the unpacked form; undefined while there is none. */
  directoryBytes?: number;
}

interface Index extends CacheVersion {
  /** The boot in which it was unpacked. An unpacked tree is not synced, so it is trusted no longer than the machine runs. */
  unpackedInBoot?: string;
}

/** The cache's folder: `KEY.json` says which version is current, `KEY.VERSION.data` and `KEY.VERSION.dir` hold it. */
export class CacheFiles {
  #boot = '';

  constructor(readonly directory: string) {}

  /** Finds the current versions, latest use last, and removes everything that is neither current nor in `inUse` (names of unpacked trees). */
  async load(inUse: ReadonlySet<string>): Promise<CacheVersion[]> {
    await mkdir(this.directory, { recursive: true, mode: 0o700 });
    this.#boot = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
    const names = await readdir(this.directory);
    const found: { version: CacheVersion; usedMs: number }[] = [];
    for (const name of names.filter((candidate) => candidate.endsWith('.json'))) {
      const version = await this.#readIndex(join(this.directory, name));
      if (version) found.push({ version, usedMs: (await stat(join(this.directory, name))).mtimeMs });
    }
    const wanted = new Set(inUse);
    for (const { version } of found) {
      wanted.add(`${version.key}.json`).add(dataName(version));
      if (version.directoryBytes !== undefined) wanted.add(directoryName(version));
    }
    for (const name of names)
      if (!wanted.has(name)) await rm(join(this.directory, name), { recursive: true, force: true });
    return found.sort((a, b) => a.usedMs - b.usedMs).map(({ version }) => version);
  }

  newVersion(key: string, sizeBytes: number, validators: Validators): CacheVersion {
    return { key, id: randomBytes(8).toString('hex'), sizeBytes, validators };
  }

  dataPath(version: CacheVersion): string {
    return join(this.directory, dataName(version));
  }

  directoryPath(version: CacheVersion): string {
    return join(this.directory, directoryName(version));
  }

  temporaryPath(): string {
    return join(this.directory, `${randomBytes(8).toString('hex')}.tmp`);
  }

  /** Makes a fetched file the key's current version. A power cut keeps it whole or loses it whole. */
  async publish(version: CacheVersion, temporary: string): Promise<void> {
    const file = await open(temporary, 'r');
    try {
      await file.datasync();
    } finally {
      await file.close();
    }
    await rename(temporary, this.dataPath(version));
    await this.writeIndex(version);
  }

  /** Gives a fetched file a version's name without making it current; it is forgotten at the next start. */
  async publishOnce(version: CacheVersion, temporary: string): Promise<void> {
    await rename(temporary, this.dataPath(version));
  }

  async writeIndex(version: CacheVersion): Promise<void> {
    const index: Index = { ...version, ...(version.directoryBytes !== undefined && { unpackedInBoot: this.#boot }) };
    const temporary = this.temporaryPath();
    const file = await open(temporary, 'wx', 0o600);
    try {
      await file.writeFile(JSON.stringify(index));
      await file.datasync();
    } finally {
      await file.close();
    }
    await rename(temporary, join(this.directory, `${version.key}.json`));
  }

  /** Remembers the time of use; of no consequence when it is lost. */
  async touch(version: CacheVersion, now: Date): Promise<void> {
    await utimes(join(this.directory, `${version.key}.json`), now, now).catch(() => {});
  }

  /** Removes the key's index, so that no version of it is current. */
  async removeIndex(key: string): Promise<void> {
    await rm(join(this.directory, `${key}.json`), { force: true });
  }

  async removeContent(version: CacheVersion): Promise<void> {
    await rm(this.dataPath(version), { force: true });
    await rm(this.directoryPath(version), { recursive: true, force: true });
  }

  async #readIndex(path: string): Promise<CacheVersion | undefined> {
    try {
      const { unpackedInBoot, directoryBytes, ...version } = JSON.parse(await readFile(path, 'utf8')) as Index;
      const { size } = await stat(this.dataPath(version));
      if (size !== version.sizeBytes) return undefined;
      const unpacked = directoryBytes !== undefined && unpackedInBoot === this.#boot;
      return { ...version, ...(unpacked && { directoryBytes }) };
    } catch {
      // Half-written or tampered with: it is fetched again when it is needed.
      return undefined;
    }
  }
}

/** The name of a cache key in the file system. */
export function hashedKey(cacheKey: string): string {
  return createHash('md5').update(cacheKey).digest('hex');
}

function dataName(version: CacheVersion): string {
  return `${version.key}.${version.id}.data`;
}

/** The name by which an unpacked version is known across restarts. */
export function directoryName(version: CacheVersion): string {
  return `${version.key}.${version.id}.dir`;
}
