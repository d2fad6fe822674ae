import type { AccessServiceClient, WriteFilesRequest } from '@rivera/gen/rivera/access/v1/access_service';
import type { ContainerTarget } from '@rivera/gen/rivera/rep/v1/container';
import { fromStatus, RiveraError } from '@rivera/kit/errors';
import { serverStream } from '@rivera/kit/grpc/dial';
import { MessageWriter } from '@rivera/kit/grpc/writer';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AccessBench, aborted, Happening, settled } from './testing.js';

let bench: AccessBench;
let client: AccessServiceClient;
beforeEach(async () => {
  bench = await AccessBench.start();
  client = await bench.client();
});
afterEach(() => bench.close());

const target = (cellId: string): ContainerTarget => ({ target: { $case: 'taskGuid', value: `t-${cellId}` } });
const CHUNK = Buffer.alloc(64 * 1024);

/** A client's upload; `answer` is how it ends. */
function upload(cellId = 'c1', by = client) {
  let settle: { resolve(): void; reject(error: Error): void } | undefined;
  const answer = new Promise<void>((resolve, reject) => {
    settle = { resolve, reject };
  });
  answer.catch(() => undefined);
  const call = by.writeFiles((error) => (error ? settle?.reject(fromStatus(error)) : settle?.resolve()));
  const writer = new MessageWriter<WriteFilesRequest>(call, () => new RiveraError('CANCELLED', 'over'));
  call.once('status', () => writer.stop());
  const write = (message: WriteFilesRequest['message']) => writer.write({ message });
  return {
    call,
    answer,
    start: () => write({ $case: 'start', value: { target: target(cellId), path: '/in', user: 'u' } }),
    data: (data: Buffer) => write({ $case: 'data', value: data }),
  };
}

describe('writing files', () => {
  it('passes the start and every byte on, in order', async () => {
    const heard: unknown[] = [];
    await bench.cell('c1', {
      async writeFiles(requests) {
        for await (const { message } of requests) heard.push(message?.value);
        return {};
      },
    });
    const { start, data, call, answer } = upload();
    await start();
    for (const text of ['one', 'two', '']) await data(Buffer.from(text));
    call.end();
    await answer;
    expect(heard[0]).toMatchObject({ target: target('c1'), path: '/in', user: 'u' });
    expect(heard.slice(1).map(String)).toEqual(['one', 'two', '']);
  });

  it('begins with a start and goes on with data', async () => {
    await bench.cell('c1', {
      async writeFiles(requests) {
        for await (const _ of requests);
        return {};
      },
    });
    const wrong = upload();
    await wrong.data(CHUNK);
    await expect(wrong.answer).rejects.toMatchObject({ reason: 'INVALID_REQUEST' });
    const twice = upload();
    await twice.start();
    await twice.start();
    await expect(twice.answer).rejects.toMatchObject({ reason: 'INVALID_REQUEST' });
  });

  it('tells a silent client at once that the cell refuses', async () => {
    await bench.cell('c1', {
      async writeFiles() {
        throw new RiveraError('CONTAINER_NOT_FOUND', 'no such container');
      },
    });
    const { start, answer } = upload();
    await start();
    await expect(answer).rejects.toMatchObject({ reason: 'CONTAINER_NOT_FOUND', message: 'no such container' });
  });

  it('tells a client in mid-sentence that the cell refuses', async () => {
    await bench.cell('c1', {
      async writeFiles(requests) {
        let chunks = 0;
        for await (const _ of requests) if (++chunks === 20) throw new RiveraError('INVALID_REQUEST', 'not a tar');
        return {};
      },
    });
    const { start, data, answer } = upload();
    await start();
    await expect(
      (async () => {
        for (;;) await data(CHUNK);
      })(),
    ).rejects.toBeInstanceOf(RiveraError);
    await expect(answer).rejects.toMatchObject({ reason: 'INVALID_REQUEST', message: 'not a tar' });
  });

  it('is done when the cell says so, whatever the client has left', async () => {
    await bench.cell('c1', { writeFiles: async () => ({}) });
    const { start, answer } = upload();
    await start();
    await answer;
  });

  it('waits where the cell does not read', async () => {
    await bench.cell('c1', {
      async writeFiles(_requests, { signal }) {
        await aborted(signal);
        return {};
      },
    });
    const { start, data, call, answer } = upload();
    await start();
    let sent = 0;
    const sending = (async () => {
      for (; sent < 10_000; sent++) await data(CHUNK);
    })().catch(() => undefined);
    await settled(() => sent);
    expect(sent).toBeLessThan(500);
    call.cancel();
    await sending;
    await expect(answer).rejects.toMatchObject({ reason: 'CANCELLED' });
  });

  it('ends at the cell when the client goes away', async () => {
    const begun = new Happening();
    const over = new Happening<unknown>();
    await bench.cell('c1', {
      async writeFiles(requests) {
        try {
          for await (const { message } of requests) if (message?.$case === 'data') begun.happens();
        } catch (error) {
          over.happens(error);
          throw error;
        }
        over.happens('took it for the whole');
        return {};
      },
    });
    const { client: distant, cable } = await bench.distantClient();
    const { start, data, answer } = upload('c1', distant);
    await start();
    await data(CHUNK);
    await begun.promise;
    cable.cut('reset');
    expect(await over.promise).toMatchObject({ reason: 'CANCELLED' });
    await expect(answer).rejects.toBeInstanceOf(RiveraError);
  });

  for (const how of ['end', 'reset'] as const) {
    it(`ends with CELL_UNREACHABLE when the cell dies (${how})`, async () => {
      const begun = new Happening();
      const { cable } = await bench.cell('c1', {
        async writeFiles(requests) {
          for await (const { message } of requests) if (message?.$case === 'data') begun.happens();
          return {};
        },
      });
      const { start, data, answer } = upload();
      await start();
      await data(CHUNK);
      await begun.promise;
      cable.cut(how);
      await expect(answer).rejects.toMatchObject({ reason: 'CELL_UNREACHABLE', metadata: { cell_id: 'c1' } });
    });
  }
});

