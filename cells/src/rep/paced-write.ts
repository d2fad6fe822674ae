import type { Writable } from 'node:stream';
import { roomToWrite } from '../garden/room-to-write.js';

/** Writes, and resolves when there is room for more or the stream is over; what is written to one that is over goes nowhere. */
export async function pacedWrite(stream: Writable, bytes: Buffer): Promise<void> {
  if (stream.destroyed || stream.writableEnded || stream.write(bytes)) return;
  await roomToWrite(stream);
}
