import { status } from '@grpc/grpc-js';
import { ActualLrpServiceService as actualLrps } from '@rivera/gen/rivera/bbs/v1/actual_lrp_service';
import { Cell } from '@rivera/gen/rivera/bbs/v1/cell';
import { CellServiceService as cells } from '@rivera/gen/rivera/bbs/v1/cell_service';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { connect } from '../client.js';
import {
  CancelledError,
  DeadlineExceededError,
  InvalidRequestError,
  NotFoundError,
  PermissionDeniedError,
  UnavailableError,
} from '../errors.js';
import { TestAuthority } from '../testing/certificates.js';
import { FakeServer, statusOf } from '../testing/fake-server.js';
import { Setting } from '../testing/setting.js';

let setting: Setting;
beforeAll(async () => {
  setting = await Setting.make();
});
afterEach(() => setting.endTest());
afterAll(() => setting.end());

const answer = () => ({ cell: Cell.fromPartial({ lrpInstances: 3 }) });
const unavailable = (details = {}) => statusOf(status.UNAVAILABLE, 'not now', details);
const standbyFor = (leader_address: string) => unavailable({ reason: 'NOT_LEADER', metadata: { leader_address } });
/** Resolves when a call has arrived that is never answered. */
function hanging(server: FakeServer): Promise<void> {
  return new Promise((arrived) => {
    server.unary(cells.getCell, () => {
      arrived();
      return new Promise(() => {});
    });
  });
}

describe('a read', () => {
  it('is repeated with growing waits until it succeeds', async () => {
    const server = await setting.server();
    const { calls } = server.unary(cells.getCell, (_request, attempt) => {
      if (attempt < 4) throw unavailable();
      return answer();
    });
    expect((await setting.client(server).cells.get('c')).lrpInstances).toBe(3);
    expect(calls).toHaveLength(4);
    expect(setting.waits).toEqual([75, 150, 300]);
  });

  it('fails with the last error after the last attempt', async () => {
    const server = await setting.server();
    const { calls } = server.unary(cells.getCell, () => {
      throw unavailable();
    });
    await expect(setting.client(server, { maxAttempts: 2 }).cells.get('c')).rejects.toBeInstanceOf(UnavailableError);
    expect(calls).toHaveLength(2);
  });

  it('waits as long as RetryInfo says', async () => {
    const server = await setting.server();
    server.unary(cells.getCell, (_request, attempt) => {
      if (attempt === 1) {
        const details = { reason: 'TOO_MANY_REQUESTS', retryDelayMs: 1234.5 };
        throw statusOf(status.RESOURCE_EXHAUSTED, 'later', details);
      }
      return answer();
    });
    await setting.client(server).cells.get('c');
    expect(setting.waits).toEqual([1234.5]);
  });

  it('is not repeated when the server has decided', async () => {
    const server = await setting.server();
    const { calls } = server.unary(cells.getCell, () => {
      throw statusOf(status.NOT_FOUND, 'no such cell');
    });
    await expect(setting.client(server).cells.get('c')).rejects.toBeInstanceOf(NotFoundError);
    expect(calls).toHaveLength(1);
  });

  it('survives that the server is killed and comes back', async () => {
    const server = await setting.server();
    server.unary(cells.getCell, answer);
    const client = setting.client(server, { maxAttempts: 50 });
    await client.cells.get('c');
    server.stop();
    const during = client.cells.get('c');
    await server.start();
    expect((await during).lrpInstances).toBe(3);
  });
});

describe('a write that must not happen twice', () => {
  it('is not repeated when its outcome is unknown', async () => {
    const server = await setting.server();
    const { calls } = server.unary(actualLrps.retireActualLrp, () => {
      throw unavailable();
    });
    const { actualLrps: instances } = setting.client(server);
    await expect(instances.retire('p', 0)).rejects.toBeInstanceOf(UnavailableError);
    expect(calls).toHaveLength(1);
    await expect(instances.retire('p', 0, { instanceGuid: 'i' })).rejects.toBeInstanceOf(UnavailableError);
    expect(calls).toHaveLength(5);
  });

  it('goes to another server when the first can not even be reached', async () => {
    const [dead, alive] = [await setting.server(), await setting.server()];
    dead.stop();
    const { calls } = alive.unary(actualLrps.retireActualLrp, () => ({}));
    await setting.client([dead, alive]).actualLrps.retire('p', 0);
    expect(calls).toEqual([expect.objectContaining({ processGuid: 'p', index: 0 })]);
  });
});

describe('the leader', () => {
  it('is followed at once, also when it is not in the list, and stays in use', async () => {
    const [standby, leader] = [await setting.server(), await setting.server()];
    const asked = standby.unary(cells.getCell, () => {
      throw standbyFor(leader.address);
    });
    leader.unary(cells.getCell, answer);
    const client = setting.client(standby, { maxAttempts: 1 });
    await client.cells.get('c');
    await client.cells.get('c');
    expect(asked.calls).toHaveLength(1);
    expect(setting.waits).toEqual([]);
  });

  it('is looked for along the list when the one in use is gone', async () => {
    const [first, second] = [await setting.server(), await setting.server()];
    first.unary(cells.getCell, answer);
    second.unary(cells.getCell, () => ({ cell: Cell.fromPartial({ lrpInstances: 9 }) }));
    const client = setting.client([first, second]);
    await client.cells.get('c');
    first.stop();
    expect((await client.cells.get('c')).lrpInstances).toBe(9);
  });

  it('is not chased for ever when two standbys name each other', async () => {
    const [a, b] = [await setting.server(), await setting.server()];
    const toA = b.unary(cells.getCell, () => {
      throw standbyFor(a.address);
    });
    a.unary(cells.getCell, () => {
      throw standbyFor(b.address);
    });
    await expect(setting.client([a, b]).cells.get('c')).rejects.toMatchObject({ reason: 'NOT_LEADER' });
    expect(toA.calls.length).toBeLessThanOrEqual(12);
  });
});

