import { Readable } from 'node:stream';
import type {
  StreamInRequest,
  StreamInResponse,
  StreamOutRequest,
  StreamOutResponse,
} from '@rivera/gen/rivera/garden/v1/garden_service';
import { RiveraError } from '@rivera/kit/errors';
import type { CallContext } from '@rivera/kit/grpc/host';
import type { Park } from './containers.js';
import { toRiveraError } from './errors.js';
import { requireHandle, requirePath } from './validate.js';

/** Bytes of one message of a tar stream. */
const CHUNK_BYTES = 64 * 1024;
/** Bytes of one message that a client may send. */
const MAX_DATA_BYTES = 1024 * 1024;

/** A tar stream of a file or folder, in pieces, read as fast as the client takes them. */
export async function* streamOut(
  park: Park,
  { handle, path, user }: StreamOutRequest,
  context: CallContext,
): AsyncIterable<StreamOutResponse> {
  requirePath(path);
  const container = park.find(handle);
  let tar: Readable | undefined;
  const stop = (): void => {
    tar?.destroy();
  };
  context.signal.addEventListener('abort', stop, { once: true });
  try {
    tar = await container.streamOut(path, user || 'root');
    for await (const chunk of tar) {
      const bytes = Buffer.from(chunk);
      for (let from = 0; from < bytes.length; from += CHUNK_BYTES)
        yield { data: bytes.subarray(from, from + CHUNK_BYTES) };
    }
  } catch (error) {
    throw toRiveraError(error, handle);
  } finally {
    context.signal.removeEventListener('abort', stop);
    stop();
  }
}

/** Unpacks a tar stream that comes in pieces. */
export async function streamIn(
  park: Park,
  requests: AsyncIterable<StreamInRequest>,
  context: CallContext,
): Promise<StreamInResponse> {
  const messages = requests[Symbol.asyncIterator]();
  const first = (await messages.next()).value as StreamInRequest | undefined;
  if (first?.message?.$case !== 'start') throw new RiveraError('INVALID_REQUEST', 'the first message starts');
  const { handle, path, user } = first.message.value;
  requireHandle(handle, 'start.handle');
  requirePath(path);
  const container = park.find(handle);
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
  context.signal.addEventListener('abort', stop, { once: true });
  try {
    await container.streamIn(path, user || 'root', tar);
    return {};
  } catch (error) {
    throw refused ?? toRiveraError(error, handle);
  } finally {
    context.signal.removeEventListener('abort', stop);
    tar.destroy();
  }
}

function dataOf({ message }: StreamInRequest): Buffer {
  if (message?.$case !== 'data') throw new RiveraError('INVALID_REQUEST', 'after the first message comes only data');
  if (message.value.length > MAX_DATA_BYTES)
    throw new RiveraError('INVALID_REQUEST', `a message has at most ${MAX_DATA_BYTES} bytes`);
  return message.value;
}
