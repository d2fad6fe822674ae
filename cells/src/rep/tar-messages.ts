import { Readable } from 'node:stream';
import { RiveraError } from '@rivera/kit/errors';

/** Bytes of one message of a tar stream. */
const CHUNK_BYTES = 64 * 1024;
/** Bytes of one message that a client may send. */
const MAX_DATA_BYTES = 1024 * 1024;

/** Messages that bring a tar stream: one that says where to, then the stream in pieces. */
export interface TarRequest<Start> {
  message?: { $case: 'start'; value: Start } | { $case: 'data'; value: Buffer } | undefined;
}

/** A tar stream in pieces, read as fast as the client takes them. The stream ends with the call. */
export async function* tarOut(
  open: () => Promise<Readable>,
  signal: AbortSignal,
): AsyncGenerator<{ data: Buffer }, void, undefined> {
  let tar: Readable | undefined;
  const stop = (): void => {
    tar?.destroy();
  };
  signal.addEventListener('abort', stop, { once: true });
  try {
    tar = await open();
    for await (const chunk of tar) {
      const bytes = Buffer.from(chunk);
      for (let from = 0; from < bytes.length; from += CHUNK_BYTES)
        yield { data: bytes.subarray(from, from + CHUNK_BYTES) };
    }
  } finally {
    signal.removeEventListener('abort', stop);
    stop();
  }
}

/**
 * Hands over a tar stream that comes in pieces.
 * @param begin told where to; returns who takes the stream
 * @throws RiveraError INVALID_REQUEST for messages out of order or too large; what the two functions throw
 */
export async function tarIn<Start>(
  requests: AsyncIterable<TarRequest<Start>>,
  signal: AbortSignal,
  begin: (start: Start) => (tar: Readable) => Promise<void>,
): Promise<void> {
  const messages = requests[Symbol.asyncIterator]();
  const first = (await messages.next()).value as TarRequest<Start> | undefined;
  if (first?.message?.$case !== 'start') throw new RiveraError('INVALID_REQUEST', 'the first message starts');
  const take = begin(first.message.value);
  let refused: unknown;
  const pieces = async function* () {
    try {
      for (let next = await messages.next(); !next.done; next = await messages.next()) yield dataOf(next.value);
    } catch (error) {
      refused = error;
      throw error;
    }
  };
  const tar = Readable.from(pieces(), { objectMode: false });
  // A client may go away before anybody reads, and an error that nobody listens to would be the end of the agent.
  tar.on('error', () => undefined);
  const stop = (): void => {
    tar.destroy(new RiveraError('CANCELLED', 'the client is gone'));
  };
  signal.addEventListener('abort', stop, { once: true });
  try {
    await take(tar);
  } catch (error) {
    throw refused ?? error;
  } finally {
    signal.removeEventListener('abort', stop);
    tar.destroy();
  }
}

function dataOf({ message }: TarRequest<unknown>): Buffer {
  if (message?.$case !== 'data') throw new RiveraError('INVALID_REQUEST', 'after the first message comes only data');
  if (message.value.length > MAX_DATA_BYTES)
    throw new RiveraError('INVALID_REQUEST', `a message has at most ${MAX_DATA_BYTES} bytes`);
  return message.value;
}
