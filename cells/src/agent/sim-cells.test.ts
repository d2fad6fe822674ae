import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DesiredLrp } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import { RunAction } from '@rivera/gen/rivera/recipe/v1/action';
import { ContainerSpec } from '@rivera/gen/rivera/recipe/v1/container';
import { TestBed } from '@rivera/kit/grpc/test-bed';
import { silentLogger } from '@rivera/kit/log';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { FakeAuctioneer, lrpWork } from '../rep/testing/fake-auctioneer.js';
import { FakeBbs } from '../rep/testing/fake-bbs.js';
import { SimCells } from './sim-cells.js';

const eventually = (check: () => void) => vi.waitFor(check, { timeout: 10_000, interval: 10 });

let bed: TestBed;
let dir: string;

beforeAll(async () => {
  bed = await TestBed.create();
  dir = await mkdtemp(join(tmpdir(), 'rivera-sim-cells-'));
});
afterAll(async () => {
  await bed.close();
  await rm(dir, { recursive: true });
});

it('many cells of one process come, go and come back, each with its own identity', async () => {
  const bbs = new FakeBbs();
  bbs.definition = {
    ...DesiredLrp.fromPartial({ processGuid: 'web', domain: 'd' }),
    container: ContainerSpec.fromPartial({ rootFs: 'preloaded:busybox' }),
    action: { action: { $case: 'runAction', value: RunAction.fromPartial({ path: '/sim/run', user: 'root' }) } },
  };
  const auctioneer = new FakeAuctioneer();
  const host = await bed.host();
  bbs.serveOn(host);
  auctioneer.serveOn(host);
  const { port } = await host.listen('127.0.0.1:0');
  const cells = new SimCells({
    servers: [`127.0.0.1:${port}`],
    authority: bed.authority,
    dataDir: dir,
    logger: silentLogger,
    zones: ['z1', 'z2'],
    config: { memoryMb: 500 },
  });
  try {
    expect(await cells.add(4)).toEqual(['sim-0', 'sim-1', 'sim-2', 'sim-3']);
    await eventually(() => expect(cells.connected).toBe(true));
    const zones = auctioneer.bids.map(({ cellId, zone }) => `${cellId}/${zone}`).sort();
    expect(zones).toEqual(['sim-0/z1', 'sim-1/z2', 'sim-2/z1', 'sim-3/z2']);

    await cells.add(1);
    await eventually(() => expect(auctioneer.bids).toHaveLength(5));
    auctioneer.send([lrpWork('w1', 0)], { cellId: 'sim-4' });
    await eventually(() => expect(bbs.seen.filter((seen) => seen.startsWith('running'))).toHaveLength(1));

    await cells.restart('sim-4');
    await eventually(() => expect(bbs.seen.filter((seen) => seen.startsWith('running'))).toHaveLength(2));
    expect(auctioneer.bids.at(-1)).toMatchObject({ cellId: 'sim-4', held: [{ work: { $case: 'lrp' } }] });

    await cells.remove('sim-0');
    expect(cells.cellIds).toEqual(['sim-1', 'sim-2', 'sim-3', 'sim-4']);
    await expect(cells.restart('sim-0')).rejects.toThrow('there is no cell sim-0');
  } finally {
    await cells.close();
  }
});
