import { Writable } from 'node:stream';
import { expect, it } from 'vitest';
import { roomToWrite } from './room-to-write.js';

const listeners = (stream: Writable) =>
  ['drain', 'close', 'error'].reduce((count, event) => count + stream.listenerCount(event), 0);

it('comes when the stream drains, breaks or is closed, and leaves nothing on it', async () => {
  let taken = () => {};
  const stream = new Writable({ highWaterMark: 1, write: (_chunk, _encoding, done) => (taken = done) });
  stream.on('error', () => undefined);
  const before = listeners(stream);
  for (let round = 0; round < 20; round++) {
    stream.write('much');
    const room = roomToWrite(stream);
    taken();
    await room;
  }
  const gone = new AbortController();
  stream.write('much');
  const left = roomToWrite(stream, gone.signal);
  gone.abort(new Error('gone'));
  await expect(left).rejects.toThrow('gone');
  expect(listeners(stream)).toBe(before);
  const never = roomToWrite(stream);
  stream.destroy(new Error('broken'));
  await never;
  expect(listeners(stream)).toBe(before);
});
