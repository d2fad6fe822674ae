import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CellPresence } from '@rivera/gen/rivera/bbs/v1/cell';
import { systemClock } from '@rivera/kit/clock';
import { TestBed } from '@rivera/kit/grpc/test-bed';
import { silentLogger } from '@rivera/kit/log';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { Bids } from './bids.js';
import { EpochFile } from './epoch-file.js';
import { FakeAuctioneer, lrpWork, taskWork } from './testing/fake-auctioneer.js';
import { ScriptedExecutor } from './testing/scripted-executor.js';
import { tagsOf, workOf } from './work.js';

const eventually = (check: () => void) => vi.waitFor(check, { timeout: 20_000, interval: 5 });

let bed: TestBed;
let dir: string;
let auctioneer: FakeAuctioneer;
let address: string;
let executor: ScriptedExecutor;
let open: Bids[];
let guids: number;

beforeAll(async () => {
  bed = await TestBed.create();
});
afterAll(() => bed.close());

async function serve(one: FakeAuctioneer): Promise<string> {
  const host = await bed.host();
  one.serveOn(host);
  return `127.0.0.1:${(await host.listen('127.0.0.1:0')).port}`;
}

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rivera-bids-'));
  open = [];
  guids = 0;
  executor = new ScriptedExecutor();
  auctioneer = new FakeAuctioneer();
  address = await serve(auctioneer);
});
afterEach(async () => {
  for (const bids of open) await bids.close();
  await rm(dir, { recursive: true });
});

let broken: string | undefined;

async function startBids(servers = [address]): Promise<Bids> {
  const presence = CellPresence.fromPartial({
    cellId: 'cell-1',
    zone: 'z1',
    rootFsProviders: [{ name: 'preloaded', properties: ['busybox'] }],
    placementTags: ['gpu'],
  });
  const bids = new Bids({
    servers,
    identity: await bed.identity('cell', 'cell-1'),
    profile: { presence, cellIndex: 3 },
    executor,
    epochs: await EpochFile.open(join(dir, 'epoch')),
    clock: systemClock,
    logger: silentLogger,
    random: () => 0,
    broken: () => broken,
    newGuid: () => `${String(++guids).padStart(8, '0')}-0000-4000-8000-000000000000`,
  });
  bids.start();
  open.push(bids);
  await eventually(() => expect(bids.connected).toBe(true));
  return bids;
}

const verdicts = () =>
  auctioneer.answers.map(({ workId, accepted, reason }) => (accepted ? workId : `${workId}: ${reason}`));

describe('a bid', () => {
  it('tells what the cell is, has and holds, once', async () => {
    executor.reserve({
      guid: 'old',
      memoryMb: 100,
      diskMb: 10,
      rootFs: 'preloaded:busybox',
      tags: tagsOf({ kind: 'lrp', key: { processGuid: 'web', index: 4, domain: 'd' }, instanceGuid: 'old' }),
    });
    await startBids();
    await eventually(() => expect(auctioneer.bids).toHaveLength(1));
    expect(auctioneer.bids[0]).toMatchObject({
      cellId: 'cell-1',
      zone: 'z1',
      cellIndex: 3,
      total: { memoryMb: 1_000, diskMb: 10_000 },
      available: { memoryMb: 900, diskMb: 9_990 },
      rootFsProviders: [{ name: 'preloaded', properties: ['busybox'] }],
      placementTags: ['gpu'],
      startingContainers: 1,
      evacuating: false,
      held: [{ workId: '', work: { $case: 'lrp', value: { processGuid: 'web', index: 4, instanceGuid: 'old' } } }],
    });
  });

  it('is followed by deltas that count on and name what came and went', async () => {
    await startBids();
    auctioneer.send([lrpWork('w1', 0)]);
    await eventually(() => expect(auctioneer.deltas).toHaveLength(1));
    const [container] = executor.list();
    if (!container) throw new Error('nothing was reserved');
    executor.become(container.guid, 'initializing');
    executor.become(container.guid, 'created');
    executor.become(container.guid, 'running');
    await eventually(() => expect(auctioneer.deltas.at(-1)).toMatchObject({ startingContainers: 0 }));
    await executor.delete(container.guid);
    await eventually(() => expect(auctioneer.deltas.at(-1)?.removed).toHaveLength(1));
    const held = { workId: 'w1', work: { $case: 'lrp', value: { instanceGuid: container.guid } } };
    expect(auctioneer.deltas[0]).toMatchObject({ added: [held], available: { memoryMb: 990 }, startingContainers: 1 });
    expect(auctioneer.deltas.at(-1)).toMatchObject({ removed: [held], added: [], available: { memoryMb: 1_000 } });
    const base = auctioneer.bids[0]?.sequence ?? -1;
    expect(auctioneer.deltas.map(({ sequence }) => sequence - base)).toEqual(auctioneer.deltas.map((_, n) => n + 1));
  });

  it('is told in full again when asked and after a reconnect', async () => {
    await startBids();
    auctioneer.send([lrpWork('w1', 0)]);
    await eventually(() => expect(verdicts()).toEqual(['w1']));
    auctioneer.askAgain();
    await eventually(() => expect(auctioneer.bids).toHaveLength(2));
    auctioneer.breakStream();
    await eventually(() => expect(auctioneer.bids).toHaveLength(3));
    for (const bid of auctioneer.bids.slice(1)) expect(bid.held).toMatchObject([{ workId: 'w1' }]);
    expect(auctioneer.bids[2]?.sequence).toBeGreaterThanOrEqual(auctioneer.deltas.at(-1)?.sequence ?? 0);
  });

  it('says that the cell is being drained', async () => {
    const bids = await startBids();
    bids.evacuate();
    await eventually(() => expect(auctioneer.deltas.at(-1)).toMatchObject({ evacuating: true }));
    auctioneer.send([lrpWork('w1', 0)]);
    await eventually(() => expect(verdicts()).toEqual(['w1: EVACUATING: the cell is being drained']));
    expect(executor.list()).toEqual([]);
  });
});

