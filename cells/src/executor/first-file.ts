import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { extract } from 'tar-stream';

/** The first regular file of a tar stream. The rest of the stream is not read; whoever opened it destroys it. */
export async function firstFile(
  tar: Readable,
): Promise<{ name: string; size: number; content: AsyncIterable<Buffer> } | undefined> {
  const entries = extract();
  pipeline(tar, entries).catch(() => {
    // Shows up in the iteration below; and a stream that is destroyed after the first file is no failure.
  });
  // Not `for await`, which would end the stream when the file is returned.
  const iterator = entries[Symbol.asyncIterator]();
  for (let next = await iterator.next(); !next.done; next = await iterator.next()) {
    const { name, type, size } = next.value.header;
    if (type === 'file' || type === 'contiguous-file')
      return { name, size: size ?? 0, content: next.value as AsyncIterable<Buffer> };
    next.value.resume();
  }
  return undefined;
}