describe('a call ends', () => {
  it('at its deadline, when the server hangs', async () => {
    const server = await setting.server();
    hanging(server);
    const started = performance.now();
    const call = setting.client(server).cells.get('c', { deadlineMs: 150 });
    await expect(call).rejects.toBeInstanceOf(DeadlineExceededError);
    // Without it, the call would have 10 s.
    expect(performance.now() - started).toBeLessThan(9_000);
  });

  it('not at its deadline when another server answers: one that hangs gets half of the time', async () => {
    const [hung, alive] = [await setting.server(), await setting.server()];
    hanging(hung);
    alive.unary(cells.getCell, answer);
    expect((await setting.client([hung, alive]).cells.get('c', { deadlineMs: 1000 })).lrpInstances).toBe(3);
  });

  it('when its signal aborts, with the reason of that', async () => {
    const server = await setting.server();
    const arrived = hanging(server);
    const controller = new AbortController();
    const call = setting.client(server).cells.get('c', { signal: controller.signal });
    await arrived;
    controller.abort('enough');
    await expect(call).rejects.toBeInstanceOf(CancelledError);
    await expect(call).rejects.toMatchObject({ cause: 'enough', codeName: 'CANCELLED' });
  });

  it('before it starts when its signal is aborted already', async () => {
    const server = await setting.server();
    const { calls } = server.unary(cells.getCell, answer);
    const call = setting.client(server).cells.get('c', { signal: AbortSignal.abort() });
    await expect(call).rejects.toBeInstanceOf(CancelledError);
    expect(calls).toEqual([]);
  });

  it('when the client is closed, and none starts after that', async () => {
    const server = await setting.server();
    const arrived = hanging(server);
    const client = setting.client(server);
    const call = client.cells.get('c');
    await arrived;
    client.close();
    await expect(call).rejects.toThrow('the client is closed');
    await expect(client.cells.get('c')).rejects.toThrow('the client is closed');
  });
});

describe('trust', () => {
  it('is not given to a certificate of another role, though the authority signed it', async () => {
    const impostor = await FakeServer.start(await setting.authority.issue('cell'));
    try {
      const { calls } = impostor.unary(cells.getCell, answer);
      const call = setting.client(impostor, { maxAttempts: 1 }).cells.get('c');
      await expect(call).rejects.toThrow('not a Rivera server: the role in its certificate is "cell"');
      expect(calls).toEqual([]);
    } finally {
      impostor.stop();
    }
  });

  it('is not given to a certificate of another authority', async () => {
    const other = await TestAuthority.make();
    const impostor = await FakeServer.start(await other.issue('server'));
    try {
      const { calls } = impostor.unary(cells.getCell, answer);
      const call = setting.client(impostor, { maxAttempts: 1 }).cells.get('c');
      await expect(call).rejects.toThrow(/certificate|self.signed|signature/i);
      expect(calls).toEqual([]);
    } finally {
      impostor.stop();
      await other.remove();
    }
  });
});

describe('errors', () => {
  it('carry what the server says: class, reason, facts, violations, delay', async () => {
    const server = await setting.server();
    server.unary(cells.getCell, () => {
      const violations = [{ field: 'cell_id', description: 'must not be empty' }];
      throw statusOf(status.INVALID_ARGUMENT, 'cell_id: must not be empty', {
        ...{ reason: 'INVALID_REQUEST', metadata: { hint: 'x' }, violations },
      });
    });
    const call = setting.client(server).cells.get('');
    await expect(call).rejects.toBeInstanceOf(InvalidRequestError);
    await expect(call).rejects.toMatchObject({
      ...{ code: 3, codeName: 'INVALID_ARGUMENT', reason: 'INVALID_REQUEST', message: 'cell_id: must not be empty' },
      ...{ metadata: { hint: 'x' }, retryable: false, retryDelayMs: undefined },
      violations: [{ field: 'cell_id', description: 'must not be empty' }],
    });
  });

  it('are complete without details, as a proxy or another gRPC server sends them', async () => {
    const server = await setting.server();
    server.unary(cells.getCell, () => {
      throw statusOf(status.PERMISSION_DENIED, 'no');
    });
    const call = setting.client(server).cells.get('c');
    await expect(call).rejects.toBeInstanceOf(PermissionDeniedError);
    await expect(call).rejects.toMatchObject({ reason: '', metadata: {}, violations: [] });
  });
});

describe('connect', () => {
  it('names what is missing', () => {
    expect(() => connect({ servers: ['nowhere'], tls: setting.clientFiles })).toThrow('"nowhere" is not host:port');
    expect(() => connect({ tls: { ...setting.clientFiles, keyFile: '/nowhere/key' } })).toThrow('/nowhere/key');
    expect(() => connect({ tls: setting.clientFiles, maxAttempts: 0 })).toThrow('maxAttempts');
  });
});
