import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';

const DIGEST_HEX_LENGTH = { md5: 32, sha1: 40, sha256: 64, sha512: 128 } as const;

export type ChecksumAlgorithm = keyof typeof DIGEST_HEX_LENGTH;

/** The digest that a download must have. */
export interface Checksum {
  algorithm: ChecksumAlgorithm;
  /** Lower-case hex. */
  value: string;
}

/** The content is not what was asked for; trying again would not help. */
export class ChecksumError extends Error {
  override readonly name = 'ChecksumError';

  constructor(
    why: 'algorithm invalid' | 'checksum missing or invalid' | 'checksum mismatch',
    expected: string,
    got: string,
  ) {
    super(`Checksum failed: '${why}', expected '${expected}', got '${got}'`);
  }
}

/** Reads what a definition says; undefined when it asks for none. @throws ChecksumError */
export function parseChecksum(algorithm: string, value: string): Checksum | undefined {
  if (algorithm === '' && value === '') return undefined;
  const name = algorithm.toLowerCase();
  if (!isAlgorithm(name)) throw new ChecksumError('algorithm invalid', 'md5, sha1, sha256 or sha512', algorithm);
  const digest = value.toLowerCase();
  if (digest.length !== DIGEST_HEX_LENGTH[name] || !/^[0-9a-f]*$/.test(digest)) {
    throw new ChecksumError('checksum missing or invalid', `${DIGEST_HEX_LENGTH[name]} hex digits`, value);
  }
  return { algorithm: name, value: digest };
}

function isAlgorithm(name: string): name is ChecksumAlgorithm {
  return Object.hasOwn(DIGEST_HEX_LENGTH, name);
}

/** The hash that `verifyDigest` wants to see. */
export function startDigest(checksum: Checksum): Hash {
  return createHash(checksum.algorithm);
}

/** @throws ChecksumError */
export function verifyDigest(checksum: Checksum, hash: Hash): void {
  const got = hash.digest('hex');
  if (got !== checksum.value) throw new ChecksumError('checksum mismatch', checksum.value, got);
}

/** Whether a file has the digest. */
export async function fileMatches(path: string, checksum: Checksum, signal: AbortSignal): Promise<boolean> {
  const hash = startDigest(checksum);
  await pipeline(createReadStream(path), hash, { signal });
  return hash.digest('hex') === checksum.value;
}
