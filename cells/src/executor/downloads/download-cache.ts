import { mkdir, rm } from 'node:fs/promises';
import { SingleFlight, untilAborted } from '@rivera/kit/single-flight';
import { CacheFiles, type CacheVersion, directoryName, hashedKey } from './cache-files.js';
import { type Checksum, fileMatches } from './checksum.js';
import { DownloadError, type Fetched, type Validators } from './fetch-file.js';
import { unpackInto } from './unpack.js';

/** What is wanted of the cache. */
export interface CacheRequest {
  cacheKey: string;
  url: string;
  checksum?: Checksum;
  signal: AbortSignal;
}

/** A file or directory that stays where it is until it is released. */
export interface Held {
  path: string;
  /** Bytes transferred; 0 when the server said that nothing has changed. */
  fetchedBytes: number;
  release(): void;
}

type Fetch = (request: {
  url: string;
  path: string;
  checksum?: Checksum;
  known?: Validators;
  signal: AbortSignal;
}) => Promise<Fetched>;

/** A version in memory. */
interface Kept {
  version: CacheVersion;
  /** Users of its file or directory. */
  references: number;
  /** A newer version has taken its place; it goes with its last user. */
  replaced: boolean;
  unpacking?: Promise<void>;
}

interface Current {
  kept: Kept;
  fetchedBytes: number;
}

/**
 * Archives that were fetched before. Each use asks the server whether they have changed. The least recently used go when room
 * is needed, but never one that is in use; what doesn't fit is not kept.
 */
