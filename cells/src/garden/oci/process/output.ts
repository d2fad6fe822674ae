import { type FileHandle, open, stat } from 'node:fs/promises';
import { isMissing } from '../../../kernel/durable.js';
import type { ProcessOutput } from '../../garden.js';
import { LogParser } from './k8s-log.js';

const CHUNK_BYTES = 64 * 1024;

/**
 * Reads the supervisor's log from its start and follows it until `isOver`. The supervisor keeps the file small by putting a new
 * one in its place; the old one is read to its end first. `change` must resolve at some time after each change.
 */
export async function* followLog(o: {
  path: string;
  isOver: () => boolean;
  change: () => Promise<void>;
  signal?: AbortSignal;
}): AsyncGenerator<ProcessOutput> {
  const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
  let file = await openIfPresent(o.path);
  let parser = new LogParser();
  try {
    while (!o.signal?.aborted) {
      // In this order: what was written before the end, or before the file was replaced, is seen by the read that follows.
      const change = o.change();
      const over = o.isOver();
      const replaced = file !== undefined && (await isReplaced(file, o.path));
      for (let count = await readSome(file, buffer); count > 0; count = await readSome(file, buffer)) {
        for (const entry of parser.push(buffer.subarray(0, count))) {
          yield entry;
          if (o.signal?.aborted) return;
        }
      }
      if (replaced || file === undefined) {
        await file?.close();
        file = await openIfPresent(o.path);
        parser = new LogParser();
        if (file) continue;
      }
      if (over) return;
      await change;
    }
  } finally {
    await file?.close();
  }
}

async function openIfPresent(path: string): Promise<FileHandle | undefined> {
  return open(path, 'r').catch((error: unknown) => {
    if (isMissing(error)) return undefined;
    throw error;
  });
}

async function readSome(file: FileHandle | undefined, buffer: Buffer): Promise<number> {
  return file ? (await file.read(buffer, 0, buffer.length, null)).bytesRead : 0;
}

async function isReplaced(file: FileHandle, path: string): Promise<boolean> {
  const [own, current] = await Promise.all([file.stat(), stat(path).catch(() => undefined)]);
  return current !== undefined && current.ino !== own.ino;
}
