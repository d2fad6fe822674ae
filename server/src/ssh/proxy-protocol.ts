import { isIP, type Socket } from 'node:net';

/** Version 1 has at most 107 bytes, version 2 says how many; more than this is nobody's header. */
const MAX_BYTES = 1_024;
const SIGNATURE = Buffer.from([0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]);

/** What a header says, and how many bytes it has. */
export interface ProxyHeader {
  /** Undefined: the balancer speaks for itself, as when it checks our health. */
  readonly address: string | undefined;
  readonly port: number;
  readonly bytes: number;
}

/** Reads a PROXY header. Undefined: it goes on. @throws Error when it is none */
export function parseProxyHeader(data: Buffer): ProxyHeader | undefined {
  const start = data.subarray(0, SIGNATURE.length);
  if (SIGNATURE.subarray(0, start.length).equals(start)) {
    return data.length < 16 ? undefined : parseBinary(data);
  }
  const end = data.indexOf('\r\n');
  if (end < 0) {
    if (data.length > 107 || !'PROXY '.startsWith(data.toString('latin1', 0, 6))) throw new Error('no PROXY header');
    return undefined;
  }
  const [word, family, address = '', , port] = data.toString('latin1', 0, end).split(' ');
  if (word !== 'PROXY' || end > 107) throw new Error('no PROXY header');
  if (family === 'UNKNOWN') return { address: undefined, port: 0, bytes: end + 2 };
  if (family !== `TCP${isIP(address)}` || !/^\d{1,5}$/.test(port ?? '') || Number(port) > 65_535) {
    throw new Error('a PROXY header that says nothing');
  }
  return { address, port: Number(port), bytes: end + 2 };
}

function parseBinary(data: Buffer): ProxyHeader | undefined {
  const length = data.readUInt16BE(14);
  const bytes = 16 + length;
  if (bytes > MAX_BYTES || data.readUInt8(12) >> 4 !== 2) throw new Error('no PROXY header');
  if (data.length < bytes) return undefined;
  const family = data.readUInt8(13) >> 4;
  const local = (data.readUInt8(12) & 15) === 0;
  if (local || (family !== 1 && family !== 2)) return { address: undefined, port: 0, bytes };
  const size = family === 1 ? 4 : 16;
  if (length < size * 2 + 4) throw new Error('a PROXY header that says nothing');
  const raw = data.subarray(16, 16 + size);
  const address =
    family === 1 ? raw.join('.') : Array.from({ length: 8 }, (_, i) => raw.readUInt16BE(i * 2).toString(16)).join(':');
  return { address, port: data.readUInt16BE(16 + size * 2), bytes };
}

/** Takes the header off a connection and leaves the rest to be read. @throws Error when it has none in time */
export function takeProxyHeader(socket: Socket, timeoutMs: number): Promise<ProxyHeader> {
  return new Promise((resolve, reject) => {
    let data = Buffer.alloc(0);
    const done = (act: () => void) => {
      clearTimeout(late);
      socket.off('data', more).off('close', gone).off('error', gone);
      socket.pause();
      act();
    };
    const gone = () => done(() => reject(new Error('the connection ended before its PROXY header')));
    const late = setTimeout(() => done(() => reject(new Error('no PROXY header in time'))), timeoutMs);
    const more = (chunk: Buffer) => {
      data = Buffer.concat([data, chunk]);
      try {
        const header = parseProxyHeader(data);
        if (!header) {
          if (data.length > MAX_BYTES) throw new Error('no PROXY header');
          return;
        }
        done(() => {
          if (data.length > header.bytes) socket.unshift(data.subarray(header.bytes));
          resolve(header);
        });
      } catch (error) {
        done(() => reject(error));
      }
    };
    socket.on('data', more).on('close', gone).on('error', gone).resume();
  });
}
