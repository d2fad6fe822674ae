import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { status } from '@grpc/grpc-js';
import {
  AccessServiceService as methods,
  ReadFilesResponse,
  type WriteFilesRequest,
} from '@rivera/gen/rivera/access/v1/access_service';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { FailedPreconditionError, NotFoundError, UnavailableError } from '../errors.js';
import { type FakeServer, statusOf } from '../testing/fake-server.js';
import { Setting } from '../testing/setting.js';

let setting: Setting;
beforeAll(async () => {
  setting = await Setting.make();
});
afterEach(() => setting.endTest());
afterAll(() => setting.end());

const target = { target: { $case: 'instance', value: { processGuid: 'p', index: 2 } } } as const;
const data = (bytes: Buffer) => ReadFilesResponse.fromPartial({ data: bytes });
const lost = () => statusOf(status.UNAVAILABLE, 'connection lost');

describe('reading files', () => {
  it('streams the archive, trying again as long as nothing has come', async () => {
    const server = await setting.server();
    const { calls } = server.streaming(methods.readFiles, (call, attempt) => {
      if (attempt === 1) throw lost();
      call.write(data(Buffer.from('one ')));
      call.write(data(Buffer.from('two')));
    });
    const tar = setting.client(server).readFiles(target, '/etc/', { user: 'web' });
    expect((await buffer(tar)).toString()).toBe('one two');
    expect(calls[1]).toMatchObject({ target, path: '/etc/', user: 'web' });
  });

  it('fails rather than begin again in the middle', async () => {
    const server = await setting.server();
    server.streaming(methods.readFiles, (call) => {
      call.write(data(Buffer.from('one ')));
      throw lost();
    });
    await expect(buffer(setting.client(server).readFiles(target, '/etc'))).rejects.toBeInstanceOf(UnavailableError);
  });

  it('fails with what the server says', async () => {
    const server = await setting.server();
    server.streaming(methods.readFiles, () => {
      throw statusOf(status.NOT_FOUND, 'no such file', { reason: 'FILE_NOT_FOUND' });
    });
    await expect(buffer(setting.client(server).readFiles(target, '/x'))).rejects.toBeInstanceOf(NotFoundError);
  });

  it('ends its call when the stream is destroyed, also while it waits', async () => {
    const server = await setting.server();
    const cancelled = new Promise<void>((resolve) => {
      server.streaming(methods.readFiles, (call) => {
        call.write(data(Buffer.from('x')));
        return new Promise((end) => {
          call.on('cancelled', () => {
            end();
            resolve();
          });
        });
      });
    });
    const tar = setting.client(server).readFiles(target, '/x');
    await new Promise((resolve) => tar.once('data', resolve));
    tar.destroy();
    await cancelled;
  });
});

describe('an unread archive', () => {
  it('is given up when the client closes', async () => {
    const server = await setting.server();
    server.streaming(methods.readFiles, (call) => {
      for (let i = 0; i < 10; i++) call.write(data(Buffer.alloc(64 * 1024)));
      return new Promise((resolve) => call.on('cancelled', resolve));
    });
    const client = setting.client(server);
    const tar = client.readFiles(target, '/x');
    const failed = new Promise((resolve) => tar.once('error', resolve));
    await expect.poll(() => tar.readableLength).toBeGreaterThan(0);
    client.close();
    expect(await failed).toMatchObject({ name: 'CancelledError', message: 'the client is closed' });
  });
});

describe('writing files', () => {
  /** Scripts a server that takes everything; resolves with it. */
  const taking = (server: FakeServer) => {
    const heard: WriteFilesRequest[] = [];
    server.collecting(methods.writeFiles, async (call) => {
      for await (const request of call as AsyncIterable<WriteFilesRequest>) heard.push(request);
      return {};
    });
    return heard;
  };
  const bytesOf = (heard: WriteFilesRequest[]) =>
    Buffer.concat(heard.flatMap(({ message }) => (message?.$case === 'data' ? [message.value] : [])));
  const big = Buffer.from(Array.from({ length: 300_000 }, (_, i) => i % 251));

  it('sends where to, then the archive in pieces', async () => {
    const server = await setting.server();
    const heard = taking(server);
    await setting.client(server).writeFiles(target, '/srv', Readable.from([big, Buffer.from('end')]), { user: 'web' });
    expect(heard[0]).toMatchObject({ message: { $case: 'start', value: { target, path: '/srv', user: 'web' } } });
    expect(bytesOf(heard).equals(Buffer.concat([big, Buffer.from('end')]))).toBe(true);
    expect(heard.slice(1).every(({ message }) => message?.$case === 'data' && message.value.length <= 65536)).toBe(
      true,
    );
  });

  it('moves to the leader and begins again there', async () => {
    const [standby, leader] = [await setting.server(), await setting.server()];
    standby.collecting(methods.writeFiles, async (call) => {
      await new Promise((resolve) => call.once('data', resolve));
      throw statusOf(status.UNAVAILABLE, 'standby', {
        ...{ reason: 'NOT_LEADER', metadata: { leader_address: leader.address } },
      });
    });
    const heard = taking(leader);
    await setting.client(standby).writeFiles(target, '/srv', Readable.from([big]));
    expect(bytesOf(heard).equals(big)).toBe(true);
  });

  it('fails at once with what the server says, though the source is silent', async () => {
    const server = await setting.server();
    server.collecting(methods.writeFiles, async () => {
      throw statusOf(status.FAILED_PRECONDITION, 'not running', { reason: 'CONTAINER_NOT_READY' });
    });
    const silent = new Readable({ read() {} });
    const writing = setting.client(server).writeFiles(target, '/srv', silent);
    await expect(writing).rejects.toBeInstanceOf(FailedPreconditionError);
    expect(silent.destroyed).toBe(true);
  });

  it('fails with the source’s own error, and cancels the call', async () => {
    const server = await setting.server();
    let arrived: () => void = () => {};
    const arrival = new Promise<void>((resolve) => {
      arrived = resolve;
    });
    const cancelled = new Promise<void>((resolve) => {
      server.collecting(methods.writeFiles, (call) => {
        call.resume().on('data', arrived);
        call.on('cancelled', () => resolve());
        return new Promise(() => {});
      });
    });
    const broken = Readable.from(
      (async function* () {
        yield big;
        await arrival;
        throw new Error('disk on fire');
      })(),
    );
    await expect(setting.client(server).writeFiles(target, '/srv', broken)).rejects.toThrow('disk on fire');
    await cancelled;
  });
});
