import { PassThrough } from 'node:stream';
import { AuctionServiceClient } from '@rivera/gen/rivera/auction/v1/auction_service';
import { BidServiceClient, type CellBid } from '@rivera/gen/rivera/auction/v1/bid_service';
import { PlacementServiceService } from '@rivera/gen/rivera/bbs/v1/placement_service';
import { RiveraError } from '@rivera/kit/errors';
import { unary } from '@rivera/kit/grpc/dial';
import { TestBed } from '@rivera/kit/grpc/test-bed';
import { createLogger, type Logger, silentLogger } from '@rivera/kit/log';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type AuctioneerLease, AuctionRole } from './auction-role.js';
import { auctionConfig } from './config.js';
import { WireBbs } from './simulation/wire-bbs.js';
import { WireCell, type WireCellOptions } from './simulation/wire-cell.js';
import { bid, heldLrp, lrpAuction, taskAuction } from './testing/samples.js';

/** A lease that is given and taken by the test. */
class HandLease implements AuctioneerLease {
  epoch: number | undefined;
  holder: string | undefined;
  private acquired: (lease: { epoch: number }) => void = () => {};
  private lost: () => void = () => {};

  onAcquired(listener: (lease: { epoch: number }) => void): void {
    this.acquired = listener;
  }

  onLost(listener: () => void): void {
    this.lost = listener;
  }

  holderAddress(): string | undefined {
    return this.holder;
  }

  give(epoch: number): void {
    this.epoch = epoch;
    this.acquired({ epoch });
  }

  take(holder?: string): void {
    this.epoch = undefined;
    this.holder = holder;
    this.lost();
  }
}

let bed: TestBed;
let bbs: WireBbs;
let bbsPort: number;
let lease: HandLease;
let role: AuctionRole;
let port: number;
let cells: WireCell[];

async function startRole(bbsAddresses: string[], changes = {}, log: Logger = silentLogger): Promise<void> {
  const host = await bed.host();
  lease = new HandLease();
  role = new AuctionRole({
    config: auctionConfig.parse({ gather: 50, reconnectMin: 10, reconnectMax: 50, ...changes }),
    identity: await bed.identity('server', 'auctioneer-1'),
    host,
    lease,
    advertiseAddress: 'me:1',
    bbsAddresses,
    log,
  });
  role.start();
  port = (await host.listen('127.0.0.1:0')).port;
}

beforeEach(async () => {
  bed = await TestBed.create();
  cells = [];
  const host = await bed.host();
  bbs = new WireBbs(host);
  bbsPort = (await host.listen('127.0.0.1:0')).port;
  await startRole([`127.0.0.1:${bbsPort}`]);
});

afterEach(async () => {
  for (const cell of cells) cell.hangUp();
  await role.close();
  await bed.close();
});

const roomy = (cellId: string, fields: Partial<CellBid>) =>
  bid(cellId, { total: { memoryMb: 1000, diskMb: 1000, containers: 1000 }, ...fields });

async function cell(
  cellId: string,
  fields = {},
  { as = cellId, ...options }: WireCellOptions & { as?: string } = {},
): Promise<WireCell> {
  const client = bed.dial(BidServiceClient, port, await bed.identity('cell', as));
  const made = new WireCell(client, roomy(cellId, fields), options);
  cells.push(made);
  return made;
}

const welcomed = async (made: WireCell) => {
  await made.until(() => made.epochs.length > 0);
  return made;
};

async function ledger(request: { pageSize?: number; pageToken?: string } = {}) {
  const client = bed.dial(AuctionServiceClient, port, await bed.identity('reader'));
  return unary(client, client.listLedger, { pageSize: 0, pageToken: '', ...request });
}

const failure = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error: unknown) => error as RiveraError,
  );

