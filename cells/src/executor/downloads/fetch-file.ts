import type { Hash } from 'node:crypto';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { inTime } from '@rivera/kit/in-time';
import { type Checksum, ChecksumError, startDigest, verifyDigest } from './checksum.js';
import { TransferError, type TransferResponse, type TransferSettings, transfer } from './http-transfer.js';
import { redactUrls } from './redact.js';

/** What servers say about a version of a file. */
export interface Validators {
  etag?: string;
  lastModified?: string;
}

export type Fetched = { kind: 'not-modified' } | { kind: 'fetched'; sizeBytes: number; validators: Validators };

/** A download that failed for good. Its text is fit for users. */
export class DownloadError extends Error {
  override readonly name = 'DownloadError';
}

export interface FetchSettings extends TransferSettings {
  /** Attempts in all. */
  attempts: number;
  /** Waited before the second attempt, doubled for each further one. */
  retryBaseMs: number;
  /** The longest wait between two attempts. */
  retryMaxMs: number;
  /** For one attempt. */
  totalTimeoutMs: number;
  /** The largest body that is taken. */
  maxBytes: number;
}

/** Of the random part of a wait, in [0, 1). */
export type Random = () => number;

const JITTER_MS = 200;

/** What is asked for, and where it goes. */
export interface FetchRequest {
  url: string;
  path: string;
  checksum?: Checksum;
  known?: Validators;
  signal: AbortSignal;
}

/**
 * Fetches a URL into a file, which exists afterwards only when the body was whole and had the checksum.
 * Tries again unless the failure would be the same: wrong checksum, too large, cancelled, or a status that says so. What came
 * before a connection broke is kept, and only the rest is asked for, where the server names the version and still has it.
 * @throws DownloadError, ChecksumError; the signal's reason when it was aborted
 */
export async function fetchFile(
  request: FetchRequest,
  settings: FetchSettings,
  pause: (ms: number, signal: AbortSignal) => Promise<unknown>,
  random: Random = Math.random,
): Promise<Fetched> {
  const file = await open(request.path, 'wx', 0o600);
  let fetched: Fetched | undefined;
  try {
    const part = new Part(file, request, settings);
    for (let attempt = 1; fetched === undefined; attempt++) {
      try {
        fetched = await inTime(settings.totalTimeoutMs, request.signal, (signal) =>
          fetchOnce({ ...request, signal }, part, settings),
        );
      } catch (error) {
        request.signal.throwIfAborted();
        if (error instanceof ChecksumError || error instanceof FinalError || attempt >= settings.attempts)
          throw described(error);
        await pause(
          Math.min(settings.retryBaseMs * 2 ** (attempt - 1), settings.retryMaxMs) + random() * JITTER_MS,
          request.signal,
        );
        request.signal.throwIfAborted();
      }
    }
    return fetched;
  } finally {
    await file.close();
    if (fetched?.kind !== 'fetched') await rm(request.path, { force: true });
  }
}

/** Failures that another attempt would repeat. */
class FinalError extends DownloadError {}

/** What of a body has come so far. */
class Part {
  sizeBytes = 0;
  validators: Validators = {};
  #hash: Hash | undefined;

  constructor(
    private readonly file: FileHandle,
    private readonly request: FetchRequest,
    private readonly settings: FetchSettings,
  ) {}

  /** By which the rest of the same version can be asked for; a weak ETag is about the meaning, not the bytes. */
  get version(): string | undefined {
    const { etag, lastModified } = this.validators;
    return etag !== undefined && !etag.startsWith('W/') ? etag : lastModified;
  }

  /** The body comes from its beginning. */
  async begin(validators: Validators): Promise<void> {
    await this.file.truncate(0);
    this.sizeBytes = 0;
    this.validators = validators;
    this.#hash = this.request.checksum && startDigest(this.request.checksum);
  }

  async add(chunk: Buffer): Promise<void> {
    const { maxBytes } = this.settings;
    if (this.sizeBytes + chunk.length > maxBytes)
      throw new FinalError(`Download failed: larger than ${maxBytes} bytes`);
    await this.file.write(chunk, 0, chunk.length, this.sizeBytes);
    this.#hash?.update(chunk);
    this.sizeBytes += chunk.length;
  }

  /** @throws ChecksumError */
  verify(): void {
    if (this.request.checksum && this.#hash) verifyDigest(this.request.checksum, this.#hash);
  }
}

async function fetchOnce(request: FetchRequest, part: Part, settings: FetchSettings): Promise<Fetched> {
  const { signal } = request;
  const headers = { 'user-agent': 'rivera-cell', ...conditions(request, part) };
  const response = await transfer({ method: 'GET', url: request.url, headers, signal }, settings);
  const { status } = response;
  if (status === 304 && request.known) {
    response.body.destroy();
    return { kind: 'not-modified' };
  }
  const goesOn = status === 206 && part.sizeBytes > 0 && startOf(response) === part.sizeBytes;
  if (status !== 200 && !goesOn) {
    response.body.destroy();
    // A part that the server doesn't have, or has elsewhere: from the beginning, then.
    if (status === 206 || status === 416) await part.begin({});
    const error = `Download failed: Status code ${status}`;
    throw repeatable(status) ? new DownloadError(error) : new FinalError(error);
  }
  const { etag, 'last-modified': lastModified } = response.headers;
  if (!goesOn) await part.begin({ ...(etag && { etag }), ...(lastModified && { lastModified }) });
  const cut = (): void => void response.body.destroy(new TransferError('timed out'));
  signal.addEventListener('abort', cut, { once: true });
  try {
    for await (const chunk of response.body) await part.add(chunk);
  } finally {
    signal.removeEventListener('abort', cut);
  }
  part.verify();
  return { kind: 'fetched', sizeBytes: part.sizeBytes, validators: part.validators };
}

/** The rest of what has come, as long as it is of the same version; else all of it, unless it is what is known. */
function conditions({ known }: FetchRequest, { sizeBytes, version }: Part): Record<string, string> {
  if (sizeBytes > 0 && version !== undefined) return { range: `bytes=${sizeBytes}-`, 'if-range': version };
  return {
    ...(known?.etag !== undefined && { 'if-none-match': known.etag }),
    ...(known?.lastModified !== undefined && { 'if-modified-since': known.lastModified }),
  };
}

/** Where the part begins that a server sends. */
function startOf({ headers }: TransferResponse): number | undefined {
  const start = /^bytes (\d+)-/.exec(headers['content-range'] ?? '')?.[1];
  return start === undefined ? undefined : Number(start);
}

/** Whether the server might answer differently soon. The reference repeats all; a 404 or 403 only costs time. */
function repeatable(status: number): boolean {
  return status >= 500 || status === 408 || status === 429 || status === 206 || status === 416;
}

function described(error: unknown): Error {
  if (error instanceof DownloadError || error instanceof ChecksumError) return error;
  if (error instanceof TransferError) return new DownloadError(`Download failed: ${error.message}`, { cause: error });
  const text = error instanceof Error ? error.message : String(error);
  return new DownloadError(`Download failed: ${redactUrls(text)}`, { cause: error });
}
