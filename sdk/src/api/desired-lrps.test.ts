import { type ServerDuplexStream, status } from '@grpc/grpc-js';
import { DesiredLrp, DesiredLrpView } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import {
  type DesireLrpsRequest,
  type DesireLrpsResponse,
  DesiredLrpServiceService as methods,
} from '@rivera/gen/rivera/bbs/v1/desired_lrp_service';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { AbortedError, AlreadyExistsError, NotFoundError } from '../errors.js';
import { statusOf } from '../testing/fake-server.js';
import { collect, Setting, take } from '../testing/setting.js';

let setting: Setting;
beforeAll(async () => {
  setting = await Setting.make();
});
afterEach(() => setting.endTest());
afterAll(() => setting.end());

const lost = () => statusOf(status.UNAVAILABLE, 'connection lost');
const conflict = () => statusOf(status.ABORTED, 'changed', { reason: 'DESIRED_LRP_CONFLICT' });
const lrp = (index: number, more: Partial<DesiredLrp> = {}) =>
  DesiredLrp.fromPartial({ processGuid: 'p', modificationTag: { epoch: 'e', index }, ...more });

describe('update', () => {
  it('sends only what changes', async () => {
    const server = await setting.server();
    const { calls } = server.unary(methods.updateDesiredLrp, () => ({ desiredLrp: lrp(2, { instances: 0 }) }));
    const updated = await setting.client(server).desiredLrps.update('p', { instances: 0 });
    expect(updated.modificationTag?.index).toBe(2);
    expect(calls[0]).toMatchObject({ processGuid: 'p', ifIndex: undefined });
    expect(calls[0]?.update).toMatchObject({ instances: 0, routes: undefined, annotation: undefined });
  });

  it('recognises its own work when the repeat of a conditional update conflicts', async () => {
    const server = await setting.server();
    server.unary(methods.updateDesiredLrp, (_request, attempt) => {
      throw attempt === 1 ? lost() : conflict();
    });
    server.unary(methods.getDesiredLrp, () => ({ desiredLrp: lrp(6, { instances: 3, routes: { a: '1', b: '2' } }) }));
    const { desiredLrps } = setting.client(server);
    const update = { instances: 3, routes: { routes: { b: '2', a: '1' } } };
    expect((await desiredLrps.update('p', update, { ifIndex: 5 })).modificationTag?.index).toBe(6);
  });

  it.each([
    ['has other values', lrp(6, { instances: 4 })],
    ['is more than one version on', lrp(7, { instances: 3 })],
  ])('does not claim another’s work: the record %s', async (_case, desiredLrp) => {
    const server = await setting.server();
    server.unary(methods.updateDesiredLrp, (_request, attempt) => {
      throw attempt === 1 ? lost() : conflict();
    });
    server.unary(methods.getDesiredLrp, () => ({ desiredLrp }));
    const updating = setting.client(server).desiredLrps.update('p', { instances: 3 }, { ifIndex: 5 });
    await expect(updating).rejects.toBeInstanceOf(AbortedError);
  });
});

describe('remove', () => {
  it('has succeeded when its repeat finds nothing, but not when the first attempt does', async () => {
    const server = await setting.server();
    server.unary(methods.removeDesiredLrp, (_request, attempt) => {
      throw attempt === 1 ? lost() : statusOf(status.NOT_FOUND, 'none');
    });
    const { desiredLrps } = setting.client(server);
    await expect(desiredLrps.remove('p')).resolves.toBeUndefined();
    await expect(desiredLrps.remove('p')).rejects.toBeInstanceOf(NotFoundError);
  });
});

