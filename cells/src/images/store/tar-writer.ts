import { BLOCK, checksumOf, paddingOf, type TarEntry, type TarType } from './tar-entry.js';

const FLAGS: Readonly<Record<TarType, string>> = {
  file: '0',
  link: '1',
  symlink: '2',
  'character-device': '3',
  'block-device': '4',
  directory: '5',
  fifo: '6',
};

/** What ends an archive. */
export const END_OF_TAR = Buffer.alloc(2 * BLOCK);

/** The header of an entry, with what has to precede it. Long names take GNU's form: `tar` takes those for the bytes they are. */
export function tarHeader(entry: TarEntry): Buffer {
  const { name, linkname, xattrs, type } = entry;
  const parts: Buffer[] = [];
  if (xattrs.size > 0) parts.push(extension('x', records(xattrs)));
  if (linkname.length > 100) parts.push(extension('K', Buffer.from(`${linkname}\0`, 'latin1')));
  if (name.length > 100) parts.push(extension('L', Buffer.from(`${name}\0`, 'latin1')));
  parts.push(block({ ...entry, flag: FLAGS[type] }));
  return Buffer.concat(parts);
}

export function tarPadding(size: number): Buffer {
  return Buffer.alloc(paddingOf(size));
}

function extension(flag: string, content: Buffer): Buffer {
  const about = { name: '././@LongLink', linkname: '', mode: 0, uid: 0, gid: 0, mtime: 0, size: content.length };
  return Buffer.concat([block({ ...about, flag }), content, tarPadding(content.length)]);
}

function records(xattrs: ReadonlyMap<string, Buffer>): Buffer {
  return Buffer.concat(
    [...xattrs].map(([name, value]) => {
      const record = Buffer.concat([Buffer.from(` SCHILY.xattr.${name}=`, 'latin1'), value, Buffer.from('\n')]);
      // The length counts its own digits.
      let length = record.length + 1;
      while (String(length).length + record.length > length) length++;
      return Buffer.concat([Buffer.from(String(length)), record]);
    }),
  );
}

function block(o: Omit<TarEntry, 'type' | 'xattrs'> & { flag: string }): Buffer {
  const header = Buffer.alloc(BLOCK);
  header.write(o.name.slice(0, 100), 0, 'latin1');
  writeNumber(header, o.mode, { start: 100, length: 8 });
  writeNumber(header, o.uid, { start: 108, length: 8 });
  writeNumber(header, o.gid, { start: 116, length: 8 });
  writeNumber(header, o.size, { start: 124, length: 12 });
  writeNumber(header, o.mtime, { start: 136, length: 12 });
  header.write(o.flag, 156, 'latin1');
  header.write(o.linkname.slice(0, 100), 157, 'latin1');
  header.write('ustar\x0000', 257, 'latin1');
  writeNumber(header, 0, { start: 329, length: 8 });
  writeNumber(header, 0, { start: 337, length: 8 });
  writeNumber(header, checksumOf(header), { start: 148, length: 8 });
  return header;
}

function writeNumber(header: Buffer, value: number, { start, length }: { start: number; length: number }): void {
  const digits = value.toString(8);
  if (digits.length < length) header.write(`${digits.padStart(length - 1, '0')}\0`, start, 'latin1');
  else {
    header.writeBigUInt64BE(BigInt(value), start + length - 8);
    header[start] = 0x80;
  }
}
