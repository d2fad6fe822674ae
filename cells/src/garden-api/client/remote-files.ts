import { PassThrough, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { StreamInRequest } from '@rivera/gen/rivera/garden/v1/garden_service';
import { fromStatus } from '@rivera/kit/errors';
import { serverStream } from '@rivera/kit/grpc/dial';
import { MessageWriter } from '@rivera/kit/grpc/writer';
import { GardenError } from '../../garden/garden.js';
import { type Remote, told } from './remote.js';

/** Bytes of one message of a tar stream. */
const CHUNK_BYTES = 64 * 1024;

interface Where {
  handle: string;
  path: string;
  user: string;
}

/** Sends a tar stream as fast as it is unpacked. @throws GardenError */
export async function sendTar(remote: Remote, start: Where, tar: Readable): Promise<void> {
  let failure: unknown;
  let settle: () => void = () => undefined;
  const answered = new Promise<void>((resolve) => {
    settle = resolve;
  });
  const call = remote.client.streamIn((error) => {
    failure = error ? fromStatus(error) : undefined;
    settle();
  });
  const cancel = (): void => call.cancel();
  remote.closing.addEventListener('abort', cancel, { once: true });
  // A server that has had enough ends the call while this side still writes.
  call.on('error', () => undefined);
  let broken: unknown;
  async function* archive(): AsyncGenerator<Buffer | string> {
    try {
      yield* tar;
    } catch (error) {
      broken = error;
      throw error;
    }
  }
  const writer = new MessageWriter<StreamInRequest>(call, () => failure ?? new Error('the stream is over'));
  try {
    await writer.write({ message: { $case: 'start', value: start } });
    for await (const chunk of archive()) {
      const bytes = Buffer.from(chunk);
      for (let from = 0; from < bytes.length; from += CHUNK_BYTES)
        await writer.write({ message: { $case: 'data', value: bytes.subarray(from, from + CHUNK_BYTES) } });
    }
    call.end();
  } catch (error) {
    // What the server says is nearer to the cause than that it could not be written to.
    if (broken !== undefined) {
      call.cancel();
      throw new GardenError('stream-failed', 'stream-in: the archive could not be read', { cause: error });
    }
  } finally {
    // Until then it is the server that has something to say.
    await answered;
    remote.closing.removeEventListener('abort', cancel);
  }
  if (failure !== undefined) throw told(remote, failure, 'stream-failed');
}

/** A tar stream, read as fast as it is taken. @throws GardenError before its first byte when there is nothing to be read */
export async function tarOf(remote: Remote, where: Where): Promise<Readable> {
  const pieces = serverStream(() => remote.client.streamOut(where), remote.closing);
  const first = await pieces.next().catch((error: unknown) => {
    throw told(remote, error, 'stream-failed');
  });
  const out = new PassThrough();
  const source = async function* () {
    try {
      if (!first.done) yield first.value.data;
      for await (const { data } of pieces) yield data;
    } catch (error) {
      throw told(remote, error, 'stream-failed');
    }
  };
  // Whoever reads is told of a failure by the stream.
  pipeline(source(), out).catch(() => undefined);
  return out;
}
