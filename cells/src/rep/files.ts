import { Readable } from 'node:stream';
import type {
  ReadFilesRequest,
  ReadFilesResponse,
  WriteFilesRequest,
  WriteFilesResponse,
} from '@rivera/gen/rivera/rep/v1/rep_service';
import { RiveraError } from '@rivera/kit/errors';
import type { CallContext } from '@rivera/kit/grpc/host';
import type { Executor } from '../executor/executor.js';
import { findLiveContainer, toRiveraError } from './container-target.js';

/** Bytes of one message of a tar stream. */
const CHUNK_BYTES = 64 * 1024;

/** Bytes of one message that a client may send. */
const MAX_DATA_BYTES = 1024 * 1024;

/** A tar stream of a file or folder, in pieces. */
export async function* readFiles(
  executor: Executor,
  { target, path, user }: ReadFilesRequest,
  context: CallContext,
): AsyncIterable<ReadFilesResponse> {
  requirePath(path);
  const { guid } = findLiveContainer(executor, target);
  let tar: Readable | undefined;
  const stop = (): void => {
    tar?.destroy();
  };
  context.signal.addEventListener('abort', stop, { once: true });
  try {
    tar = await executor.streamOut(guid, path, user || 'root');
    for await (const chunk of tar) {
      const bytes = Buffer.from(chunk);
      for (let from = 0; from < bytes.length; from += CHUNK_BYTES) {
        yield { data: bytes.subarray(from, from + CHUNK_BYTES) };
      }
    }
  } catch (error) {
    throw toRiveraError(error);
  } finally {
    context.signal.removeEventListener('abort', stop);
    stop();
  }
}

/** Unpacks a tar stream that comes in pieces. */
export async function writeFiles(
  executor: Executor,
  requests: AsyncIterable<WriteFilesRequest>,
  context: CallContext,
): Promise<WriteFilesResponse> {
  const messages = requests[Symbol.asyncIterator]();
  const first = (await messages.next()).value as WriteFilesRequest | undefined;
  if (first?.message?.$case !== 'start') throw new RiveraError('INVALID_REQUEST', 'the first message starts');
  const { target, path, user } = first.message.value;
  requirePath(path);
  const { guid } = findLiveContainer(executor, target);
  let refused: unknown;
  const tar = Readable.from(
    (async function* () {
      for (let next = await messages.next(); !next.done; next = await messages.next()) {
        try {
          yield dataOf(next.value);
        } catch (error) {
          refused = error;
          throw error;
        }
      }
    })(),
    { objectMode: false },
  );
  // A client may go away before anybody reads, and an error that nobody listens to would be the end of the agent.
  tar.on('error', () => undefined);
  const stop = (): void => {
    tar.destroy(new RiveraError('CANCELLED', 'the client is gone'));
  };
  context.signal.addEventListener('abort', stop, { once: true });
  try {
    await executor.streamIn(guid, path, user || 'root', tar);
    return {};
  } catch (error) {
    throw refused ?? toRiveraError(error);
  } finally {
    context.signal.removeEventListener('abort', stop);
    tar.destroy();
  }
}

function dataOf({ message }: WriteFilesRequest): Buffer {
  if (message?.$case !== 'data') throw new RiveraError('INVALID_REQUEST', 'after the first message comes only data');
  if (message.value.length > MAX_DATA_BYTES) {
    throw new RiveraError('INVALID_REQUEST', `a message has at most ${MAX_DATA_BYTES} bytes`);
  }
  return message.value;
}

function requirePath(path: string): void {
  if (path !== '' && !path.includes('\0')) return;
  throw new RiveraError('INVALID_REQUEST', 'a path in the container is needed', {
    violations: [{ field: 'path', description: 'is required' }],
  });
}
