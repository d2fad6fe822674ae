import { AuctionServiceService as auction, LedgerEntry } from '@rivera/gen/rivera/auction/v1/auction_service';
import type { ActualLrp } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { ActualLrpPresence, ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { ActualLrpServiceService as actualLrps } from '@rivera/gen/rivera/bbs/v1/actual_lrp_service';
import { CellServiceService as cells } from '@rivera/gen/rivera/bbs/v1/cell_service';
import { UpdateStrategy } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import { DesiredLrpServiceService as desiredLrps } from '@rivera/gen/rivera/bbs/v1/desired_lrp_service';
import { statusOf } from '@rivera/sdk/testing/fake-server';
import { describe, expect, it } from 'vitest';
import { EXIT } from '../failures.js';
import { Interrupts } from '../interrupts.js';
import { cell, instance, lrp, unplaced } from '../testing/fake-installation.js';
import { WithServer } from '../testing/with-server.js';

const FAILED_PRECONDITION = 9;
const fake = new WithServer();
const rivera = (...args: string[]) => fake.rivera(args);
const page = { nextPageToken: '', revision: 1 };

/** Two cells, and so many instances of processes of their own on the first one. What is asked to move runs on the second at the next look. */
function installation(count: number, { strategy = UpdateStrategy.ROLLING } = {}) {
  const guid = (n: number) => `app-${n}`;
  const records = new Map<string, ActualLrp[]>();
  for (let n = 0; n < count; n++) {
    const key = { processGuid: guid(n), index: 0, domain: 'example' };
    records.set(guid(n), [instance(0, { key, instanceGuid: `old-${n}` })]);
  }
  const requirements = { memoryMb: 32, diskMb: 64, rootFs: 'preloaded:busybox' };
  const ids = ['cell-1', 'cell-2'];
  fake.server.unary(cells.listCells, () => ({ ...page, cells: ids.map((id) => cell(id)) }));
  fake.server.unary(auction.listLedger, () => ({
    ...{ nextPageToken: '', queued: 0, epoch: 1 },
    entries: ids.map((cellId) => {
      const held = [...records.values()].flat().filter((each) => each.cellId === cellId).length;
      const total = { memoryMb: 4096, diskMb: 10_240, containers: 250 };
      const available = {
        memoryMb: total.memoryMb - 32 * held,
        diskMb: total.diskMb - 64 * held,
        containers: total.containers - held,
      };
      return LedgerEntry.fromPartial({ cellId, zone: 'z1', total, available, held });
    }),
  }));
  fake.server.unary(desiredLrps.listDesiredLrps, () => ({
    ...page,
    desiredLrps: [...records.keys()].map((processGuid) =>
      lrp({ processGuid, instances: 1, requirements: requirements as never, updateStrategy: strategy }),
    ),
  }));
  fake.server.unary(actualLrps.listActualLrps, () => ({ ...page, actualLrps: [...records.values()].flat() }));
  const looks: string[] = [];
  fake.server.unary(actualLrps.getActualLrp, ({ processGuid }) => {
    const found = records.get(processGuid) ?? [];
    looks.push(`${processGuid}: ${found.map(({ instanceGuid }) => instanceGuid).join()}`);
    const [fresh, old] = found;
    if (fresh && old) records.set(processGuid, [{ ...fresh, state: ActualLrpState.RUNNING, cellId: 'cell-2' }]);
    return { actualLrps: found };
  });
  const { calls } = fake.server.unary(actualLrps.moveActualLrp, ({ processGuid }) => {
    const [old] = records.get(processGuid) ?? [];
    if (old === undefined) throw new Error('no such process');
    const fresh = { ...unplaced(0), ...(old.key && { key: old.key }), instanceGuid: `new-${processGuid}` };
    records.set(processGuid, [fresh, { ...old, presence: ActualLrpPresence.EVACUATING }]);
    return {};
  });
  return { calls, looks, records };
}

describe('rivera rebalance', () => {
  it('shows what would be moved, and moves nothing', async () => {
    const { calls } = installation(4);
    const { exitCode, stdout, stderr } = await rivera('rebalance', '--dry-run');
    expect(exitCode).toBe(EXIT.ok);
    expect(stdout.split('\n').map((line) => line.split(/ +/))).toEqual([
      ['instance', 'from', 'to'],
      ['app-0/0', 'cell-1', 'cell-2'],
      ['app-1/0', 'cell-1', 'cell-2'],
      [''],
    ]);
    expect(stderr).toBe('Instances per cell: 0 to 4 now, 2 to 2 then.\n');
    expect(calls).toEqual([]);
  });

  it('moves one after the other, and waits until the old one is gone', async () => {
    const { calls, looks } = installation(4);
    const { exitCode, stderr } = await rivera('rebalance', '--yes');
    expect(exitCode).toBe(EXIT.ok);
    expect(calls).toMatchObject([
      { processGuid: 'app-0', index: 0, instanceGuid: 'old-0' },
      { processGuid: 'app-1', index: 0, instanceGuid: 'old-1' },
    ]);
    expect(looks).toEqual(['app-0: new-app-0,old-0', 'app-0: new-app-0', 'app-1: new-app-1,old-1', 'app-1: new-app-1']);
    expect(stderr).toMatch(/1 of 2: app-0\/0 from cell-1\n2 of 2: app-1\/0 from cell-1\n2 instances moved\.\n$/);
  });

  it('is one line a move for programs', async () => {
    installation(4);
    const { stdout, stderr } = await rivera('rebalance', '--yes', '--json', '--max-moves', '1');
    expect(JSON.parse(stdout)).toEqual({
      ...{ processGuid: 'app-0', index: 0, instanceGuid: 'old-0' },
      ...{ from: 'cell-1', to: 'cell-2', kind: 'moved' },
    });
    expect(stderr).toBe('');
  });

  it('has nothing to do where all is even', async () => {
    installation(1);
    expect(await rivera('rebalance', '--yes')).toEqual({
      exitCode: EXIT.ok,
      stdout: '',
      stderr: 'Nothing to move: no move would make the cells more even.\n',
    });
  });

  it('leaves alone what would be down meanwhile', async () => {
    const { calls } = installation(4, { strategy: UpdateStrategy.RECREATE });
    expect((await rivera('rebalance', '--yes')).stderr).toContain('4 instances of RECREATE LRPs stay where they are');
    expect(calls).toEqual([]);
  });

  it('goes on when an instance can not be moved any more', async () => {
    installation(4);
    fake.server.unary(actualLrps.moveActualLrp, () => {
      throw statusOf(FAILED_PRECONDITION, 'cannot move app: it is CRASHED', { reason: 'ACTUAL_LRP_CANNOT_BE_MOVED' });
    });
    const { exitCode, stderr } = await rivera('rebalance', '--yes');
    expect(exitCode).toBe(EXIT.ok);
    expect(stderr).toContain('app-1/0 was left where it is: cannot move app: it is CRASHED\n');
    expect(stderr).toMatch(/0 instances moved\. 2 left where they were\.\n$/);
  });

  it('ends when a replacement does not run in time, and says why', async () => {
    const { calls, records } = installation(4);
    fake.server.unary(actualLrps.getActualLrp, () => ({ actualLrps: [unplaced(0), ...(records.get('app-3') ?? [])] }));
    const { exitCode, stderr } = await rivera('rebalance', '--yes', '--move-timeout', '300ms');
    expect(exitCode).toBe(EXIT.failed);
    expect(stderr).toContain('app-0/0 has not moved after 0.3 s: insufficient resources: memory\n');
    expect(calls).toHaveLength(1);
  });

  it('begins nothing more after Ctrl-C', async () => {
    const { calls, records } = installation(4);
    const interrupts = new Interrupts();
    fake.server.unary(actualLrps.getActualLrp, ({ processGuid }) => {
      interrupts.deliver('SIGINT');
      return { actualLrps: records.get(processGuid) ?? [] };
    });
    const { exitCode, stderr } = await fake.rivera(['rebalance', '--yes'], { interrupts });
    expect(exitCode).toBe(EXIT.interrupted);
    expect(stderr).toContain('0 instances moved. What has begun is finished by the servers; nothing more is begun.\n');
    expect(calls).toHaveLength(1);
  });

  it('does not move anything by accident in a script', async () => {
    const { calls } = installation(4);
    const { exitCode, stderr } = await rivera('rebalance');
    expect(exitCode).toBe(EXIT.usage);
    expect(stderr).toContain('--yes');
    expect(calls).toEqual([]);
  });
});