describe('from the BBS to cells and back, over real streams', () => {
  it('places everything evenly, reports it, and shows it in the ledger', async () => {
    lease.give(5);
    const taking: WireCell[] = [];
    for (const id of ['a', 'b', 'c', 'd'])
      taking.push(await welcomed(await cell(id, { zone: `z${taking.length % 2}` })));
    await bbs.until(() => bbs.hellos.length === 1);
    bbs.send({
      lrps: [lrpAuction('p', [...Array(40).keys()])],
      tasks: Array.from({ length: 40 }, (_, n) => taskAuction(`t${n}`)),
    });
    await bbs.until(() => bbs.results.length === 80);
    expect(bbs.hellos).toMatchObject([{ auctioneerId: 'auctioneer-1', epoch: 5 }]);
    expect(bbs.results.every(({ outcome }) => outcome?.$case === 'placed')).toBe(true);
    expect(taking.map((each) => [each.received.length, each.epochs])).toEqual([
      [20, [5]],
      [20, [5]],
      [20, [5]],
      [20, [5]],
    ]);
    const listed = await ledger();
    expect(listed).toMatchObject({ epoch: 5, queued: 0, nextPageToken: '' });
    expect(
      listed.entries.map(({ cellId, zone, held, unconfirmed, available }) => [
        cellId,
        zone,
        held,
        unconfirmed,
        available?.memoryMb,
      ]),
    ).toEqual([
      ['a', 'z0', 20, 0, 980],
      ['b', 'z1', 20, 0, 980],
      ['c', 'z0', 20, 0, 980],
      ['d', 'z1', 20, 0, 980],
    ]);
  });

  it('places what comes later, and tells the reasons of what it can not place', async () => {
    lease.give(1);
    await welcomed(await cell('a'));
    await bbs.until(() => bbs.hellos.length === 1);
    bbs.send({ lrps: [lrpAuction('p', [0], { memoryMb: 5000 })] });
    await bbs.until(() => bbs.results.length === 1);
    expect(bbs.results[0]?.outcome).toMatchObject({
      $case: 'notPlaced',
      value: {
        reason: 'insufficient resources: memory',
        obstacles: [{ kind: 'MEMORY', cells: 1, exampleCellIds: ['a'] }],
      },
    });
  });

  it('places as before when the machine’s clock is set back', async () => {
    lease.give(1);
    const hourAgoMs = Date.now() - 3_600_000;
    const date = vi.spyOn(Date, 'now').mockImplementation(() => hourAgoMs);
    try {
      await welcomed(await cell('a'));
      await bbs.until(() => bbs.hellos.length === 1);
      bbs.send({ lrps: [lrpAuction('p', [0])] });
      await bbs.until(() => bbs.results.length === 1);
    } finally {
      date.mockRestore();
    }
  });

  it('sends refused work to another cell at once', async () => {
    lease.give(1);
    const [a, b] = [await welcomed(await cell('a')), await welcomed(await cell('b'))];
    a.refuses = () => 'broken disk';
    await bbs.until(() => bbs.hellos.length === 1);
    bbs.send({ lrps: [lrpAuction('p', [0])] });
    await bbs.until(() => bbs.results.length === 1);
    expect(bbs.results[0]?.outcome).toMatchObject({ $case: 'placed', value: { cellId: 'b' } });
    expect([a.received.length, b.received.length]).toEqual([0, 1]);
  });

  it('asks for the full state when a delta is missing', async () => {
    lease.give(1);
    const a = await welcomed(await cell('a'));
    a.skipDelta();
    await a.until(() => a.resends === 1);
  });

  it('does not place twice what the BBS sends again after its stream broke', async () => {
    bbs.waiting.lrps = [lrpAuction('p', [0, 1])];
    lease.give(1);
    const a = await cell('a');
    await bbs.until(() => bbs.results.length === 2);
    bbs.waiting.lrps = [lrpAuction('p', [0, 1, 2])];
    bbs.break(new RiveraError('SHUTTING_DOWN', 'restart'));
    await bbs.until(() => bbs.hellos.length === 2 && bbs.results.length === 3);
    expect(a.received.map(({ work }) => (work?.$case === 'lrp' ? work.value.index : -1))).toEqual([0, 1, 2]);
  });

  it('finds the active BBS by the word of one that stands by', async () => {
    await role.close();
    const standby = await bed.host();
    const leader = { leader_address: `127.0.0.1:${bbsPort}` };
    standby.add(
      PlacementServiceService,
      {
        // biome-ignore lint/correctness/useYield: it has nothing to say but its error
        place: async function* () {
          throw new RiveraError('NOT_LEADER', 'standing by', { metadata: leader });
        },
      },
      { default: ['server'] },
    );
    const { port: standbyPort } = await standby.listen('127.0.0.1:0');
    const written = new PassThrough();
    await startRole([`127.0.0.1:${standbyPort}`], {}, createLogger({ name: 'test', destination: written }));
    lease.give(1);
    await bbs.until(() => bbs.hellos.length === 1);
    const log = String(written.read());
    expect(log).toContain('"reason":"NOT_LEADER","why":"standing by"');
    expect(log).not.toContain('stack');
  });
});

