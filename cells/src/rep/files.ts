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
import { tarIn, tarOut } from './tar-messages.js';

/** A tar stream of a file or folder, in pieces. */
export async function* readFiles(
  executor: Executor,
  { target, path, user }: ReadFilesRequest,
  { signal }: CallContext,
): AsyncIterable<ReadFilesResponse> {
  requirePath(path);
  const { guid } = findLiveContainer(executor, target);
  try {
    yield* tarOut(() => executor.streamOut(guid, path, user || 'root'), signal);
  } catch (error) {
    throw toRiveraError(error);
  }
}

/** Unpacks a tar stream that comes in pieces. */
export async function writeFiles(
  executor: Executor,
  requests: AsyncIterable<WriteFilesRequest>,
  { signal }: CallContext,
): Promise<WriteFilesResponse> {
  await tarIn(requests, signal, ({ target, path, user }) => {
    requirePath(path);
    const { guid } = findLiveContainer(executor, target);
    return (tar) =>
      executor.streamIn(guid, path, user || 'root', tar).catch((error: unknown) => {
        throw toRiveraError(error);
      });
  });
  return {};
}

function requirePath(path: string): void {
  if (path !== '' && !path.includes('\0')) return;
  throw new RiveraError('INVALID_REQUEST', 'a path in the container is needed', {
    violations: [{ field: 'path', description: 'is required' }],
  });
}
