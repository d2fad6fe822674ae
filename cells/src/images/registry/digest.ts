import { createHash, type Hash } from 'node:crypto';

/** Lengths of hex digests by algorithm: those that the image format has registered. */
const HEX_LENGTH: Readonly<Record<string, number>> = { sha256: 64, sha512: 128 };

/** Whether a text is a digest of an algorithm that is known here, such as `sha256:…`. */
export function isDigest(text: string): boolean {
  const [algorithm = '', hex = '', ...more] = text.split(':');
  return more.length === 0 && hex.length === HEX_LENGTH[algorithm] && /^[0-9a-f]+$/.test(hex);
}

/** Hashes what passes, as the algorithm of a digest wants it. */
export class DigestCheck {
  readonly #algorithm: string;
  readonly #hash: Hash;

  /** @param expected a digest, see {@link isDigest} */
  constructor(private readonly expected: string) {
    this.#algorithm = expected.slice(0, expected.indexOf(':'));
    this.#hash = createHash(this.#algorithm);
  }

  update(chunk: Buffer): void {
    this.#hash.update(chunk);
  }

  /** What the bytes have for a digest; undefined when it is the expected one. Call once. */
  mismatch(): string | undefined {
    const found = `${this.#algorithm}:${this.#hash.digest('hex')}`;
    return found === this.expected ? undefined : found;
  }
}

/** The digest of a whole, by the algorithm of the expected one; undefined when it is the expected one. */
export function digestMismatch(content: Buffer, expected: string): string | undefined {
  const check = new DigestCheck(expected);
  check.update(content);
  return check.mismatch();
}
