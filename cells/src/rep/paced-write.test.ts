import { Writable } from 'node:stream';
import { expect, it } from 'vitest';
import { pacedWrite } from './paced-write.js';

it('waits for the reader each time, and leaves no listener behind', async () => {
  let taken = 0;
  const stream = new Writable({
    highWaterMark: 1,
    write: (chunk: Buffer, _encoding, done) => {
      taken += chunk.length;
      setImmediate(done);
    },
  });
  stream.on('error', () => undefined);
  const listeners = () => ['drain', 'close', 'error'].map((event) => stream.listenerCount(event));
  const before = listeners();
  for (let n = 1; n <= 100; n++) {
    await pacedWrite(stream, Buffer.alloc(10));
    expect([taken, stream.writableLength]).toEqual([10 * n, 0]);
  }
  expect(listeners()).toEqual(before);
});

it.each([
  ['is closed', (stream: Writable) => stream.destroy()],
  ['fails', (stream: Writable) => stream.destroy(new Error('gone'))],
])('waits no longer when the stream %s', async (_, end) => {
  const stream = new Writable({ highWaterMark: 1, write: () => undefined });
  stream.on('error', () => undefined);
  const written = pacedWrite(stream, Buffer.alloc(10));
  end(stream);
  await written;
  await pacedWrite(stream, Buffer.alloc(10));
});
