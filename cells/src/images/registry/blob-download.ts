import { open } from 'node:fs/promises';
import { ImageError } from '../image-error.js';
import { DigestCheck } from './digest.js';
import type { Answer } from './http.js';
import type { Descriptor } from './manifest.js';
import { type Attempts, withRetries } from './retry.js';

/**
 * Downloads a blob into a file. What came before a connection broke is kept: the next attempt asks for the rest, and begins anew
 * where the server doesn't know how to send a part.
 * @throws ImageError; the signal's reason when it was aborted
 */
export async function downloadBlob(
  blob: Descriptor,
  o: {
    path: string;
    name: string;
    attempts: Attempts;
    request: (headers: Record<string, string>) => Promise<Answer>;
    /** Called for each piece; negative when an attempt begins anew. */
    onBytes: (bytes: number) => void;
  },
): Promise<void> {
  const what = `image ${o.name}: layer ${blob.digest}`;
  const file = await open(o.path, 'w', 0o600);
  try {
    let have = 0;
    let check = new DigestCheck(blob.digest);
    await withRetries(async () => {
      if (have === blob.size && have > 0) return;
      const answer = await o.request(have > 0 ? { range: `bytes=${have}-` } : {});
      const goesOn = answer.status === 206 && contentStart(answer) === have;
      if (!goesOn) {
        if (answer.status !== 200) await answer.discard();
        if (answer.status === 404) throw new ImageError('not-found', `${what} is not in the registry`);
        if (answer.status !== 200)
          throw new ImageError('unreachable', `${what}: the registry answered with status ${answer.status}`);
        o.onBytes(-have);
        have = 0;
        check = new DigestCheck(blob.digest);
        await file.truncate(0);
      }
      for await (const chunk of answer.chunks()) {
        if (have + chunk.length > blob.size)
          throw new ImageError('digest-mismatch', `${what} is larger than its ${blob.size} bytes`);
        await file.write(chunk, 0, chunk.length, have);
        check.update(chunk);
        have += chunk.length;
        o.onBytes(chunk.length);
      }
    }, o.attempts);
    if (have < blob.size) throw new ImageError('digest-mismatch', `${what} has ${have} bytes instead of ${blob.size}`);
    const found = check.mismatch();
    if (found !== undefined) throw new ImageError('digest-mismatch', `${what}: the content's digest is ${found}`);
  } finally {
    await file.close();
  }
}

/** Where the part begins that a server sends; undefined when it doesn't say. */
function contentStart(answer: Answer): number | undefined {
  const start = /^bytes (\d+)-/.exec(answer.headers.get('content-range') ?? '')?.[1];
  return start === undefined ? undefined : Number(start);
}
