import { status } from '@grpc/grpc-js';
import { AuctionServiceService, LedgerEntry } from '@rivera/gen/rivera/auction/v1/auction_service';
import { ActualLrp } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { ActualLrpServiceService } from '@rivera/gen/rivera/bbs/v1/actual_lrp_service';
import { Cell } from '@rivera/gen/rivera/bbs/v1/cell';
import { CellServiceService } from '@rivera/gen/rivera/bbs/v1/cell_service';
import { Domain, DomainServiceService } from '@rivera/gen/rivera/bbs/v1/domain_service';
import { LocketServiceService, Resource, ResourceType } from '@rivera/gen/rivera/locket/v1/locket_service';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { NotFoundError } from '../errors.js';
import { statusOf } from '../testing/fake-server.js';
import { collect, Setting } from '../testing/setting.js';

let setting: Setting;
beforeAll(async () => {
  setting = await Setting.make();
});
afterEach(() => setting.endTest());
afterAll(() => setting.end());

/** Two pages of one item each; an interrupted page is asked for again. */
const twoPages = <T>(pageToken: string, attempt: number, item: (n: number) => T) => {
  if (attempt === 2) throw statusOf(status.UNAVAILABLE, 'connection lost');
  const first = pageToken === '';
  return { items: [item(first ? 1 : 2)], nextPageToken: first ? 'second' : '', revision: 1 };
};

describe('lists of the other services page by themselves', () => {
  it('instances', async () => {
    const server = await setting.server();
    const { calls } = server.unary(ActualLrpServiceService.listActualLrps, ({ pageToken }, attempt) => {
      const { items, ...rest } = twoPages(pageToken, attempt, (n) => ActualLrp.fromPartial({ crashCount: n }));
      return { actualLrps: items, ...rest };
    });
    const all = await collect(setting.client(server).actualLrps.list({ index: 0, cellId: 'z' }));
    expect(all.map((lrp) => lrp.crashCount)).toEqual([1, 2]);
    expect(calls.map((c) => [c.pageToken, c.index, c.cellId])).toEqual([
      ['', 0, 'z'],
      ['second', 0, 'z'],
      ['second', 0, 'z'],
    ]);
  });

  it('domains', async () => {
    const server = await setting.server();
    server.unary(DomainServiceService.listDomains, ({ pageToken }, attempt) => {
      const { items, ...rest } = twoPages(pageToken, attempt, (n) => Domain.fromPartial({ domain: `d${n}` }));
      return { domains: items, ...rest };
    });
    expect((await collect(setting.client(server).domains.list())).map((d) => d.domain)).toEqual(['d1', 'd2']);
  });

  it('cells', async () => {
    const server = await setting.server();
    server.unary(CellServiceService.listCells, ({ pageToken }, attempt) => {
      const { items, ...rest } = twoPages(pageToken, attempt, (n) => Cell.fromPartial({ tasks: n }));
      return { cells: items, ...rest };
    });
    expect((await collect(setting.client(server).cells.list())).map((c) => c.tasks)).toEqual([1, 2]);
  });

  it('the ledger', async () => {
    const server = await setting.server();
    server.unary(AuctionServiceService.listLedger, ({ pageToken }, attempt) => {
      const { items, nextPageToken } = twoPages(pageToken, attempt, (n) => LedgerEntry.fromPartial({ held: n }));
      return { entries: items, nextPageToken, queued: 0, epoch: 1 };
    });
    expect((await collect(setting.client(server).auction.ledger())).map((e) => e.held)).toEqual([1, 2]);
  });

  it('locks', async () => {
    const server = await setting.server();
    const { calls } = server.unary(LocketServiceService.listResources, ({ pageToken }, attempt) => {
      const { items, nextPageToken } = twoPages(pageToken, attempt, (n) => Resource.fromPartial({ key: `k${n}` }));
      return { resources: items, nextPageToken };
    });
    const all = await collect(setting.client(server).locket.list(ResourceType.LOCK));
    expect(all.map((r) => r.key)).toEqual(['k1', 'k2']);
    expect(calls[0]?.type).toBe(ResourceType.LOCK);
  });
});

describe('domains', () => {
  it('are declared for a time, or until declared anew', async () => {
    const server = await setting.server();
    const { calls } = server.unary(DomainServiceService.upsertDomain, ({ domain }) => ({
      domain: Domain.fromPartial({ domain }),
    }));
    const { domains } = setting.client(server);
    expect((await domains.upsert('d', 2500)).domain).toBe('d');
    await domains.upsert('d');
    expect(calls.map((c) => c.ttl)).toMatchObject([{ seconds: 2, nanos: 500_000_000 }, undefined]);
  });
});

describe('evacuation', () => {
  it('has been asked for when the repeat finds the cell gone', async () => {
    const server = await setting.server();
    server.unary(CellServiceService.evacuateCell, (_request, attempt) => {
      throw statusOf(attempt === 1 ? status.UNAVAILABLE : status.NOT_FOUND, 'x');
    });
    const { cells } = setting.client(server);
    await expect(cells.evacuate('z')).resolves.toBeUndefined();
    await expect(cells.evacuate('z')).rejects.toBeInstanceOf(NotFoundError);
  });
});

describe('a silent cell', () => {
  it('has been declared missing when the repeat finds it gone', async () => {
    const server = await setting.server();
    const { calls } = server.unary(CellServiceService.declareCellMissing, (_request, attempt) => {
      throw statusOf(attempt === 1 ? status.UNAVAILABLE : status.NOT_FOUND, 'x');
    });
    const { cells } = setting.client(server);
    await expect(cells.declareMissing('z')).resolves.toBeUndefined();
    expect(calls).toMatchObject([{ cellId: 'z' }, { cellId: 'z' }]);
    await expect(cells.declareMissing('z')).rejects.toBeInstanceOf(NotFoundError);
  });
});
