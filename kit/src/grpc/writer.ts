import type { Writable } from 'node:stream';

const DONE = Promise.resolve();

/** Writes messages to a gRPC stream and heeds its wish to slow down. */
export class MessageWriter<M> {
  readonly #stream: Writable;
  readonly #failure: () => unknown;
  #room: { promise: Promise<void>; resolve(): void; reject(error: unknown): void } | undefined;
  #over = false;

  /** `failure` says why a stream broke off, once it has. */
  constructor(stream: Writable, failure: () => unknown) {
    this.#stream = stream;
    this.#failure = failure;
    stream.on('drain', () => {
      const room = this.#room;
      this.#room = undefined;
      room?.resolve();
    });
    stream.once('close', () => this.stop());
  }

  /** Resolves when there is room for the next message; rejects when the stream is over. */
  write(message: M): Promise<void> {
    if (this.#over || this.#stream.destroyed || this.#stream.writableEnded) return Promise.reject(this.#failure());
    return this.#stream.write(message) ? DONE : this.#waitForRoom();
  }

  /** Nothing that is written from now on can arrive. */
  stop(): void {
    this.#over = true;
    const room = this.#room;
    this.#room = undefined;
    room?.reject(this.#failure());
  }

  #waitForRoom(): Promise<void> {
    if (!this.#room) {
      let settle: { resolve(): void; reject(error: unknown): void } | undefined;
      const promise = new Promise<void>((resolve, reject) => {
        settle = { resolve, reject };
      });
      if (settle) this.#room = { promise, ...settle };
    }
    return this.#room?.promise ?? DONE;
  }
}
