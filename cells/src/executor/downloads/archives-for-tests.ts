import { gzipSync } from 'node:zlib';
import { pack } from 'tar-stream';

/** An entry of an archive that a test makes; names are taken as they are, however bad. */
export interface TestEntry {
  name: string;
  content?: string;
  type?: 'file' | 'directory' | 'symlink' | 'link' | 'fifo';
  linkname?: string;
  mode?: number;
}

export async function tarOf(...entries: TestEntry[]): Promise<Buffer> {
  const tar = pack();
  for (const { name, content = '', type = 'file', linkname, mode } of entries) {
    tar.entry(
      { name, type, ...(linkname !== undefined && { linkname }), ...(mode !== undefined && { mode }) },
      content,
    );
  }
  tar.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of tar) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

export async function tgzOf(...entries: TestEntry[]): Promise<Buffer> {
  return gzipSync(await tarOf(...entries));
}

/** A zip archive without compression, as a Unix system would make it. */
export function zipOf(...entries: TestEntry[]): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const { name, content = '', type = 'file', linkname, mode = 0o644 } of entries) {
    const data = Buffer.from(type === 'symlink' ? (linkname ?? '') : content);
    const file = Buffer.from(name);
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE(0x21, 8);
    common.writeUInt32LE(crc32(data), 10);
    common.writeUInt32LE(data.length, 14);
    common.writeUInt32LE(data.length, 18);
    common.writeUInt16LE(file.length, 22);
    const local = Buffer.concat([Buffer.from('PK\x03\x04'), common, file, data]);
    const kind = type === 'symlink' ? 0o120000 : type === 'directory' ? 0o040000 : 0o100000;
    const rest = Buffer.alloc(14);
    rest.writeUInt32LE(((kind | mode) << 16) >>> 0, 6);
    rest.writeUInt32LE(offset, 10);
    directory.push(Buffer.concat([Buffer.from('PK\x01\x02'), Buffer.from([20, 3]), common, rest, file]));
    parts.push(local);
    offset += local.length;
  }
  const central = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt16LE(entries.length, 8);
  end.writeUInt16LE(entries.length, 10);
  end.writeUInt32LE(central.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...parts, central, end]);
}

function crc32(data: Buffer): number {
  let crc = 0xffffffff;
  for (const byte of data) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return (crc ^ 0xffffffff) >>> 0;
}
