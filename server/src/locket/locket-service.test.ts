import {
  LocketServiceClient,
  LocketServiceService,
  LockRequest,
  ResourceType,
  type WatchResourcesResponse,
} from '@rivera/gen/rivera/locket/v1/locket_service';
import { ManualClock } from '@rivera/kit/clock';
import { RiveraError } from '@rivera/kit/errors';
import { serverStream, unary } from '@rivera/kit/grpc/calls';
import { TestBed } from '@rivera/kit/grpc/test-bed';
import type { Role } from '@rivera/kit/tls/identity';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { LOCKET_ACCESS, LocketService } from './locket-service.js';
import { MemoryLeaseStore, MemoryLeases } from './memory-lease-store.js';

let bed: TestBed;
let port: number;
let clock: ManualClock;
let leases: MemoryLeases;

beforeAll(async () => {
  bed = await TestBed.create();
});
afterAll(() => bed.close());

beforeEach(async () => {
  clock = new ManualClock(1_790_000_000_000);
  leases = new MemoryLeases(clock);
  const host = await bed.host();
  host.add(LocketServiceService, new LocketService(new MemoryLeaseStore(leases), clock), LOCKET_ACCESS);
  port = (await host.listen('127.0.0.1:0')).port;
});

async function client(role: Role = 'client', name = 'ada'): Promise<LocketServiceClient> {
  return bed.dial(LocketServiceClient, port, await bed.identity(role, name));
}

const { LOCK, PRESENCE, UNSPECIFIED } = ResourceType;

function request(
  key: string,
  owner: string,
  overrides: { type?: ResourceType; value?: string; seconds?: number } = {},
): LockRequest {
  const { type = LOCK, value = '', seconds = 15 } = overrides;
  return LockRequest.fromPartial({ resource: { key, owner, value, type }, ttl: { seconds } });
}

