import { randomBytes } from 'node:crypto';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import type { Lifetime } from '../lifetime.js';
import { Slots } from '../slots.js';
import { parseChecksum } from './checksum.js';
import { DownloadCache, type Held } from './download-cache.js';
import { DownloadError, type FetchSettings, fetchFile } from './fetch-file.js';
import { archiveAsTar } from './unpack.js';

/** An archive to be had. */
export interface DownloadRequest {
  url: string;
  /** Empty: not cached. */
  cacheKey: string;
  checksumAlgorithm: string;
  checksumValue: string;
}

/** A directory that is shared by containers. */
export type SharedDirectory = Held & { name: string };

export interface DownloaderSettings extends FetchSettings {
  directory: string;
  maxConcurrent: number;
  maxCacheBytes: number;
  maxUnpackedBytes: number;
}

/** Fetches archives for containers: through the cache or not, a bounded number at once. */
export class Downloader {
  readonly #cache: DownloadCache;
  readonly #slots: Slots;
  readonly #temporary: string;

  constructor(
    private readonly settings: DownloaderSettings,
    private readonly lifetime: Lifetime,
  ) {
    this.#slots = new Slots(settings.maxConcurrent);
    this.#temporary = join(settings.directory, 'uncached');
    this.#cache = new DownloadCache({
      directory: join(settings.directory, 'cache'),
      maxBytes: settings.maxCacheBytes,
      maxUnpackedBytes: settings.maxUnpackedBytes,
      fetch: (request) => this.#fetch(request),
      now: () => lifetime.clock.now(),
    });
  }

  /** Finds the cache of an earlier life; `inUse` names directories that containers have mounted. */
  async start(inUse: ReadonlySet<string>): Promise<void> {
    await mkdir(this.#temporary, { recursive: true, mode: 0o700 });
    for (const name of await readdir(this.#temporary)) await rm(join(this.#temporary, name), { force: true });
    await this.#cache.start(inUse);
  }

  /**
   * Fetches an archive and hands it over as a tar stream, in one of the slots for downloads.
   * Returns the bytes transferred; 0 when a cached copy was still current.
   * @throws DownloadError, ChecksumError, ArchiveError, and what `use` throws
   */
  async withArchive(
    request: DownloadRequest,
    signal: AbortSignal,
    use: (tar: Readable) => Promise<void>,
  ): Promise<number> {
    const cut = AbortSignal.any([signal, this.lifetime.signal]);
    const work = this.#slots.run(cut, async () => {
      const held = await this.#held(request, cut);
      const tar = archiveAsTar(held.path, { maxBytes: this.settings.maxUnpackedBytes, signal: cut });
      try {
        await use(tar);
        return held.fetchedBytes;
      } finally {
        tar.destroy();
        held.release();
      }
    });
    return this.lifetime.track(work);
  }

  /** Fetches an archive and unpacks it, once for all containers. @throws as `withArchive` */
  async sharedDirectory(request: DownloadRequest, signal: AbortSignal): Promise<SharedDirectory> {
    if (request.cacheKey === '') throw new DownloadError('Not cacheable directory: cache key is missing');
    const cut = AbortSignal.any([signal, this.lifetime.signal]);
    return this.lifetime.track(this.#slots.run(cut, () => this.#cache.directory(this.#cacheRequest(request, cut))));
  }

  /** Keeps a directory that a container of an earlier life has mounted. */
  hold(name: string): (() => void) | undefined {
    return this.#cache.hold(name);
  }

  async close(): Promise<void> {
    await this.#cache.close();
  }

  async #held(request: DownloadRequest, signal: AbortSignal): Promise<Held> {
    const cacheRequest = this.#cacheRequest(request, signal);
    if (request.cacheKey !== '') return this.#cache.file(cacheRequest);
    const path = join(this.#temporary, `${randomBytes(8).toString('hex')}.tmp`);
    const { url, checksum } = cacheRequest;
    const fetched = await this.#fetch({ url, path, signal, ...(checksum && { checksum }) });
    const release = (): void => void this.lifetime.track(rm(path, { force: true }));
    return { path, fetchedBytes: fetched.kind === 'fetched' ? fetched.sizeBytes : 0, release };
  }

  #cacheRequest(request: DownloadRequest, signal: AbortSignal) {
    const checksum = parseChecksum(request.checksumAlgorithm, request.checksumValue);
    return { cacheKey: request.cacheKey, url: request.url, signal, ...(checksum && { checksum }) };
  }

  #fetch(request: Parameters<typeof fetchFile>[0]) {
    return fetchFile(request, this.settings, (ms, signal) => this.lifetime.clock.sleep(ms, signal));
  }
}
