/**
 * An entry of a layer's archive. Own code reads and writes these: `tar-stream` takes extended attributes for text, which breaks file
 * capabilities, and doesn't know large user ids. Names are bytes, kept as latin1 text.
 */
export interface TarEntry {
  name: string;
  type: TarType;
  mode: number;
  uid: number;
  gid: number;
  /** Seconds since 1970. */
  mtime: number;
  size: number;
  linkname: string;
  xattrs: ReadonlyMap<string, Buffer>;
}

export type TarType = 'file' | 'link' | 'symlink' | 'character-device' | 'block-device' | 'directory' | 'fifo';

export const BLOCK = 512;

/** An archive that is none, or is broken off. */
export class TarError extends Error {
  override readonly name = 'TarError';
}

export function paddingOf(size: number): number {
  return (BLOCK - (size % BLOCK)) % BLOCK;
}

export function checksumOf(block: Buffer): number {
  let sum = 8 * 0x20;
  for (let index = 0; index < BLOCK; index++) if (index < 148 || index >= 156) sum += block[index] as number;
  return sum;
}
