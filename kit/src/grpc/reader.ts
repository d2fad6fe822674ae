import type { Readable } from 'node:stream';

interface Waiting<M> {
  resolve(result: IteratorResult<M, undefined>): void;
  reject(error: unknown): void;
}

/**
 * The messages of a gRPC stream, one after the other. It takes the next message only when asked, so a slow reader
 * slows the writer down through HTTP/2 (at most the stream's own 16 messages wait here), and unlike Node's iterator it
 * leaves the other direction alone when its reader stops early.
 */
export class MessageReader<M> implements AsyncIterableIterator<M, undefined> {
  readonly #stream: Readable;
  readonly #failure: () => unknown;
  #waiting: Waiting<M> | undefined;
  #ended = false;
  #failed = false;
  #stopped = false;

  /** `failure` says why a stream broke off, once it has. */
  constructor(stream: Readable, failure: () => unknown) {
    this.#stream = stream;
    this.#failure = failure;
    stream.on('readable', () => this.#wake());
    stream.once('end', () => {
      this.#ended = true;
      this.#wake();
    });
    const fail = (): void => {
      this.#failed = true;
      this.#wake();
    };
    stream.once('error', fail);
    stream.once('close', fail);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<M, undefined>> {
    return new Promise((resolve, reject) => {
      if (this.#waiting) return reject(new Error('a stream has one reader'));
      this.#waiting = { resolve, reject };
      this.#wake();
      return undefined;
    });
  }

  /** The reader has had enough. */
  return(): Promise<IteratorResult<M, undefined>> {
    this.#stopped = true;
    this.#wake();
    return Promise.resolve({ done: true, value: undefined });
  }

  #wake(): void {
    const waiting = this.#waiting;
    if (!waiting) return;
    // What arrived before the stream broke off is still worth reading.
    const message = this.#stopped || this.#stream.destroyed ? null : (this.#stream.read() as M | null);
    if (message !== null) {
      this.#waiting = undefined;
      waiting.resolve({ done: false, value: message });
    } else if (this.#stopped || this.#ended) {
      this.#waiting = undefined;
      waiting.resolve({ done: true, value: undefined });
    } else if (this.#failed) {
      this.#waiting = undefined;
      waiting.reject(this.#failure());
    }
  }
}
