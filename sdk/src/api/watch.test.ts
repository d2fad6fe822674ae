import { status } from '@grpc/grpc-js';
import { Event, EventKind } from '@rivera/gen/rivera/bbs/v1/event';
import { EventServiceService as methods, SnapshotRecord, WatchResponse } from '@rivera/gen/rivera/bbs/v1/event_service';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { WatchItem } from '../client.js';
import { CancelledError, PermissionDeniedError, UnavailableError } from '../errors.js';
import { statusOf } from '../testing/fake-server.js';
import { Setting, take } from '../testing/setting.js';

let setting: Setting;
beforeAll(async () => {
  setting = await Setting.make();
});
afterEach(() => setting.endTest());
afterAll(() => setting.end());

const record = (taskGuid: string) => SnapshotRecord.fromPartial({ record: { $case: 'task', value: { taskGuid } } });
const event = (revision: number) =>
  Event.fromPartial({ revision, event: { $case: 'taskCreated', value: { task: { taskGuid: `t${revision}` } } } });
const events = (resumeToken: string, ...revisions: number[]) =>
  WatchResponse.fromPartial({ events: revisions.map(event), resumeToken });
const snapshot = (resumeToken: string, ...guids: string[]) =>
  WatchResponse.fromPartial({ snapshotRecords: guids.map(record), snapshotComplete: true, revision: 1, resumeToken });
const lost = () => statusOf(status.UNAVAILABLE, 'connection lost');

/** One word an item, so that a test reads as a story. */
function told(item: WatchItem): string {
  switch (item.kind) {
    case 'snapshot':
      return item.record.record?.$case === 'task' ? `record ${item.record.record.value.taskGuid}` : 'record';
    case 'snapshot-complete':
      return 'complete';
    case 'event':
      return `event ${item.event.revision} @${item.resumeToken}`;
    case 'reset':
      return 'reset';
  }
}

