import { once } from 'node:events';
import type { Writable } from 'node:stream';
import { unlessAborted } from './unless-aborted.js';

/**
 * Resolves when a stream may take more, or never will; nothing of the waiting is left on the stream afterwards.
 * @throws the signal's reason when it was aborted
 */
export async function roomToWrite(stream: Writable, signal?: AbortSignal): Promise<void> {
  const over = new AbortController();
  const waiting = [once(stream, 'drain', { signal: over.signal }), once(stream, 'close', { signal: over.signal })];
  // A stream that breaks is closed too, and whoever writes to it learns of it in another way.
  const room = Promise.race(waiting).catch(() => undefined);
  await unlessAborted(room, signal).finally(() => over.abort());
}
