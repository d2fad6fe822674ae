import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { extract } from 'tar-stream';
import { type ArchiveEntry, ArchiveError, EntryGuard } from './archive-entry.js';
import { readZip } from './zip-archive.js';

type Format = 'tar' | 'tgz' | 'zip';

const TAR_BLOCK = 512;

/** What a file is, told from its first bytes. @throws ArchiveError `unknown archive format` */
export async function detectFormat(path: string): Promise<Format> {
  const head = Buffer.alloc(TAR_BLOCK);
  const file = await open(path, 'r');
  let length = 0;
  try {
    length = (await file.read(head, 0, TAR_BLOCK, 0)).bytesRead;
  } finally {
    await file.close();
  }
  if (head[0] === 0x1f && head[1] === 0x8b) return 'tgz';
  const magic = head.toString('latin1', 0, 4);
  if (magic === 'PK\x03\x04' || magic === 'PK\x05\x06') return 'zip';
  if (length === TAR_BLOCK && isTarHeader(head)) return 'tar';
  throw new ArchiveError('unknown archive format');
}

/** Reads a tar, gzipped tar or zip file. @throws ArchiveError */
export async function* readArchive(path: string, signal: AbortSignal): AsyncGenerator<ArchiveEntry> {
  const format = await detectFormat(path);
  const guard = new EntryGuard();
  if (format === 'zip') {
    yield* readZip(path, guard, signal);
    return;
  }
  const entries = extract();
  const source = createReadStream(path);
  const feeding =
    format === 'tgz' ? pipeline(source, createGunzip(), entries, { signal }) : pipeline(source, entries, { signal });
  // The reader below sees the failure as well; this only keeps it from counting as unhandled.
  feeding.catch(() => {});
  try {
    for await (const entry of entries) {
      const { name, type, linkname, mode, mtime, size } = entry.header;
      const place = guard.admit({ name, type: type ?? 'file', linkname: linkname ?? null });
      yield {
        ...place,
        mode: (mode ?? 0o644) & 0o7777,
        modifiedAt: mtime ?? new Date(0),
        size: size ?? 0,
        content: contentOf(entry),
      };
      entry.resume();
    }
    await feeding;
  } catch (error) {
    signal.throwIfAborted();
    throw damaged(error);
  } finally {
    source.destroy();
    entries.destroy();
  }
}

/** The header's checksum: the sum of its bytes with the checksum's own field as blanks. An archive without entries begins with zeros. */
function isTarHeader(block: Buffer): boolean {
  if (block.every((byte) => byte === 0)) return true;
  let sum = 8 * 0x20;
  for (let index = 0; index < TAR_BLOCK; index++) if (index < 148 || index >= 156) sum += block[index] as number;
  return (
    Number.parseInt(
      block
        .toString('latin1', 148, 156)
        .replace(/[\0 ]+/g, ' ')
        .trim(),
      8,
    ) === sum
  );
}

/** The bytes of an entry. A stream that breaks within them is a damaged archive, too. */
async function* contentOf(entry: AsyncIterable<unknown>): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of entry) yield chunk as Buffer;
  } catch (error) {
    throw damaged(error);
  }
}

function damaged(error: unknown): ArchiveError {
  if (error instanceof ArchiveError) return error;
  const text = error instanceof Error ? error.message : String(error);
  return new ArchiveError(`the archive is damaged: ${text}`, { cause: error });
}
