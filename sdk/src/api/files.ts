import type { Readable } from 'node:stream';
import {
  AccessServiceService as methods,
  ReadFilesRequest,
  WriteFilesRequest,
  type WriteFilesResponse,
} from '@rivera/gen/rivera/access/v1/access_service';
import type { ContainerTarget } from '@rivera/gen/rivera/rep/v1/container';
import type { Input } from '../input.js';
import { Deferred } from '../transport/deferred.js';
import type { Scope } from '../transport/lifetime.js';
import { messagesOf, Reconnects, Sender } from '../transport/streams.js';
import type { Transport } from '../transport/transport.js';
import { chunksOf, Outlet } from './pipes.js';

/** How files are read or written. */
export interface FileOptions {
  signal?: AbortSignal | undefined;
  /** Reading: the user to read as, default root. Writing: the owner, default as in the stream. */
  user?: string | undefined;
}

/** A tar stream of a file or directory; a trailing "/" means a directory's contents. Destroying it ends the call. */
export function readFiles(
  transport: Transport,
  target: Input<ContainerTarget>,
  path: string,
  { signal, user = '' }: FileOptions = {},
): Readable {
  const controller = new AbortController();
  const abort = () => controller.abort(signal?.reason);
  if (signal?.aborted) abort();
  signal?.addEventListener('abort', abort, { once: true });
  const scope = transport.lifetime.enter(controller.signal);
  const outlet = new Outlet(() => {
    signal?.removeEventListener('abort', abort);
    controller.abort();
    scope.leave();
  });
  const request = ReadFilesRequest.fromPartial({ target, path, user });
  pump(transport, request, scope, outlet).catch((error: Error) => outlet.readable.destroy(error));
  return outlet.readable;
}

/** Fills the outlet with the whole archive; begins again as long as nothing of it has come. */
async function pump(transport: Transport, request: ReadFilesRequest, scope: Scope, outlet: Outlet): Promise<void> {
  const reconnects = new Reconnects(transport, scope, { safety: 'repeatable', patience: 'bounded' });
  for (;;) {
    if (scope.signal.aborted) throw scope.cancelled();
    const opened = transport.serverStream(methods.readFiles, request);
    let begun = false;
    try {
      for await (const { data } of messagesOf(opened.call, scope.signal)) {
        begun = true;
        await outlet.deliver(data, scope.signal);
      }
      return outlet.end();
    } catch (cause) {
      if (begun) reconnects.giveUp(cause);
      await reconnects.after(cause, opened);
    }
  }
}

/** Bytes that are kept to be sent again if the first server turns out not to be the one. */
const REPLAY_BYTES = 1024 * 1024;

/** Unpacks a tar stream into a directory, which is made if missing. */
export async function writeFiles(
  transport: Transport,
  target: Input<ContainerTarget>,
  path: string,
  tar: Readable,
  { signal, user = '' }: FileOptions = {},
): Promise<void> {
  const scope = transport.lifetime.enter(signal);
  const reconnects = new Reconnects(transport, scope, { safety: 'once', patience: 'bounded' });
  const source = new Source(tar);
  const start = WriteFilesRequest.fromPartial({ message: { $case: 'start', value: { target, path, user } } });
  try {
    for (;;) {
      if (scope.signal.aborted) throw scope.cancelled();
      const outcome = new Deferred<WriteFilesResponse>();
      const opened = transport.clientStream<WriteFilesRequest, WriteFilesResponse>(
        methods.writeFiles,
        (error, answer) => (error || answer === undefined ? outcome.reject(error) : outcome.resolve(answer)),
      );
      const cancel = () => opened.call.cancel();
      scope.signal.addEventListener('abort', cancel, { once: true });
      try {
        await sendAll(start, source, new Sender<WriteFilesRequest>(opened.call), outcome.promise);
        await outcome.promise;
        return;
      } catch (cause) {
        cancel();
        if (source.failure) throw source.failure.error;
        if (!source.replayable) reconnects.giveUp(cause);
        await reconnects.after(cause, opened);
      } finally {
        scope.signal.removeEventListener('abort', cancel);
      }
    }
  } finally {
    scope.leave();
    tar.destroy();
  }
}

/** Sends the start and every chunk; rejects as soon as the call fails, also while the source is silent. */
async function sendAll(
  start: WriteFilesRequest,
  source: Source,
  sender: Sender<WriteFilesRequest>,
  outcome: Promise<unknown>,
): Promise<void> {
  await sender.send(start);
  source.rewind();
  for (;;) {
    const chunk = await Promise.race([source.next(), outcome.then(() => undefined)]);
    if (chunk === undefined) break;
    for (const data of chunksOf(chunk)) await sender.send({ message: { $case: 'data', value: data } });
    source.taken(chunk);
    if (sender.over) return;
  }
  sender.end();
}

/** The tar stream, which can be begun again as long as little of it has been read. */
class Source {
  readonly #chunks: AsyncIterator<Buffer>;
  #head: Buffer[] | undefined = [];
  #headBytes = 0;
  #at = 0;
  #pending: Promise<Buffer | undefined> | undefined;
  failure: { error: unknown } | undefined;

  constructor(tar: Readable) {
    this.#chunks = tar[Symbol.asyncIterator]();
  }

  get replayable(): boolean {
    return this.#head !== undefined;
  }

  rewind(): void {
    this.#at = 0;
  }

  /** The next chunk, the same until it is taken; undefined at the end. */
  next(): Promise<Buffer | undefined> {
    const replayed = this.#head?.[this.#at];
    if (replayed) return Promise.resolve(replayed);
    this.#pending ??= this.#read();
    return this.#pending;
  }

  async #read(): Promise<Buffer | undefined> {
    try {
      const { done, value } = await this.#chunks.next();
      return done ? undefined : Buffer.from(value);
    } catch (error) {
      this.failure = { error };
      throw error;
    }
  }

  taken(chunk: Buffer): void {
    this.#at++;
    if (this.#head && this.#at <= this.#head.length) return;
    this.#pending = undefined;
    this.#headBytes += chunk.length;
    if (this.#headBytes > REPLAY_BYTES) this.#head = undefined;
    this.#head?.push(chunk);
  }
}
