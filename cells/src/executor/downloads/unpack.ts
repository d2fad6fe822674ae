import { chmod, link, mkdir, open, rm, symlink, utimes } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { pack } from 'tar-stream';
import { readArchive } from './archive.js';
import { type ArchiveEntry, ArchiveError } from './archive-entry.js';

/** A file as a tar stream that holds nothing but what is allowed. Errors of the archive surface as errors of the stream. */
export function archiveAsTar(path: string, options: { maxBytes: number; signal: AbortSignal }): Readable {
  const tar = pack();
  const writing = (async () => {
    let total = 0;
    for await (const entry of readArchive(path, options.signal)) {
      total = charge(total, entry, options.maxBytes);
      if (entry.path === '') continue;
      const header = {
        name: entry.type === 'directory' ? `${entry.path}/` : entry.path,
        type: entry.type,
        mode: entry.mode,
        mtime: entry.modifiedAt,
        ...(entry.linkname !== '' && { linkname: entry.linkname }),
      };
      if (entry.type === 'file') await pipeline(entry.content, tar.entry({ ...header, size: entry.size }));
      else tar.entry(header);
    }
    tar.finalize();
  })();
  writing.catch((error: Error) => tar.destroy(error));
  return Readable.from(tar, { objectMode: false });
}

/**
 * Unpacks into a directory that exists and is empty. Files belong to whoever calls, and lose set-user-id bits.
 * Returns the bytes of all files.
 * @throws ArchiveError
 */
export async function unpackInto(
  path: string,
  directory: string,
  options: { maxBytes: number; signal: AbortSignal },
): Promise<number> {
  let total = 0;
  const directoryModes: { path: string; mode: number }[] = [];
  for await (const entry of readArchive(path, options.signal)) {
    total = charge(total, entry, options.maxBytes);
    const target = join(directory, entry.path);
    if (entry.type === 'directory') {
      await mkdir(target, { recursive: true });
      // At the end, since a directory without write permission has to be filled first.
      directoryModes.push({ path: target, mode: entry.mode & 0o777 });
      continue;
    }
    await mkdir(dirname(target), { recursive: true });
    // Never written through: an earlier entry of this name may be a symlink.
    await rm(target, { force: true });
    if (entry.type === 'symlink') await symlink(entry.linkname, target);
    else if (entry.type === 'link') await link(join(directory, entry.linkname), target);
    else await writeFile(target, entry);
  }
  for (const { path: made, mode } of directoryModes.reverse()) await chmod(made, mode);
  return total;
}

async function writeFile(target: string, entry: ArchiveEntry): Promise<void> {
  const file = await open(target, 'wx', 0o600);
  try {
    for await (const chunk of entry.content) await file.write(chunk);
    await file.chmod(entry.mode & 0o777);
  } finally {
    await file.close();
  }
  await utimes(target, entry.modifiedAt, entry.modifiedAt);
}

function charge(total: number, entry: ArchiveEntry, maxBytes: number): number {
  const sum = total + entry.size;
  if (sum > maxBytes) throw new ArchiveError(`the archive unpacks to more than ${maxBytes} bytes`);
  return sum;
}