describe('get and list', () => {
  it('ask for the view, one page after the other', async () => {
    const server = await setting.server();
    const got = server.unary(methods.getDesiredLrp, () => ({ desiredLrp: lrp(1) }));
    const listed = server.unary(methods.listDesiredLrps, ({ pageToken }) => ({
      desiredLrps: [lrp(pageToken === '' ? 1 : 2)],
      nextPageToken: pageToken === '' ? 'more' : '',
      revision: 1,
    }));
    const { desiredLrps } = setting.client(server);
    await desiredLrps.get('p');
    await desiredLrps.get('p', DesiredLrpView.ROUTING);
    expect(got.calls.map((c) => c.view)).toEqual([DesiredLrpView.FULL, DesiredLrpView.ROUTING]);
    expect(await collect(desiredLrps.list({ processGuidPrefix: 'p', pageSize: 1 }))).toHaveLength(2);
    expect(listed.calls).toMatchObject([
      { processGuidPrefix: 'p', pageSize: 1, pageToken: '' },
      { processGuidPrefix: 'p', pageSize: 1, pageToken: 'more' },
    ]);
  });
});

describe('desiring many', () => {
  const many = (count: number) => Array.from({ length: count }, (_, i) => ({ processGuid: `p${i}`, domain: 'd' }));
  /** What the client sends; the end of it does not end the call. */
  const requestsOf = (call: ServerDuplexStream<DesireLrpsRequest, DesireLrpsResponse>) =>
    call.iterator({ destroyOnReturn: false }) as AsyncIterable<DesireLrpsRequest>;
  const guidsOf = (requests: DesireLrpsRequest[]) => requests.map((r) => r.desiredLrp?.processGuid);

  it('yields one result an item, in order, also for those that are refused', async () => {
    const server = await setting.server();
    server.duplex(methods.desireLrps, async (call) => {
      for await (const { sequence, desiredLrp } of requestsOf(call)) {
        const taken = desiredLrp?.processGuid === 'p1';
        call.write({ sequence, code: taken ? status.ALREADY_EXISTS : 0, message: taken ? 'differs' : '' });
      }
    });
    const results = await collect(setting.client(server).desiredLrps.desireMany(many(3)));
    expect(results.map(({ index, processGuid, error }) => [index, processGuid, error?.constructor])).toEqual([
      [0, 'p0', undefined],
      [1, 'p1', AlreadyExistsError],
      [2, 'p2', undefined],
    ]);
  });

  it('sends again what a broken connection left unanswered, and only that', async () => {
    const server = await setting.server();
    const again: DesireLrpsRequest[] = [];
    server.duplex(methods.desireLrps, async (call, attempt) => {
      let count = 0;
      for await (const request of requestsOf(call)) {
        if (attempt === 2) again.push(request);
        if (attempt === 1 && ++count === 3) throw lost();
        call.write({ sequence: request.sequence, code: 0, message: '' });
      }
    });
    const results = await collect(setting.client(server).desiredLrps.desireMany(many(6)));
    expect(results.map((r) => r.index)).toEqual([0, 1, 2, 3, 4, 5]);
    expect(guidsOf(again)).toEqual(['p2', 'p3', 'p4', 'p5']);
  });

  it('takes no more from its input than the server answers', async () => {
    const server = await setting.server();
    server.duplex(methods.desireLrps, async (call) => {
      // Answers the first item alone.
      let first = true;
      for await (const { sequence } of requestsOf(call)) {
        if (first) call.write({ sequence, code: 0, message: '' });
        first = false;
      }
    });
    let taken = 0;
    let closed = false;
    function* endless() {
      try {
        for (;;) yield { processGuid: `p${taken++}` };
      } finally {
        closed = true;
      }
    }
    const client = setting.client(server);
    await take(client.desiredLrps.desireMany(endless()), 1);
    expect(closed).toBe(true);
    expect(taken).toBeLessThanOrEqual(1002);
  });

  it('passes on what its input throws', async () => {
    const server = await setting.server();
    server.duplex(methods.desireLrps, async (call) => {
      for await (const { sequence } of requestsOf(call)) call.write({ sequence, code: 0, message: '' });
    });
    async function* broken() {
      yield { processGuid: 'p' };
      throw new Error('bad line 2');
    }
    await expect(collect(setting.client(server).desiredLrps.desireMany(broken()))).rejects.toThrow('bad line 2');
  });
});