describe('work', () => {
  it('is refused with the reason while the runtime is broken, and taken again afterwards', async () => {
    await startBids();
    broken = 'no more';
    auctioneer.send([lrpWork('w1', 0), taskWork('w2', 'job')]);
    const reason = "UNHEALTHY: the cell's runtime is broken: no more";
    await eventually(() => expect(verdicts()).toEqual([`w1: ${reason}`, `w2: ${reason}`]));
    broken = undefined;
    auctioneer.send([lrpWork('w3', 0)]);
    await eventually(() => expect(verdicts().at(-1)).toBe('w3'));
  });

  it('is set aside under a guid of its own, told in a delta, then answered', async () => {
    await startBids();
    auctioneer.send([lrpWork('w1', 2), taskWork('w2', 'job')]);
    await eventually(() => expect(verdicts()).toEqual(['w1', 'w2']));
    expect(auctioneer.order).toEqual(['bid', 'delta', 'answers']);
    const [lrp, task] = executor.list();
    expect(lrp && workOf(lrp)).toEqual({
      kind: 'lrp',
      key: { processGuid: 'web', index: 2, domain: 'd' },
      instanceGuid: lrp?.guid,
    });
    expect(lrp?.guid).toHaveLength(28);
    expect(task && workOf(task)).toMatchObject({ kind: 'task', taskGuid: 'job', domain: 'd' });
    expect(task?.guid).not.toBe('job');
  });

  it('that fits is taken, largest LRPs first, and the rest is refused with the reason', async () => {
    executor.total.memoryMb = 100;
    await startBids();
    auctioneer.send([lrpWork('w40', 0, 40), lrpWork('w50', 1, 50), lrpWork('w60', 2, 60), taskWork('t10', 'job', 10)]);
    await eventually(() => expect(auctioneer.answers).toHaveLength(4));
    const refused = 'INSUFFICIENT_RESOURCES: insufficient resources available';
    expect(verdicts()).toEqual(['w40', `w50: ${refused}`, 'w60', `t10: ${refused}`]);
  });

  it('for an unknown root filesystem is refused', async () => {
    await startBids();
    auctioneer.send([lrpWork('w1', 0, 10, 'preloaded:none')]);
    await eventually(() => expect(verdicts()).toEqual(['w1: ROOT_FS: preloaded rootfs path not found']));
  });

  it('for another cell is refused as a whole', async () => {
    await startBids();
    auctioneer.send([lrpWork('w1', 0)], { cellId: 'cell-2' });
    await eventually(() => expect(verdicts()).toEqual([expect.stringMatching(/^w1: CELL_MISMATCH/)]));
    expect(executor.list()).toEqual([]);
  });

  it('that comes twice is set aside once and answered twice', async () => {
    await startBids();
    auctioneer.send([lrpWork('w1', 0), lrpWork('w1', 0)]);
    auctioneer.send([lrpWork('w1', 0)]);
    await eventually(() => expect(verdicts()).toEqual(['w1', 'w1', 'w1']));
    auctioneer.breakStream();
    await eventually(() => expect(auctioneer.bids).toHaveLength(2));
    auctioneer.send([lrpWork('w1', 0)]);
    await eventually(() => expect(verdicts()).toHaveLength(4));
    expect(executor.list()).toHaveLength(1);
  });

  it('of a deposed auctioneer is refused, also after a restart of the cell', async () => {
    auctioneer.epoch = 5;
    const bids = await startBids();
    auctioneer.send([lrpWork('w1', 0)], { epoch: 4 });
    await eventually(() => expect(verdicts()).toEqual([expect.stringMatching(/^w1: STALE_EPOCH/)]));
    await bids.close();
    open.length = 0;

    const deposed = new FakeAuctioneer();
    deposed.epoch = 4;
    await startBids([await serve(deposed), address]);
    expect(deposed.bids.length).toBeGreaterThan(0);
    expect(executor.list()).toEqual([]);
  });
});

describe('the epoch file', () => {
  it('never goes back, and says so when it is damaged', async () => {
    const path = join(dir, 'epoch');
    const epochs = await EpochFile.open(path);
    expect(await epochs.admit(3)).toBe(true);
    expect(await epochs.admit(3)).toBe(true);
    expect(await epochs.admit(2)).toBe(false);
    expect((await EpochFile.open(path)).highest).toBe(3);
    await writeFile(path, 'garbage');
    await expect(EpochFile.open(path)).rejects.toThrow('holds no epoch');
  });
});