export class DownloadCache {
  readonly #files: CacheFiles;
  /** By hashed key; latest use last. */
  readonly #current = new Map<string, Kept>();
  /** All that is on disk, the replaced ones included. */
  readonly #kept = new Set<Kept>();
  readonly #flights = new SingleFlight<Current>({
    // The result comes with one reference, so that it can't be evicted on the way to those who asked for it.
    hand: ({ kept }, callers) => {
      kept.references += callers;
      this.#release(kept);
    },
    takeBack: ({ kept }) => this.#release(kept),
  });
  readonly #closing = new AbortController();
  /** Removals under way. */
  #removing: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly options: {
      directory: string;
      maxBytes: number;
      /** Bound of an unpacked archive. */
      maxUnpackedBytes: number;
      fetch: Fetch;
      now: () => number;
    },
  ) {
    this.#files = new CacheFiles(options.directory);
  }

  /** Finds what an earlier cache left. `inUse` names the directories that containers still have mounted. */
  async start(inUse: ReadonlySet<string>): Promise<void> {
    for (const version of await this.#files.load(inUse)) this.#admit(version);
  }

  /** Bytes on disk. */
  get usedBytes(): number {
    let sum = 0;
    for (const { version } of this.#kept) sum += version.sizeBytes + (version.directoryBytes ?? 0);
    return sum;
  }

  /** The archive as it was sent. @throws DownloadError, ChecksumError */
  async file(request: CacheRequest): Promise<Held> {
    const { kept, fetchedBytes } = await this.#fetch(request);
    return { path: this.#files.dataPath(kept.version), fetchedBytes, release: once(() => this.#release(kept)) };
  }

  /** The archive unpacked; `name` is for `hold`. @throws DownloadError, ChecksumError, ArchiveError */
  async directory(request: CacheRequest): Promise<Held & { name: string }> {
    const { kept, fetchedBytes } = await this.#fetch(request);
    try {
      if (!this.#current.has(kept.version.key) || kept.replaced) throw uncacheable(kept.version, this.options.maxBytes);
      // Shared by all who want it now, so it ends with the cache and not with the first of them.
      kept.unpacking ??= this.#unpack(kept, this.#closing.signal).finally(() => {
        delete kept.unpacking;
      });
      await untilAborted(kept.unpacking, request.signal);
    } catch (error) {
      this.#release(kept);
      throw error;
    }
    const name = directoryName(kept.version);
    return {
      path: this.#files.directoryPath(kept.version),
      name,
      fetchedBytes,
      release: once(() => this.#release(kept)),
    };
  }

  /** Keeps a directory of an earlier life of the agent. Undefined when it isn't there. */
  hold(name: string): (() => void) | undefined {
    for (const kept of this.#kept) {
      if (directoryName(kept.version) !== name) continue;
      kept.references++;
      return once(() => this.#release(kept));
    }
    return undefined;
  }

  /** Ends unpacking and waits for removals. */
  async close(): Promise<void> {
    this.#closing.abort(new Error('the download cache is closed'));
    await Promise.allSettled([...this.#kept].map((kept) => kept.unpacking));
    await this.#removing;
  }

  /** The current version, with one reference for the caller. */
  #fetch(request: CacheRequest): Promise<Current> {
    const key = hashedKey(request.cacheKey);
    const purpose = `${request.url} ${request.checksum?.algorithm}:${request.checksum?.value}`;
    return this.#flights.run(key, {
      purpose,
      signal: request.signal,
      work: (signal) => this.#validate(key, { ...request, signal }),
    });
  }

  async #validate(key: string, request: CacheRequest): Promise<Current> {
    const known = this.#current.get(key);
    if (known) known.references++;
    try {
      // A copy that doesn't have the digest is no reason to ask whether it is still current.
      const usable =
        known &&
        (!request.checksum ||
          (await fileMatches(this.#files.dataPath(known.version), request.checksum, request.signal)));
      const temporary = this.#files.temporaryPath();
      const { url, checksum, signal } = request;
      const fetched = await this.options.fetch({
        url,
        path: temporary,
        signal,
        ...(checksum && { checksum }),
        ...(usable && { known: known.version.validators }),
      });
      if (fetched.kind === 'not-modified' && known) {
        this.#current.delete(key);
        this.#current.set(key, known);
        await this.#files.touch(known.version, new Date(this.options.now()));
        known.references++;
        return { kept: known, fetchedBytes: 0 };
      }
      if (fetched.kind === 'not-modified') throw new DownloadError('Download failed: Status code 304');
      return { kept: await this.#keep(key, temporary, fetched), fetchedBytes: fetched.sizeBytes };
    } finally {
      if (known) this.#release(known);
    }
  }

  async #keep(key: string, temporary: string, fetched: Extract<Fetched, { kind: 'fetched' }>): Promise<Kept> {
    const version = this.#files.newVersion(key, fetched.sizeBytes, fetched.validators);
    const old = this.#current.get(key);
    const cacheable = fetched.validators.etag !== undefined || fetched.validators.lastModified !== undefined;
    if (!cacheable || !this.#makeRoom(fetched.sizeBytes, old)) {
      // Used once: it goes with its users.
      await this.#files.publishOnce(version, temporary);
      const kept: Kept = { version, references: 1, replaced: true };
      this.#kept.add(kept);
      return kept;
    }
    await this.#files.publish(version, temporary);
    if (old) this.#replace(old);
    const kept = this.#admit(version);
    kept.references++;
    return kept;
  }

  #admit(version: CacheVersion): Kept {
    const kept: Kept = { version, references: 0, replaced: false };
    this.#kept.add(kept);
    this.#current.set(version.key, kept);
    return kept;
  }

  async #unpack(kept: Kept, signal: AbortSignal): Promise<void> {
    if (kept.version.directoryBytes !== undefined) return;
    const path = this.#files.directoryPath(kept.version);
    await rm(path, { recursive: true, force: true });
    await mkdir(path, { mode: 0o755 });
    try {
      const bytes = await unpackInto(this.#files.dataPath(kept.version), path, {
        maxBytes: this.options.maxUnpackedBytes,
        signal,
      });
      if (!this.#makeRoom(bytes))
        throw new DownloadError(
          `Not cacheable directory: the download cache of ${this.options.maxBytes} bytes is full`,
        );
      kept.version.directoryBytes = bytes;
      await this.#files.writeIndex(kept.version);
    } catch (error) {
      delete kept.version.directoryBytes;
      await rm(path, { recursive: true, force: true });
      throw error;
    }
  }

  /** Removes what has not been used for longest until so much fits. `leaving` goes anyway. */
  #makeRoom(bytes: number, leaving?: Kept): boolean {
    const free = (): number =>
      this.options.maxBytes - this.usedBytes + (leaving && leaving.references <= 1 ? size(leaving) : 0);
    for (const kept of this.#current.values()) {
      if (free() >= bytes) return true;
      if (kept.references > 0 || kept === leaving) continue;
      this.#current.delete(kept.version.key);
      this.#later(() => this.#files.removeIndex(kept.version.key));
      this.#replace(kept);
    }
    return free() >= bytes;
  }

  #replace(kept: Kept): void {
    kept.replaced = true;
    if (kept.references === 0) this.#remove(kept);
  }

  #release(kept: Kept): void {
    kept.references--;
    if (kept.references === 0 && kept.replaced) this.#remove(kept);
  }

  #remove(kept: Kept): void {
    this.#kept.delete(kept);
    this.#later(() => this.#files.removeContent(kept.version));
  }

  #later(work: () => Promise<void>): void {
    // What can't be removed now is removed at the next start, as nothing refers to it.
    this.#removing = this.#removing.then(work).catch(() => {});
  }
}

function size(kept: Kept): number {
  return kept.version.sizeBytes + (kept.version.directoryBytes ?? 0);
}

function uncacheable(version: CacheVersion, maxBytes: number): DownloadError {
  const { etag, lastModified } = version.validators;
  return etag === undefined && lastModified === undefined
    ? new DownloadError('Not cacheable directory: ETag and Last-Modified were missing from response')
    : new DownloadError(`Not cacheable directory: the download cache of ${maxBytes} bytes is full`);
}

function once(fn: () => void): () => void {
  let done = false;
  return () => {
    if (done) return;
    done = true;
    fn();
  };
}
