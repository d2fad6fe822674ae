import type {
  StreamInRequest,
  StreamInResponse,
  StreamOutRequest,
  StreamOutResponse,
} from '@rivera/gen/rivera/garden/v1/garden_service';
import type { CallContext } from '@rivera/kit/grpc/host';
import { tarIn, tarOut } from '../rep/tar-messages.js';
import type { Park } from './containers.js';
import { toRiveraError } from './errors.js';
import { requireHandle, requirePath } from './validate.js';

/** A tar stream of a file or folder, in pieces. */
export async function* streamOut(
  park: Park,
  { handle, path, user }: StreamOutRequest,
  { signal }: CallContext,
): AsyncIterable<StreamOutResponse> {
  requirePath(path);
  const container = park.find(handle);
  try {
    yield* tarOut(() => container.streamOut(path, user || 'root'), signal);
  } catch (error) {
    throw toRiveraError(error, handle);
  }
}

/** Unpacks a tar stream that comes in pieces. */
export async function streamIn(
  park: Park,
  requests: AsyncIterable<StreamInRequest>,
  { signal }: CallContext,
): Promise<StreamInResponse> {
  await tarIn(requests, signal, ({ handle, path, user }) => {
    requireHandle(handle, 'start.handle');
    requirePath(path);
    const container = park.find(handle);
    return (tar) =>
      container.streamIn(path, user || 'root', tar).catch((error: unknown) => {
        throw toRiveraError(error, handle);
      });
  });
  return {};
}
