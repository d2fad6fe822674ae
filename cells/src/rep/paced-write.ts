import type { Writable } from 'node:stream';

/**
 * Writes, and resolves when there is room for more or the stream is over; what is written to one that is over goes nowhere. It leaves no
 * listener behind, as a long transfer waits very often.
 */
export function pacedWrite(stream: Writable, bytes: Buffer): Promise<void> {
  if (stream.destroyed || stream.writableEnded || stream.write(bytes)) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      stream.off('drain', done).off('close', done).off('error', done);
      resolve();
    };
    stream.on('drain', done).on('close', done).on('error', done);
  });
}
