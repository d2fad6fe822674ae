import { status } from '@grpc/grpc-js';
import { AccessServiceService as methods, ReadLogsResponse } from '@rivera/gen/rivera/access/v1/access_service';
import type { LogEntry } from '@rivera/gen/rivera/rep/v1/container';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { UnavailableError } from '../errors.js';
import { statusOf } from '../testing/fake-server.js';
import { collect, Setting, take } from '../testing/setting.js';
import { Delivered } from './logs.js';

let setting: Setting;
beforeAll(async () => {
  setting = await Setting.make();
});
afterEach(() => setting.endTest());
afterAll(() => setting.end());

const at = (second: number) => new Date(Date.UTC(2030, 0, 1, 0, 0, second));
const line = (containerGuid: string, sequence: number, second = sequence) => ({
  ...{ containerGuid, sequence, time: at(second), payload: Buffer.from(`${containerGuid}${sequence}`) },
});
const lines = (...entries: ReturnType<typeof line>[]) => ReadLogsResponse.fromPartial({ entries });
const texts = (entries: LogEntry[]) => entries.map((entry) => entry.payload.toString());
const lost = () => statusOf(status.UNAVAILABLE, 'connection lost');

describe('logs', () => {
  it('end when there are no more', async () => {
    const server = await setting.server();
    server.streaming(methods.readLogs, (call) => {
      call.write(lines(line('a', 1), line('b', 1)));
      call.write(lines(line('a', 2)));
    });
    expect(texts(await collect(setting.client(server).logs({ processGuid: 'p' })))).toEqual(['a1', 'b1', 'a2']);
  });

  it('are followed over a broken connection, each line once', async () => {
    const server = await setting.server();
    const { calls } = server.streaming(methods.readLogs, (call, attempt) => {
      if (attempt === 1) {
        call.write(lines(line('a', 40), line('b', 7, 41), line('a', 41, 50)));
        throw lost();
      }
      call.write(lines(line('a', 40), line('b', 7, 41), line('a', 41, 50), line('b', 8, 51), line('a', 42, 52)));
      return new Promise(() => {});
    });
    const following = setting.client(server).logs({ processGuid: 'p', follow: true, tail: 3 });
    expect(texts(await take(following, 5))).toEqual(['a40', 'b7', 'a41', 'b8', 'a42']);
    expect(calls[0]?.filter).toMatchObject({ processGuid: 'p', follow: true, tail: 3, since: undefined });
    expect(calls[1]?.filter).toMatchObject({ processGuid: 'p', follow: true, tail: 0, since: at(20) });
  });

  it('that are not followed give up when the server stays away', async () => {
    const server = await setting.server();
    server.streaming(methods.readLogs, () => {
      throw lost();
    });
    const client = setting.client(server, { maxAttempts: 2 });
    await expect(collect(client.logs({ taskGuid: 't' }))).rejects.toBeInstanceOf(UnavailableError);
  });

  it('say what is missing from them', async () => {
    const server = await setting.server();
    server.streaming(methods.readLogs, (call) => {
      call.write(ReadLogsResponse.fromPartial({ dropped: 3, unreachableCells: { c1: 'no route' } }));
      call.write(lines(line('a', 1)));
    });
    const gaps: unknown[] = [];
    await collect(setting.client(server).logs({ processGuid: 'p' }, { onGap: (gap) => gaps.push(gap) }));
    expect(gaps).toEqual([{ dropped: 3, unreachableCells: { c1: 'no route' } }]);
  });
});

describe('a line is new', () => {
  const fed = (...entries: ReturnType<typeof line>[]) => {
    const delivered = new Delivered();
    return entries.map((entry) => delivered.isNew(entry));
  };
  it('once for each container and sequence', () => {
    expect(fed(line('a', 1), line('b', 1), line('a', 1), line('a', 2))).toEqual([true, true, false, true]);
  });
  it('though its clock went back, as long as the sequence grows', () => {
    expect(fed(line('a', 1, 10), line('a', 2, 9))).toEqual([true, true]);
  });
  it('though its sequence started anew with the cell’s agent', () => {
    expect(fed(line('a', 900, 10), line('a', 1, 12), line('a', 1, 12), line('a', 2, 13))).toEqual([
      ...[true, true, false, true],
    ]);
  });
});
