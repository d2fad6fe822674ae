import { BLOCK, checksumOf, paddingOf, type TarEntry, TarError, type TarType } from './tar-entry.js';

/** An entry with its content, which has to be read before the next entry. */
export interface ReadEntry extends TarEntry {
  content: AsyncGenerator<Buffer>;
}

/** Names and attributes that don't fit into a header come in blocks before it; all those of one entry have this much. */
const MAX_EXTENSION_BYTES = 4 * 1024 * 1024;
const XATTR = 'SCHILY.xattr.';

const TYPES: Readonly<Record<string, TarType>> = {
  '\0': 'file',
  '0': 'file',
  '1': 'link',
  '2': 'symlink',
  '3': 'character-device',
  '4': 'block-device',
  '5': 'directory',
  '6': 'fifo',
  '7': 'file',
};

/** How the numbers are written that don't fit into a header; times may lie before 1970 and between seconds. */
const NUMBERS: Readonly<Record<string, RegExp>> = {
  size: /^\d+$/,
  uid: /^\d+$/,
  gid: /^\d+$/,
  mtime: /^-?\d+(?:\.\d*)?$/,
};

/** What precedes a header and changes it. */
interface Extensions {
  path?: string;
  linkpath?: string;
  /** Of all blocks before the header. */
  bytes: number;
  numbers: Map<string, number>;
  xattrs: Map<string, Buffer>;
}

/**
 * Reads an archive, of any of the usual formats, to the last byte of its source.
 * @throws TarError
 */
export async function* readTar(source: AsyncIterable<Buffer>): AsyncGenerator<ReadEntry> {
  const bytes = new Bytes(source);
  let extensions = noExtensions();
  for (;;) {
    const header = await bytes.exactly(BLOCK);
    if (header === undefined || header.every((byte) => byte === 0)) break;
    if (checksumOf(header) !== number(header, 148, 8)) throw new TarError('it is no tar archive, or damaged');
    const flag = header.toString('latin1', 156, 157);
    const ownSize = number(header, 124, 12);
    if ('LKxg'.includes(flag)) {
      await readExtension(bytes, { flag, size: ownSize, extensions });
      continue;
    }
    const size = extensions.numbers.get('size') ?? ownSize;
    const type = TYPES[flag];
    if (type === undefined) throw new TarError(`it has an entry of unknown type '${flag}'`);
    const entry = entryOf(header, { type, size, extensions });
    extensions = noExtensions();
    const content = bytes.take(entry.size);
    yield { ...entry, content };
    // What was not read is in the way of the next header.
    for await (const _ of content);
    await bytes.exactly(paddingOf(entry.size));
  }
  await bytes.drain();
}

function entryOf(header: Buffer, o: { type: TarType; size: number; extensions: Extensions }): TarEntry {
  const { numbers, xattrs, path, linkpath } = o.extensions;
  const prefix = header.toString('latin1', 257, 263) === 'ustar\0' ? text(header, 345, 155) : '';
  const short = text(header, 0, 100);
  const name = path ?? (prefix === '' ? short : `${prefix}/${short}`);
  const type = o.type === 'file' && name.endsWith('/') ? 'directory' : o.type;
  return {
    name,
    type,
    mode: number(header, 100, 8) & 0o7777,
    uid: numbers.get('uid') ?? number(header, 108, 8),
    gid: numbers.get('gid') ?? number(header, 116, 8),
    mtime: Math.max(0, Math.floor(numbers.get('mtime') ?? number(header, 136, 12))),
    // The others have no content, whatever their header says.
    size: type === 'file' ? o.size : 0,
    linkname: linkpath ?? text(header, 157, 100),
    xattrs,
  };
}

function noExtensions(): Extensions {
  return { bytes: 0, numbers: new Map(), xattrs: new Map() };
}

