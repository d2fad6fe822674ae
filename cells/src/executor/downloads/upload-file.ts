import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { inTime } from '@rivera/kit/in-time';
import { TransferError, type TransferSettings, transfer } from './http-transfer.js';

/** An upload that failed for good. Its text is fit for users. */
export class UploadError extends Error {
  override readonly name = 'UploadError';
}

export interface UploadSettings extends TransferSettings {
  attempts: number;
  /** For one attempt. */
  totalTimeoutMs: number;
}

/** Sends a file by POST with its digests; attempts follow each other at once. Returns its size. @throws UploadError; the signal's reason when aborted */
export async function uploadFile(
  request: { path: string; url: string; signal: AbortSignal },
  settings: UploadSettings,
): Promise<number> {
  const { size } = await stat(request.path);
  const [md5, sha256] = [createHash('md5'), createHash('sha256')];
  for await (const chunk of createReadStream(request.path, { signal: request.signal })) {
    md5.update(chunk as Buffer);
    sha256.update(chunk as Buffer);
  }
  const headers = {
    'content-type': 'application/octet-stream',
    'content-length': String(size),
    'content-md5': md5.digest('base64'),
    'content-digest': `sha-256=:${sha256.digest('base64')}:`,
    'user-agent': 'rivera-cell',
  };
  for (let attempt = 1; ; attempt++) {
    try {
      await uploadOnce(request, headers, settings);
      return size;
    } catch (error) {
      request.signal.throwIfAborted();
      if (attempt >= settings.attempts) throw error;
    }
  }
}

async function uploadOnce(
  request: { path: string; url: string; signal: AbortSignal },
  headers: Record<string, string>,
  settings: UploadSettings,
): Promise<void> {
  try {
    const body = (): ReturnType<typeof createReadStream> => createReadStream(request.path);
    const status = await inTime(settings.totalTimeoutMs, request.signal, async (signal) => {
      const response = await transfer({ method: 'POST', url: request.url, headers, body, signal }, settings);
      // The answer is read so that the server is not cut off, and thrown away.
      const answered = async (chunks: AsyncIterable<unknown>): Promise<void> => {
        for await (const _ of chunks);
      };
      await pipeline(response.body, answered, { signal });
      return response.status;
    });
    if (status >= 400) throw new UploadError(`Upload failed: Status code ${status}`);
  } catch (error) {
    if (error instanceof UploadError) throw error;
    const text = error instanceof TransferError ? error.message : 'the connection broke';
    throw new UploadError(`Upload failed: ${text}`, { cause: error });
  }
}
