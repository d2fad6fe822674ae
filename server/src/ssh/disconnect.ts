/** Where ssh2 makes its packets. */
interface PacketWriter {
  readonly allocStartKEX: number;
  alloc(bytes: number, force?: boolean): Buffer;
  finalize(packet: Buffer, force?: boolean): Buffer;
}

/** Message number, reason and the length of the description come before it (RFC 4253 section 11.1). */
const DESCRIPTION_AT = 9;
const MAX_BYTES = 500;

/** Lets something send ssh2's message of a disconnection with a description in it; ssh2 leaves that empty. */
export function withDescription(protocol: object, text: string, send: () => void): void {
  const { write } = (protocol as { _packetRW?: { write?: PacketWriter } })._packetRW ?? {};
  if (typeof write?.alloc !== 'function' || typeof write.finalize !== 'function') {
    throw new Error('ssh2 makes its packets in another way now');
  }
  const description = Buffer.from(text).subarray(0, MAX_BYTES);
  const { alloc, finalize } = write;
  write.alloc = (bytes, force) => alloc.call(write, bytes + description.length, force);
  write.finalize = (packet, force) => {
    const at = write.allocStartKEX + DESCRIPTION_AT;
    packet.writeUInt32BE(description.length, at - 4);
    description.copy(packet, at);
    packet.writeUInt32BE(0, at + description.length);
    return finalize.call(write, packet, force);
  };
  try {
    send();
  } finally {
    Object.assign(write, { alloc, finalize });
  }
}
