import { type Entry, open, type ZipFile } from 'yauzl';
import { type ArchiveEntry, ArchiveError, type EntryGuard } from './archive-entry.js';

const S_IFMT = 0o170000;
const S_IFLNK = 0o120000;
const MAX_LINK_BYTES = 4096;

/** Reads a zip file. */
export async function* readZip(path: string, guard: EntryGuard, signal: AbortSignal): AsyncGenerator<ArchiveEntry> {
  const zip = await openZip(path);
  try {
    for (let entry = await nextEntry(zip); entry; entry = await nextEntry(zip)) {
      signal.throwIfAborted();
      yield await describe(zip, entry, guard);
    }
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof ArchiveError) throw error;
    throw new ArchiveError(`the archive is damaged: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  } finally {
    zip.close();
  }
}

async function describe(zip: ZipFile, entry: Entry, guard: EntryGuard): Promise<ArchiveEntry> {
  // The upper half holds the Unix mode when a Unix system made the archive, and zero elsewhere.
  const unixMode = entry.externalFileAttributes >>> 16;
  const isDirectory = entry.fileName.endsWith('/');
  const isLink = (unixMode & S_IFMT) === S_IFLNK;
  const type = isDirectory ? 'directory' : isLink ? 'symlink' : 'file';
  const permissions = unixMode & 0o7777;
  let linkname: string | null = null;
  if (isLink) {
    if (entry.uncompressedSize > MAX_LINK_BYTES)
      throw new ArchiveError(`the archive's symlink '${entry.fileName}' is too long`);
    const chunks: Buffer[] = [];
    for await (const chunk of content(zip, entry)) chunks.push(chunk);
    linkname = Buffer.concat(chunks).toString('utf8');
  }
  const place = guard.admit({ name: entry.fileName, type, linkname });
  return {
    ...place,
    mode: permissions === 0 ? (isDirectory ? 0o755 : 0o644) : permissions,
    modifiedAt: entry.getLastModDate(),
    size: type === 'file' ? entry.uncompressedSize : 0,
    content: type === 'file' ? content(zip, entry) : nothing(),
  };
}

async function* content(zip: ZipFile, entry: Entry): AsyncGenerator<Buffer> {
  const stream = await new Promise<NodeJS.ReadableStream>((resolve, reject) =>
    zip.openReadStream(entry, (error, opened) => (error ? reject(error) : resolve(opened))),
  );
  for await (const chunk of stream) yield chunk as Buffer;
}

async function* nothing(): AsyncGenerator<Buffer> {}

function openZip(path: string): Promise<ZipFile> {
  return new Promise((resolve, reject) =>
    open(path, { lazyEntries: true, autoClose: false, strictFileNames: false }, (error, zip) =>
      error ? reject(new ArchiveError(`the archive is damaged: ${error.message}`, { cause: error })) : resolve(zip),
    ),
  );
}

function nextEntry(zip: ZipFile): Promise<Entry | undefined> {
  return new Promise((resolve, reject) => {
    const done = (settle: () => void): void => {
      zip.off('entry', onEntry);
      zip.off('end', onEnd);
      zip.off('error', onError);
      settle();
    };
    const onEntry = (entry: Entry): void => done(() => resolve(entry));
    const onEnd = (): void => done(() => resolve(undefined));
    const onError = (error: Error): void => done(() => reject(error));
    zip.on('entry', onEntry);
    zip.on('end', onEnd);
    zip.on('error', onError);
    zip.readEntry();
  });
}
