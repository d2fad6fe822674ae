/** The longest message; what is longer is cut (spec cell §25). */
export const MAX_MESSAGE_BYTES = 61_440;

const NEWLINE = 0x0a;
const RETURN = 0x0d;

/** Cuts a stream of bytes into messages: at line ends, and where a message would become too long. Empty ones are dropped. */
export class LineSplitter {
  #held: Buffer[] = [];
  #heldBytes = 0;
  #timeMs = 0;

  constructor(
    private readonly emit: (message: Buffer, timeMs: number) => void,
    private readonly maxBytes = MAX_MESSAGE_BYTES,
  ) {}

  /** Bytes written at that time. A message has the time of its first byte. */
  push(data: Buffer, timeMs: number): void {
    let start = 0;
    for (let index = 0; index < data.length; index++) {
      const byte = data[index];
      if (byte !== NEWLINE && byte !== RETURN) continue;
      this.#hold(data.subarray(start, index), timeMs);
      this.end();
      start = index + 1;
    }
    this.#hold(data.subarray(start), timeMs);
  }

  /** The message is whole: a line end, or the end of the stream. */
  end(): void {
    if (this.#heldBytes === 0) return;
    const message = this.#held.length === 1 ? (this.#held[0] as Buffer) : Buffer.concat(this.#held);
    this.#held = [];
    this.#heldBytes = 0;
    this.emit(message, this.#timeMs);
  }

  #hold(piece: Buffer, timeMs: number): void {
    if (piece.length === 0) return;
    if (this.#heldBytes === 0) this.#timeMs = timeMs;
    this.#held.push(piece);
    this.#heldBytes += piece.length;
    if (this.#heldBytes <= this.maxBytes) return;
    let rest = Buffer.concat(this.#held);
    while (rest.length > this.maxBytes) {
      const cut = utf8Boundary(rest, this.maxBytes);
      this.emit(rest.subarray(0, cut), this.#timeMs);
      rest = rest.subarray(cut);
      this.#timeMs = timeMs;
    }
    this.#held = rest.length > 0 ? [rest] : [];
    this.#heldBytes = rest.length;
  }
}

/** The last place at or before `limit` where no character is cut in two; `limit` itself when the bytes are not UTF-8. */
export function utf8Boundary(bytes: Buffer, limit: number): number {
  if (limit >= bytes.length) return bytes.length;
  for (let cut = limit; cut > limit - 4 && cut > 0; cut--) {
    if (((bytes[cut] as number) & 0xc0) !== 0x80) return cut;
  }
  return limit;
}
