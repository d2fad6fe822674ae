import type { ServerChannel } from 'ssh2';
import type { Wire } from './wire.js';

/** What has gone through a channel. */
export interface Traffic {
  up: number;
  down: number;
}

/** What is handed on at once: a message to a cell costs as much as some hundred KiB do, and one packet has 32. */
const MAX_PIECE_BYTES = 256 * 1024;

/** Hands on what a client sends, one piece at a time: the client may send no faster than it is taken. Resolves at its end of input. */
export function readChannel(channel: ServerChannel, take: (data: Buffer) => Promise<void>): Promise<void> {
  return new Promise((resolve, reject) => {
    let taking = false;
    const more = () => {
      if (taking) return;
      const data: unknown = channel.read(Math.min(channel.readableLength, MAX_PIECE_BYTES) || undefined);
      if (!Buffer.isBuffer(data)) return;
      taking = true;
      take(data).then(() => {
        taking = false;
        more();
      }, reject);
    };
    channel.on('readable', more);
    channel.once('end', resolve);
    channel.once('close', resolve);
  });
}

/**
 * Writes to a client, and waits until the client has room for it: in the channel's window, and in the socket. One write at a time, be
 * it output or errors, as ssh2 wakes only one of the two.
 */
export class ChannelWriter {
  constructor(
    private readonly channel: ServerChannel,
    private readonly wire: Pick<Wire, 'socket' | 'full' | 'room'>,
  ) {
    // What breaks tells the writer by its close; without somebody who hears them, errors would end the process.
    for (const stream of [channel, channel.stderr]) stream.on('error', () => undefined);
  }

  /** @returns false once the client is gone */
  async write(data: Buffer, to: 'output' | 'errors' = 'output'): Promise<boolean> {
    const { channel, wire } = this;
    while (wire.full) await wire.room();
    const stream = to === 'output' ? channel : channel.stderr;
    if (!stream.writable || !channel.writable) return false;
    return new Promise((resolve) => {
      const done = () => {
        channel.off('close', done);
        resolve(channel.writable);
      };
      channel.once('close', done);
      // ssh2 writes each packet in three pieces, which would be as many system calls and segments.
      wire.socket.cork();
      stream.write(data, done);
      wire.socket.uncork();
    });
  }
}