describe('a cell', () => {
  it('may speak for itself alone', async () => {
    lease.give(1);
    const impostor = await cell('a', {}, { as: 'b' });
    expect(await impostor.ended).toMatchObject({ reason: 'CELL_MISMATCH', code: 7 });
    expect((await ledger()).entries).toEqual([]);
  });

  it('must be a cell by its certificate', async () => {
    lease.give(1);
    const client = bed.dial(BidServiceClient, port, await bed.identity('client', 'a'));
    const user = new WireCell(client, bid('a'));
    expect(await user.ended).toMatchObject({ reason: 'PERMISSION_DENIED' });
  });

  it('must begin with its full state', async () => {
    lease.give(1);
    const answers = { message: { $case: 'answers' as const, value: { answers: [] } } };
    const rude = await cell('a', {}, { first: answers });
    expect(await rude.ended).toMatchObject({ reason: 'INVALID_REQUEST' });
  });

  it('that opens a second stream ends its first', async () => {
    lease.give(1);
    const first = await welcomed(await cell('a'));
    const second = await welcomed(await cell('a', { zone: 'z9' }));
    expect(await first.ended).toMatchObject({ reason: 'SESSION_REPLACED' });
    expect((await ledger()).entries.map((entry) => entry.zone)).toEqual(['z9']);
    expect(second.epochs).toEqual([1]);
  });

  it('that hangs up leaves the ledger', async () => {
    lease.give(1);
    const a = await welcomed(await cell('a'));
    const b = await welcomed(await cell('b'));
    a.hangUp();
    // The server learns of it in its own time.
    await vi.waitUntil(async () => (await ledger()).entries.length < 2, { timeout: 20_000, interval: 5 });
    expect((await ledger()).entries.map((entry) => entry.cellId)).toEqual(['b']);
    expect(b.epochs).toEqual([1]);
  });
});

describe('an auctioneer that stands by', () => {
  it('answers cells and operators with the address of the active one', async () => {
    lease.holder = 'other:9';
    const refused = { reason: 'NOT_LEADER', code: 14, metadata: { leader_address: 'other:9' } };
    expect(await (await cell('a')).ended).toMatchObject(refused);
    expect(await failure(ledger())).toMatchObject(refused);
    expect(role.active).toBe(false);
  });

  it('names nobody when nobody is known', async () => {
    expect((await (await cell('a')).ended)?.metadata).not.toHaveProperty('leader_address');
  });
});

describe('the lease', () => {
  it('that is lost ends the streams of cells and to the BBS; the next term begins anew with its own epoch', async () => {
    lease.give(3);
    const a = await welcomed(await cell('a', { held: [heldLrp('p', 0)] }));
    await bbs.until(() => bbs.hellos.length === 1);
    lease.take('other:9');
    expect(await a.ended).toMatchObject({ reason: 'NOT_LEADER', metadata: { leader_address: 'other:9' } });
    expect(role.active).toBe(false);
    lease.give(8);
    await bbs.until(() => bbs.hellos.length === 2);
    expect(bbs.hellos.map((hello) => hello.epoch)).toEqual([3, 8]);
    expect((await ledger()).entries).toEqual([]);
    expect((await welcomed(await cell('a'))).epochs).toEqual([8]);
  });

  it('that comes back with the same epoch never makes an id of an assignment come back', async () => {
    bbs.waiting.lrps = [lrpAuction('p', [0])];
    lease.give(3);
    const a = await cell('a');
    await bbs.until(() => bbs.results.length === 1);
    bbs.waiting.lrps = [lrpAuction('p', [1])];
    lease.take();
    lease.give(3);
    const again = await cell('a');
    await bbs.until(() => bbs.results.length === 2);
    expect(again.received[0]?.workId).not.toBe(a.received[0]?.workId);
  });
});

describe('the end', () => {
  it('tells cells to come back elsewhere', async () => {
    lease.give(1);
    const a = await welcomed(await cell('a'));
    await role.close();
    expect(await a.ended).toMatchObject({ reason: 'SHUTTING_DOWN' });
    expect(await failure(ledger())).toMatchObject({ reason: 'SHUTTING_DOWN' });
  });
});

describe('the list of the ledger', () => {
  it('comes in pages, in order of id', async () => {
    lease.give(1);
    for (const id of ['c', 'a', 'b']) await welcomed(await cell(id));
    const first = await ledger({ pageSize: 2 });
    expect(first.entries.map((entry) => entry.cellId)).toEqual(['a', 'b']);
    const second = await ledger({ pageSize: 2, pageToken: first.nextPageToken });
    expect(second.entries.map((entry) => entry.cellId)).toEqual(['c']);
    expect(second.nextPageToken).toBe('');
    expect(await failure(ledger({ pageSize: 1001 }))).toMatchObject({ reason: 'INVALID_REQUEST' });
  });
});