describe('a watch', () => {
  it('yields the snapshot, then the events, each with the token behind it', async () => {
    const server = await setting.server();
    const { calls } = server.streaming(methods.watch, (call) => {
      call.write(snapshot('k1', 'a', 'b'));
      call.write(events('k4', 2, 3, 4));
      return new Promise(() => {});
    });
    const options = { snapshot: true, kinds: [EventKind.TASK], domains: ['d'], taskGuids: ['a'] };
    const items = await take(setting.client(server).watch(options), 6);
    expect(items.map(told)).toEqual(['record a', 'record b', 'complete', 'event 2 @k1', 'event 3 @k1', 'event 4 @k4']);
    expect(calls).toEqual([expect.objectContaining({ ...options, resumeToken: '' })]);
  });

  it('goes on behind its last token after the connection broke: no event twice, none missing', async () => {
    const server = await setting.server();
    const { calls } = server.streaming(methods.watch, (call, attempt) => {
      if (attempt === 1) {
        call.write(snapshot('k1', 'a'));
        call.write(events('k2', 2));
        throw lost();
      }
      if (attempt === 2) throw lost();
      call.write(events('k3', 3));
      return new Promise(() => {});
    });
    const items = await take(setting.client(server).watch({ snapshot: true }), 4);
    expect(items.map(told)).toEqual(['record a', 'complete', 'event 2 @k2', 'event 3 @k3']);
    expect(calls.map(({ snapshot: s, resumeToken }) => [s, resumeToken])).toEqual([
      [true, ''],
      [false, 'k2'],
      [false, 'k2'],
    ]);
  });

  it('resets with a fresh snapshot when its token is too old', async () => {
    const server = await setting.server();
    const { calls } = server.streaming(methods.watch, (call, attempt) => {
      if (attempt === 1) throw statusOf(status.OUT_OF_RANGE, 'too old', { reason: 'RESUME_TOKEN_TOO_OLD' });
      call.write(snapshot('k9', 'a'));
      return new Promise(() => {});
    });
    const items = await take(setting.client(server).watch({ resumeToken: 'k1' }), 3);
    expect(items.map(told)).toEqual(['reset', 'record a', 'complete']);
    expect(calls.map(({ snapshot: s, resumeToken }) => [s, resumeToken])).toEqual([
      [false, 'k1'],
      [true, ''],
    ]);
  });

  it('resets when the connection breaks within the snapshot', async () => {
    const server = await setting.server();
    server.streaming(methods.watch, (call, attempt) => {
      if (attempt === 1) {
        call.write(WatchResponse.fromPartial({ snapshotRecords: [record('a')] }));
        throw lost();
      }
      call.write(snapshot('k1', 'a', 'b'));
      return new Promise(() => {});
    });
    const items = await take(setting.client(server).watch({ snapshot: true }), 5);
    expect(items.map(told)).toEqual(['record a', 'reset', 'record a', 'record b', 'complete']);
  });

  it('resets when events came before any token and the connection breaks', async () => {
    const server = await setting.server();
    server.streaming(methods.watch, (call, attempt) => {
      if (attempt === 1) {
        call.write(events('', 2));
        throw lost();
      }
      call.write(snapshot('k5', 'b'));
      return new Promise(() => {});
    });
    const items = await take(setting.client(server).watch(), 4);
    expect(items.map(told)).toEqual(['event 2 @', 'reset', 'record b', 'complete']);
  });

  it('resumes by a heartbeat’s token, also when nothing has happened yet', async () => {
    const server = await setting.server();
    const { calls } = server.streaming(methods.watch, (call, attempt) => {
      call.write(events(`k${attempt}`));
      if (attempt === 1) throw statusOf(status.RESOURCE_EXHAUSTED, 'too slow', { reason: 'WATCHER_TOO_SLOW' });
      call.write(events('k7', 7));
      return new Promise(() => {});
    });
    expect((await take(setting.client(server).watch(), 1)).map(told)).toEqual(['event 7 @k7']);
    expect(calls.map((c) => c.resumeToken)).toEqual(['', 'k1']);
  });

  it('follows the leader from server to server', async () => {
    const [first, second] = [await setting.server(), await setting.server()];
    first.streaming(methods.watch, async (call) => {
      call.write(events('k1', 1));
      await new Promise((resolve) => setImmediate(resolve));
      throw statusOf(status.UNAVAILABLE, 'deposed', {
        ...{ reason: 'NOT_LEADER', metadata: { leader_address: second.address } },
      });
    });
    const { calls } = second.streaming(methods.watch, (call) => {
      call.write(events('k2', 2));
      return new Promise(() => {});
    });
    expect((await take(setting.client(first).watch(), 2)).map(told)).toEqual(['event 1 @k1', 'event 2 @k2']);
    expect(calls[0]?.resumeToken).toBe('k1');
    expect(setting.waits).toEqual([]);
  });

  it('keeps trying after it has worked once, longer than a call would', async () => {
    const server = await setting.server();
    server.streaming(methods.watch, (call, attempt) => {
      if (attempt === 1) {
        call.write(events('k1'));
        throw lost();
      }
      if (attempt < 9) throw lost();
      call.write(events('k2', 2));
      return new Promise(() => {});
    });
    const items = await take(setting.client(server, { maxAttempts: 2 }).watch(), 1);
    expect(items.map(told)).toEqual(['event 2 @k2']);
  });

  it('gives up when it has never worked, and at once when it may not', async () => {
    const server = await setting.server();
    const { calls } = server.streaming(methods.watch, (_call, attempt) => {
      throw attempt <= 3 ? lost() : statusOf(status.PERMISSION_DENIED, 'no');
    });
    const client = setting.client(server, { maxAttempts: 3 });
    await expect(take(client.watch(), 1)).rejects.toBeInstanceOf(UnavailableError);
    await expect(take(client.watch(), 1)).rejects.toBeInstanceOf(PermissionDeniedError);
    expect(calls).toHaveLength(4);
  });

  it('ends its call when the loop is left, when its signal aborts and when the client closes', async () => {
    const server = await setting.server();
    let open = 0;
    const ended: (() => void)[] = [];
    server.streaming(methods.watch, (call) => {
      open++;
      call.write(events('k1', 1));
      return new Promise((resolve) => {
        call.on('cancelled', () => {
          open--;
          resolve();
          ended.shift()?.();
        });
      });
    });
    const client = setting.client(server);
    const nextEnd = () => new Promise<void>((resolve) => ended.push(resolve));

    let end = nextEnd();
    await take(client.watch(), 1);
    await end;

    end = nextEnd();
    const controller = new AbortController();
    const watching = client.watch({ signal: controller.signal })[Symbol.asyncIterator]();
    await watching.next();
    controller.abort();
    await expect(watching.next()).rejects.toBeInstanceOf(CancelledError);
    await end;

    const again = client.watch()[Symbol.asyncIterator]();
    await again.next();
    client.close();
    await expect(again.next()).rejects.toThrow('the client is closed');
    await expect.poll(() => open).toBe(0);
  });
});