async function readExtension(bytes: Bytes, o: { flag: string; size: number; extensions: Extensions }): Promise<void> {
  const { flag, size, extensions } = o;
  extensions.bytes += size;
  if (extensions.bytes > MAX_EXTENSION_BYTES)
    throw new TarError(`it has a name and attributes of ${extensions.bytes} bytes`);
  const content = await bytes.exactly(size);
  await bytes.exactly(paddingOf(size));
  if (content === undefined) throw new TarError('it is broken off');
  if (flag === 'L') extensions.path = text(content, 0, size);
  else if (flag === 'K') extensions.linkpath = text(content, 0, size);
  // What is said of all entries ('g') is a comment in practice.
  else if (flag === 'x') readRecords(content, extensions);
}

/** `LENGTH KEY=VALUE\n`, again and again. */
function readRecords(content: Buffer, extensions: Extensions): void {
  for (let at = 0; at < content.length; ) {
    const blank = content.indexOf(0x20, at);
    const length = Number(content.toString('latin1', at, blank));
    const equals = content.indexOf(0x3d, blank);
    const end = at + length;
    if (blank < at || !(length > 0) || end > content.length || equals < 0 || equals >= end)
      throw new TarError('it has damaged attributes');
    const key = content.toString('latin1', blank + 1, equals);
    const value = content.subarray(equals + 1, end - 1);
    if (key.startsWith('GNU.sparse.')) throw new TarError('it has a sparse file in a form that layers may not have');
    if (key === 'path') extensions.path = value.toString('latin1');
    else if (key === 'linkpath') extensions.linkpath = value.toString('latin1');
    else if (Object.hasOwn(NUMBERS, key)) extensions.numbers.set(key, numberOf(key, value.toString('latin1')));
    else if (key.startsWith(XATTR)) extensions.xattrs.set(key.slice(XATTR.length), Buffer.from(value));
    at = end;
  }
}

/** @throws TarError for what is none, or of which there can't be so much */
function numberOf(key: string, written: string): number {
  const value = Number(written);
  if (!NUMBERS[key]?.test(written) || !Number.isSafeInteger(Math.floor(value)))
    throw new TarError('it has damaged attributes');
  return value;
}

function text(block: Buffer, start: number, length: number): string {
  const end = block.indexOf(0, start);
  return block.toString('latin1', start, end < 0 || end > start + length ? start + length : end);
}

/** Octal digits, or where these don't suffice a binary number behind a set bit. */
function number(block: Buffer, start: number, length: number): number {
  const first = block[start] as number;
  if (first === 0x80) return Number(block.readBigUInt64BE(start + length - 8) & 0x7fff_ffff_ffff_ffffn);
  // A negative time is before 1970, which is as good as 1970.
  if (first === 0xff) return 0;
  const digits = text(block, start, length).trim();
  if (!/^[0-7]*$/.test(digits)) throw new TarError('it is no tar archive, or damaged');
  return digits === '' ? 0 : Number.parseInt(digits, 8);
}

/** The bytes of a source, in pieces of the reader's choice. */
class Bytes {
  readonly #source: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Buffer>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** undefined: the source ends here. @throws TarError when it ends in between */
  async exactly(size: number): Promise<Buffer | undefined> {
    const chunks: Buffer[] = [];
    let have = 0;
    while (have < size) {
      const chunk = await this.#next(size - have);
      if (chunk === undefined && have === 0) return undefined;
      if (chunk === undefined) throw new TarError('it is broken off');
      chunks.push(chunk);
      have += chunk.length;
    }
    return Buffer.concat(chunks);
  }

  async *take(size: number): AsyncGenerator<Buffer> {
    for (let left = size; left > 0; ) {
      const chunk = await this.#next(left);
      if (chunk === undefined) throw new TarError('it is broken off');
      left -= chunk.length;
      yield chunk;
    }
  }

  async drain(): Promise<void> {
    while ((await this.#next(Number.MAX_SAFE_INTEGER)) !== undefined);
  }

  async #next(most: number): Promise<Buffer | undefined> {
    while (this.#rest.length === 0) {
      const { value, done } = await this.#source.next();
      if (done) return undefined;
      this.#rest = value;
    }
    const chunk = this.#rest.subarray(0, most);
    this.#rest = this.#rest.subarray(chunk.length);
    return chunk;
  }
}