describe('reading files', () => {
  const read = (by = client) => serverStream(() => by.readFiles({ target: target('c1'), path: '/out', user: 'u' }));

  it('passes every byte on', async () => {
    await bench.cell('c1', {
      async *readFiles({ path, user }) {
        for (const text of [path, user]) yield { data: Buffer.from(text) };
      },
    });
    const all: string[] = [];
    for await (const { data } of read()) all.push(data.toString());
    expect(all).toEqual(['/out', 'u']);
  });

  it('passes on what the cell refuses', async () => {
    await bench.cell('c1', {
      // biome-ignore lint/correctness/useYield: it refuses
      async *readFiles() {
        throw new RiveraError('FILE_NOT_FOUND', 'no /out');
      },
    });
    await expect(read().next()).rejects.toMatchObject({ reason: 'FILE_NOT_FOUND' });
  });

  it('waits where the client does not read, and ends at the cell when it goes', async () => {
    let sent = 0;
    const over = new Happening();
    await bench.cell('c1', {
      async *readFiles() {
        try {
          for (; sent < 10_000; sent++) yield { data: CHUNK };
        } finally {
          over.happens();
        }
      },
    });
    const { client: distant, cable } = await bench.distantClient();
    const reading = read(distant);
    await reading.next();
    await settled(() => sent);
    expect(sent).toBeLessThan(500);
    expect(over.has).toBe(false);
    cable.cut('reset');
    await over.promise;
    await reading.return();
  });

  it('ends with CELL_UNREACHABLE when the cell dies', async () => {
    const { cable } = await bench.cell('c1', {
      async *readFiles(_request, { signal }) {
        yield { data: CHUNK };
        await aborted(signal);
      },
    });
    const reading = read();
    await reading.next();
    const ended = expect(reading.next()).rejects.toMatchObject({ reason: 'CELL_UNREACHABLE' });
    cable.cut();
    await ended;
  });
});