describe('Locket', () => {
  it('locks, tells the holder, and refuses another with the time to wait', async () => {
    const locket = await client();
    const { resource } = await unary(locket, locket.lock, request('k', 'a', { value: 'v' }));
    expect(resource).toMatchObject({ key: 'k', owner: 'a', value: 'v', type: LOCK, epoch: 1 });
    expect(resource?.expiresAt).toEqual(new Date(clock.now() + 15_000));
    await expect(unary(locket, locket.lock, request('k', 'b'))).rejects.toMatchObject({
      reason: 'LOCK_HELD',
      metadata: { owner: 'a', epoch: '1' },
      retryDelayMs: 15_000,
    });
    expect((await unary(locket, locket.fetch, { key: 'k' })).resource).toMatchObject({ owner: 'a' });
  });

  it('releases for the owner, succeeds when there is nothing to release, and refuses others', async () => {
    const locket = await client();
    await unary(locket, locket.lock, request('k', 'a'));
    await expect(unary(locket, locket.release, { key: 'k', owner: 'b' })).rejects.toMatchObject({
      reason: 'LOCK_HELD',
    });
    await unary(locket, locket.release, { key: 'k', owner: 'a' });
    await unary(locket, locket.release, { key: 'k', owner: 'a' });
    await expect(unary(locket, locket.fetch, { key: 'k' })).rejects.toMatchObject({ reason: 'LOCK_NOT_FOUND' });
  });

  it('names every broken rule of a request', async () => {
    const locket = await client();
    const refused = unary(
      locket,
      locket.lock,
      request('', 'o'.repeat(256), { type: UNSPECIFIED, value: 'v'.repeat(65_536), seconds: 0 }),
    );
    await expect(refused).rejects.toMatchObject({ reason: 'INVALID_REQUEST' });
    const error: unknown = await refused.catch((each: unknown) => each);
    if (!(error instanceof RiveraError)) throw error;
    expect(error.violations.map((each) => each.field)).toEqual([
      'resource.key',
      'resource.owner',
      'resource.value',
      'resource.type',
      'ttl',
    ]);
    await expect(unary(locket, locket.lock, request('k', 'a', { seconds: 3_601 }))).rejects.toMatchObject({
      reason: 'INVALID_REQUEST',
    });
    await expect(unary(locket, locket.lock, LockRequest.fromPartial({}))).rejects.toMatchObject({
      reason: 'INVALID_REQUEST',
    });
  });

  it('lists in pages, by type', async () => {
    const locket = await client();
    for (const key of ['a', 'b', 'c', 'd', 'e']) {
      await unary(locket, locket.lock, request(key, 'o', { type: key === 'c' ? PRESENCE : LOCK }));
    }
    const first = await unary(locket, locket.listResources, { type: LOCK, pageSize: 3, pageToken: '' });
    expect(first.resources.map((each) => each.key)).toEqual(['a', 'b', 'd']);
    const second = await unary(locket, locket.listResources, {
      type: LOCK,
      pageSize: 3,
      pageToken: first.nextPageToken,
    });
    expect(second.resources.map((each) => each.key)).toEqual(['e']);
    expect(second.nextPageToken).toBe('');
    const presences = await unary(locket, locket.listResources, { type: PRESENCE, pageSize: 0, pageToken: '' });
    expect(presences.resources.map((each) => each.key)).toEqual(['c']);
  });

  it('ends a page early rather than send more than a message holds', async () => {
    const store = new MemoryLeaseStore(leases);
    for (let key = 100; key < 200; key += 1) {
      await store.acquire({ key: `k${key}`, owner: 'o', type: 'lock', value: 'v'.repeat(65_000), ttlMs: 15_000 });
    }
    const locket = await client();
    const keys: string[] = [];
    let pages = 0;
    for (let pageToken = ''; ; pages += 1) {
      const page = await unary(locket, locket.listResources, { type: UNSPECIFIED, pageSize: 1000, pageToken });
      keys.push(...page.resources.map((each) => each.key));
      pageToken = page.nextPageToken;
      if (pageToken === '') break;
    }
    expect(keys).toHaveLength(100);
    expect(new Set(keys).size).toBe(100);
    expect(pages).toBeGreaterThan(3);
  });

  it('watches: all that is there, then what is taken, changed, released and expired, but no mere renewals', async () => {
    const locket = await client();
    const store = new MemoryLeaseStore(leases);
    const take = (key: string, owner: string, value: string, ttlMs = 60_000) =>
      store.acquire({ key, owner, type: 'presence', value, ttlMs });
    await take('kept', 'o', 'v');
    await take('expires', 'o', 'v', 1_500);
    await store.acquire({ key: 'a-lock', owner: 'o', type: 'lock', value: '', ttlMs: 60_000 });

    const abort = new AbortController();
    const responses = serverStream(() => locket.watchResources({ type: PRESENCE }), abort.signal)[
      Symbol.asyncIterator
    ]();
    const next = async (): Promise<WatchResourcesResponse> => {
      const { value } = await responses.next();
      if (!value) throw new Error('the watch has ended');
      return value;
    };
    expect((await next()).held.map((each) => each.key)).toEqual(['expires', 'kept']);
    expect(await next()).toMatchObject({ held: [], gone: [], initialComplete: true });

    await take('kept', 'o', 'v');
    await take('new', 'o', 'v');
    await clock.advance(1_000);
    expect((await next()).held.map((each) => each.key)).toEqual(['new']);
    await clock.advance(1_000);
    expect((await next()).gone).toEqual(['expires']);
    await take('kept', 'o', 'another');
    await store.release('new', 'o');
    await take('new', 'p', 'v');
    await clock.advance(1_000);
    expect((await next()).held.map((each) => [each.key, each.owner, each.value, each.epoch])).toEqual([
      ['kept', 'o', 'another', 1],
      ['new', 'p', 'v', 2],
    ]);
    abort.abort();
    await expect(responses.next()).rejects.toMatchObject({ reason: 'CANCELLED' });
  });

  it('lets a cell keep its own presence and nothing else', async () => {
    const cell = await client('cell', 'cell-1');
    await unary(cell, cell.lock, request('cell-1', 'boot-1', { type: PRESENCE }));
    await expect(unary(cell, cell.lock, request('cell-2', 'x', { type: PRESENCE }))).rejects.toMatchObject({
      reason: 'PERMISSION_DENIED',
    });
    await expect(unary(cell, cell.lock, request('cell-1', 'x', { type: LOCK }))).rejects.toMatchObject({
      reason: 'PERMISSION_DENIED',
    });
    await expect(unary(cell, cell.release, { key: 'cell-2', owner: 'x' })).rejects.toMatchObject({
      reason: 'PERMISSION_DENIED',
    });
    await unary(cell, cell.release, { key: 'cell-1', owner: 'boot-1' });
  });

  it('leaves the election of leaders to servers, and all writing to those who may write', async () => {
    const ada = await client();
    await expect(unary(ada, ada.lock, request('bbs', 'ada'))).rejects.toMatchObject({ reason: 'PERMISSION_DENIED' });
    const server = await client('server', 'server-1');
    await unary(server, server.lock, request('bbs', 'server-1'));
    const reader = await client('reader', 'eve');
    await expect(unary(reader, reader.lock, request('k', 'eve'))).rejects.toMatchObject({
      reason: 'PERMISSION_DENIED',
    });
    expect((await unary(reader, reader.fetch, { key: 'bbs' })).resource).toMatchObject({ owner: 'server-1' });
  });

  it('says that the database is away', async () => {
    leases.onOperation = () => {
      throw Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
    };
    const locket = await client();
    await expect(unary(locket, locket.fetch, { key: 'k' })).rejects.toMatchObject({ reason: 'DATABASE_UNAVAILABLE' });
  });
});
