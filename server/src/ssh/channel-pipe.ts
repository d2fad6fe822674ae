import type { Writable } from 'node:stream';
import type { ServerChannel } from 'ssh2';

/** What has gone through a channel. */
export interface Traffic {
  up: number;
  down: number;
}

/** Hands on what a client sends, one piece at a time: the client may send no faster than it is taken. Resolves at its end of input. */
export function readChannel(channel: ServerChannel, take: (data: Buffer) => Promise<void>): Promise<void> {
  return new Promise((resolve, reject) => {
    channel.on('data', (data: Buffer) => {
      channel.pause();
      take(data).then(() => channel.resume(), reject);
    });
    channel.once('end', resolve);
    channel.once('close', resolve);
  });
}

/** Writes, and waits where the client does not take it. @returns false once the client is gone */
export function writeChannel(channel: ServerChannel, to: Writable, data: Buffer): Promise<boolean> {
  if (to.destroyed || !channel.writable) return Promise.resolve(false);
  if (to.write(data)) return Promise.resolve(true);
  return new Promise((resolve) => {
    const done = (left: boolean) => {
      to.off('drain', onDrain);
      channel.off('close', onClose);
      resolve(left);
    };
    const onDrain = () => done(true);
    const onClose = () => done(false);
    to.once('drain', onDrain);
    channel.once('close', onClose);
  });
}

/** Resolves once all that was written has left for the client, or the client is gone. */
export function flushed(channel: ServerChannel, to: Writable): Promise<void> {
  if (to.writableLength === 0 || !channel.writable) return Promise.resolve();
  return new Promise((resolve) => {
    channel.once('close', () => resolve());
    // Behind everything else: its callback says that the rest is out.
    to.write(Buffer.alloc(0), () => resolve());
  });
}
