import { posix } from 'node:path';
import { PassThrough, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import tar from 'tar-stream';
import { GardenError } from '../garden.js';
import type { SimFile } from './machine.js';

/** Files are all that a simulated container keeps of an archive; at most this much of each. */
const MAX_FILE_BYTES = 16 * 1024 * 1024;

/** Takes the files of a tar stream in below a directory; names can't lead out of it. Without an owner they keep theirs. */
export async function unpackFiles(
  files: Map<string, SimFile>,
  { dir, owner }: { dir: string; owner: { uid: number; gid: number } | undefined },
  archive: Readable,
): Promise<void> {
  const extract = tar.extract();
  // Its end, however it comes about, is the end of what is read from it.
  pipeline(archive, extract).catch((error: Error) => extract.destroy(error));
  try {
    for await (const entry of extract) {
      const chunks: Buffer[] = [];
      let size = 0;
      for await (const chunk of entry as AsyncIterable<Buffer>) {
        size += chunk.length;
        if (size > MAX_FILE_BYTES) throw new Error(`${entry.header.name} is larger than a simulated file may be`);
        chunks.push(chunk);
      }
      if (entry.header.type !== 'file') continue;
      const path = posix.join('/', dir, posix.join('/', entry.header.name));
      const { mode = 0o644, uid = 0, gid = 0 } = entry.header;
      files.set(path, { mode, ...(owner ?? { uid, gid }), content: Buffer.concat(chunks) });
    }
  } catch (cause) {
    throw new GardenError('stream-failed', `stream-in: ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
}

/** A tar stream of a file, of a directory with its name, or, with a slash at the end, of what is in a directory. */
export function packFiles(files: Map<string, SimFile>, path: string): Readable {
  const whole = posix.normalize(posix.join('/', path));
  const wanted = whole.replace(/\/$/, '');
  const prefix = whole.endsWith('/') ? whole : `${posix.dirname(wanted)}/`.replace('//', '/');
  const chosen = [...files].filter(([name]) => name === wanted || name.startsWith(`${wanted}/`));
  if (chosen.length === 0) throw new GardenError('path-not-found', `stream-out: ${path}: no such file or directory`);
  const pack = tar.pack();
  for (const [name, { mode, uid, gid, content }] of chosen)
    pack.entry({ name: name.slice(prefix.length), mode, uid, gid }, content);
  pack.finalize();
  return pack.pipe(new PassThrough());
}
