import { createWriteStream, type WriteStream } from 'node:fs';
import { StringDecoder } from 'node:string_decoder';

/** One recording; what comes after is not in it. */
const MAX_BYTES = 256 * 1024 * 1024;
/** What waits to be written when the disk is slow; what comes meanwhile is left out, which the recording says. */
const MAX_WAITING_BYTES = 4 * 1024 * 1024;

/** What a recording is about. */
export interface RecordingFacts {
  readonly id: string;
  readonly columns: number;
  readonly rows: number;
  readonly term: string;
  readonly title: string;
}

/** What a terminal showed, and when: asciicast version 2, to be played with asciinema. Input is not recorded, as passwords are. */
export class Recording {
  readonly #file: WriteStream;
  readonly #decoder = new StringDecoder('utf8');
  readonly #startedAt: number;
  #bytes = 0;
  #left = 0;
  #over = false;
  /** Nothing will be written any more. */
  readonly closed: Promise<void>;

  /** @param path of a file that is not there yet */
  constructor(
    path: string,
    facts: RecordingFacts,
    private readonly now: () => number,
    onError: (error: Error) => void,
  ) {
    this.#startedAt = now();
    this.#file = createWriteStream(path, { mode: 0o600, flags: 'wx' });
    this.closed = new Promise((resolve) => this.#file.once('close', () => resolve()));
    this.#file.on('error', (error) => {
      this.#over = true;
      onError(error);
    });
    const { columns: width, rows: height, title, term } = facts;
    const timestamp = Math.floor(this.#startedAt / 1000);
    this.#write({ version: 2, width, height, timestamp, title, env: { TERM: term } });
  }

  output(data: Buffer): void {
    const text = this.#decoder.write(data);
    if (text !== '') this.#event('o', text);
  }

  resized(columns: number, rows: number): void {
    this.#event('r', `${columns}x${rows}`);
  }

  /** Resolves when all is on disk. */
  close(): Promise<void> {
    this.#over = true;
    this.#file.end();
    return this.closed;
  }

  #event(kind: 'o' | 'r', text: string): void {
    if (this.#over) return;
    if (this.#file.writableLength > MAX_WAITING_BYTES || this.#bytes > MAX_BYTES) {
      this.#left += text.length;
      return;
    }
    if (this.#left > 0) {
      const left = this.#left;
      this.#left = 0;
      this.#event('o', `\r\n[${left} characters were not recorded]\r\n`);
    }
    this.#write([Math.round(this.now() - this.#startedAt) / 1000, kind, text]);
  }

  #write(line: unknown): void {
    const text = `${JSON.stringify(line)}\n`;
    this.#bytes += Buffer.byteLength(text);
    this.#file.write(text);
  }
}
