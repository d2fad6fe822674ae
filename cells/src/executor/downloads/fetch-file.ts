import { createWriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Checksum, ChecksumError, startDigest, verifyDigest } from './checksum.js';
import { TransferError, type TransferSettings, transfer } from './http-transfer.js';
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

/**
 * Fetches a URL into a file, which exists afterwards only when the body was whole and had the checksum.
 * Tries again unless the failure would be the same: wrong checksum, too large, cancelled, or a status that says so.
 * @throws DownloadError, ChecksumError; the signal's reason when it was aborted
 */
export async function fetchFile(
  request: { url: string; path: string; checksum?: Checksum; known?: Validators; signal: AbortSignal },
  settings: FetchSettings,
  pause: (ms: number, signal: AbortSignal) => Promise<unknown>,
  random: Random = Math.random,
): Promise<Fetched> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await fetchOnce(request, settings);
    } catch (error) {
      await rm(request.path, { force: true });
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
}

/** Failures that another attempt would repeat. */
class FinalError extends DownloadError {}

async function fetchOnce(
  request: { url: string; path: string; checksum?: Checksum; known?: Validators; signal: AbortSignal },
  settings: FetchSettings,
): Promise<Fetched> {
  const signal = AbortSignal.any([request.signal, AbortSignal.timeout(settings.totalTimeoutMs)]);
  const headers: Record<string, string> = { 'user-agent': 'rivera-cell' };
  if (request.known?.etag !== undefined) headers['if-none-match'] = request.known.etag;
  if (request.known?.lastModified !== undefined) headers['if-modified-since'] = request.known.lastModified;
  const response = await transfer({ method: 'GET', url: request.url, headers, signal }, settings);
  if (response.status === 304 && request.known) {
    response.body.destroy();
    return { kind: 'not-modified' };
  }
  if (response.status !== 200) {
    response.body.destroy();
    const error = `Download failed: Status code ${response.status}`;
    throw repeatable(response.status) ? new DownloadError(error) : new FinalError(error);
  }
  const hash = request.checksum && startDigest(request.checksum);
  let sizeBytes = 0;
  const meter = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      sizeBytes += chunk.length;
      hash?.update(chunk);
      if (sizeBytes > settings.maxBytes)
        done(new FinalError(`Download failed: larger than ${settings.maxBytes} bytes`));
      else done(null, chunk);
    },
  });
  await pipeline(response.body, meter, createWriteStream(request.path, { flags: 'wx', mode: 0o600 }), { signal });
  if (request.checksum && hash) verifyDigest(request.checksum, hash);
  const { etag, 'last-modified': lastModified } = response.headers;
  return { kind: 'fetched', sizeBytes, validators: { ...(etag && { etag }), ...(lastModified && { lastModified }) } };
}

/** Whether the server might answer differently soon. The reference repeats all; a 404 or 403 only costs time. */
function repeatable(status: number): boolean {
  return status >= 500 || status === 408 || status === 429;
}

function described(error: unknown): Error {
  if (error instanceof DownloadError || error instanceof ChecksumError) return error;
  if (error instanceof TransferError) return new DownloadError(`Download failed: ${error.message}`, { cause: error });
  const text = error instanceof Error ? error.message : String(error);
  return new DownloadError(`Download failed: ${redactUrls(text)}`, { cause: error });
}
