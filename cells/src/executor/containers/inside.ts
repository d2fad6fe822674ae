import type { Readable } from 'node:stream';
import { GardenError } from '../../garden/garden.js';
import { ExecutorError, type ExecutorErrorKind } from '../executor.js';
import { firstFile } from '../first-file.js';

/**
 * The text of the first file of a tar stream, which is used up.
 * @throws ExecutorError `file-not-found`, `file-too-large`, `stream-failed`
 */
export async function readTextFile(
  tar: Readable,
  { path, maxBytes }: { path: string; maxBytes: number },
): Promise<string> {
  try {
    const file = await firstFile(tar);
    if (!file) throw new ExecutorError('file-not-found', `there is no file ${path}`);
    if (file.size > maxBytes)
      throw new ExecutorError('file-too-large', `file ${path} is larger than ${maxBytes} bytes`);
    const chunks: Buffer[] = [];
    for await (const chunk of file.content) chunks.push(chunk);
    return Buffer.concat(chunks).toString('utf8');
  } catch (error) {
    throw error instanceof ExecutorError ? error : executorError(error, 'stream-failed');
  } finally {
    tar.destroy();
  }
}

/** What the garden says, in the executor's words. */
export function executorError(error: unknown, otherwise: ExecutorErrorKind): ExecutorError {
  const text = error instanceof Error ? error.message : String(error);
  return new ExecutorError(kindOf(error) ?? otherwise, text, { cause: error });
}

function kindOf(error: unknown): ExecutorErrorKind | undefined {
  if (!(error instanceof GardenError)) return undefined;
  switch (error.kind) {
    case 'path-not-found':
      return 'file-not-found';
    case 'not-found':
      return 'not-found';
    case 'closed':
      return 'closed';
    default:
      return undefined;
  }
}
