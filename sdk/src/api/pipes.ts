import { Readable, Writable } from 'node:stream';

/** Bytes in one message. */
const CHUNK_BYTES = 64 * 1024;

/** Cuts bytes into pieces that fit into a message. */
export function* chunksOf(data: Uint8Array): Generator<Buffer, void, undefined> {
  for (let at = 0; at < data.length; at += CHUNK_BYTES) {
    const piece = data.subarray(at, at + CHUNK_BYTES);
    yield Buffer.from(piece.buffer, piece.byteOffset, piece.length);
  }
}

/** A Readable that is filled from outside, no faster than it is read. */
export class Outlet {
  readonly readable: Readable;
  #wake: () => void = () => {};

  /** @param gone called when the readable is closed, having been read to its end or not. */
  constructor(gone: () => void = () => {}) {
    this.readable = new Readable({
      read: () => this.#wake(),
      destroy: (error, done) => {
        gone();
        this.#wake();
        done(error);
      },
    });
  }

  /** Resolves when there is room for more, or the signal aborts. What nobody wants any more is dropped. */
  async deliver(data: Uint8Array, signal: AbortSignal): Promise<void> {
    if (this.readable.destroyed || signal.aborted) return;
    const asked = new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    if (this.readable.push(data) || this.readable.destroyed) return;
    const wake = () => this.#wake();
    signal.addEventListener('abort', wake, { once: true });
    await asked;
    signal.removeEventListener('abort', wake);
  }

  end(): void {
    if (!this.readable.destroyed) this.readable.push(null);
  }
}

/** A Writable that hands its bytes on in pieces, one after the other. */
export class Inlet {
  readonly writable: Writable;

  constructor(send: (data: Buffer) => Promise<void>, end: () => Promise<void>) {
    this.writable = new Writable({
      write: (data: Buffer, _encoding, done) => {
        const sendAll = async () => {
          for (const piece of chunksOf(data)) await send(piece);
        };
        sendAll().then(() => done(), done);
      },
      final: (done) => {
        end().then(() => done(), done);
      },
    });
  }

  /** The other side is gone: what is still written is dropped, as by a pipe whose reader has ended. */
  close(): void {
    this.writable.destroy();
  }
}
