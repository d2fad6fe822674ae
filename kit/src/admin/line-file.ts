import { closeSync, openSync, writeSync } from 'node:fs';
import { Writable } from 'node:stream';

/**
 * Appends to a file that only its owner reads. What is written in one turn of the event loop goes to the file together at the
 * turn's end, without waiting: a program that is killed later has written it. The file may be truncated by whoever rotates it.
 */
export class LineFile extends Writable {
  readonly #fd: number;
  #waiting: Buffer[] = [];

  /** @throws Error of Node when the file can't be opened. `onError` hears of lines that could not be written. */
  constructor(
    path: string,
    private readonly onError: (error: unknown) => void,
  ) {
    super({ decodeStrings: true });
    this.#fd = openSync(path, 'a', 0o600);
  }

  override _write(line: Buffer, _encoding: BufferEncoding, done: () => void): void {
    if (this.#waiting.push(line) === 1) setImmediate(() => this.#flush());
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#flush();
    closeSync(this.#fd);
    done(error);
  }

  /** A disk that is full now may have room for the next lines, so the file stays open. */
  #flush(): void {
    if (this.#waiting.length === 0) return;
    let rest: Buffer = Buffer.concat(this.#waiting);
    this.#waiting = [];
    try {
      while (rest.length > 0) rest = rest.subarray(writeSync(this.#fd, rest));
    } catch (error) {
      this.onError(error);
    }
  }
}
