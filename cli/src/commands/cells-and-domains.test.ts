import { AccessServiceService as access } from '@rivera/gen/rivera/access/v1/access_service';
import { AuctionServiceService as auction, LedgerEntry } from '@rivera/gen/rivera/auction/v1/auction_service';
import { CellState } from '@rivera/gen/rivera/bbs/v1/cell';
import { CellServiceService as cells } from '@rivera/gen/rivera/bbs/v1/cell_service';
import { DomainServiceService as domains } from '@rivera/gen/rivera/bbs/v1/domain_service';
import { Container, ContainerState } from '@rivera/gen/rivera/rep/v1/container';
import { statusOf } from '@rivera/sdk/testing/fake-server';
import { describe, expect, it } from 'vitest';
import { EXIT } from '../failures.js';
import { cell, NOW } from '../testing/fake-installation.js';
import { WithServer } from '../testing/with-server.js';

const UNAVAILABLE = 14;

const fake = new WithServer();
const rivera = (...args: string[]) => fake.rivera(args);

const page = { nextPageToken: '', revision: 1 };

describe('rivera cells and domains', () => {
  it('list cells, and show one', async () => {
    fake.server.unary(cells.listCells, () => ({ ...page, cells: [cell('cell-1'), cell('cell-2', CellState.MISSING)] }));
    fake.server.unary(cells.getCell, () => ({ cell: cell('cell-1') }));
    expect((await rivera('cells')).stdout).toBe(
      [
        'id       state     zone   instances   tasks   containers     memory        disk   seen   address\n',
        'cell-1   present   z1             3       1          250   4096 MiB   10240 MiB   2s     10.0.0.1:1801\n',
        'cell-2   missing   z1             3       1          250   4096 MiB   10240 MiB   2s     10.0.0.1:1801\n',
      ].join(''),
    );
    expect((await rivera('cells', 'show', 'cell-1')).stdout).toContain('preloaded:busybox');
  });

  it('tell how full cells are, where the auctioneer knows', async () => {
    fake.server.unary(cells.listCells, () => ({ ...page, cells: [cell('cell-1'), cell('cell-2', CellState.MISSING)] }));
    fake.server.unary(cells.getCell, () => ({ cell: cell('cell-1') }));
    const total = { memoryMb: 4096, diskMb: 10_240, containers: 250 };
    const available = { memoryMb: 4000, diskMb: 9984, containers: 246 };
    const entry = LedgerEntry.fromPartial({ cellId: 'cell-1', zone: 'z1', total, available, held: 4 });
    fake.server.unary(auction.listLedger, () => ({ entries: [entry], nextPageToken: '', queued: 0, epoch: 1 }));
    const { stdout } = await rivera('cells');
    expect(stdout).toContain('4/250   96/4096 MiB   256/10240 MiB');
    expect(stdout).toMatch(/cell-2 .* 250 +4096 MiB +10240 MiB/);
    const [first = ''] = (await rivera('cells', '--json')).stdout.split('\n');
    expect(JSON.parse(first)).toMatchObject({ lrpInstances: 3, ledger: { available: { containers: 246 } } });
    const shown = (await rivera('cells', 'show', 'cell-1')).stdout;
    expect(shown).toMatch(/containers: +4\/250\nmemory: +96\/4096 MiB\ndisk: +256\/10240 MiB\n/);
  });

  it('show what a cell holds, as the cell itself says', async () => {
    fake.server.unary(cells.getCell, () => ({ cell: cell('cell-1') }));
    const MIB = 1024 * 1024;
    const up = Container.fromPartial({
      containerGuid: 'guid-0',
      state: ContainerState.RUNNING,
      target: { target: { $case: 'instance', value: { processGuid: 'web', index: 0 } } },
      memoryMb: 64,
      diskMb: 128,
      allocatedAt: new Date(NOW - 90_000),
      address: '10.0.0.2',
      metrics: { cpuUsageFraction: 0.5, memoryUsageBytes: 20 * MIB, diskUsageBytes: MIB },
    });
    const fresh = Container.fromPartial({
      containerGuid: 'job',
      state: ContainerState.CREATED,
      target: { target: { $case: 'taskGuid', value: 'nightly' } },
      memoryMb: 64,
      diskMb: 128,
      allocatedAt: new Date(NOW),
    });
    const { calls } = fake.server.unary(access.listCellContainers, ({ pageToken }) =>
      pageToken === '' ? { containers: [up], nextPageToken: 'n' } : { containers: [fresh], nextPageToken: '' },
    );
    const { stdout, stderr } = await rivera('cells', 'show', 'cell-1', '--containers');
    expect(stderr).toBe('');
    expect(stdout).toContain(
      'guid-0      web/0          running, not ready   50 %   20/64 MiB   1/128 MiB   90s   10.0.0.2\n',
    );
    expect(stdout).toMatch(/job +task nightly +created +- +-\/64 MiB +-\/128 MiB +0s/);
    expect(calls.map(({ cellId, pageToken }) => [cellId, pageToken])).toEqual([
      ['cell-1', ''],
      ['cell-1', 'n'],
    ]);
    const json = JSON.parse((await rivera('cells', 'show', 'cell-1', '--containers', '--json')).stdout);
    expect(json.containers).toMatchObject([{ containerGuid: 'guid-0' }, { containerGuid: 'job' }]);
  });

  it('list and declare domains', async () => {
    fake.server.unary(domains.listDomains, () => ({
      ...page,
      domains: [
        { domain: 'apps', expiresAt: new Date(NOW + 90_000) },
        { domain: 'ever', expiresAt: undefined },
      ],
    }));
    const { calls } = fake.server.unary(domains.upsertDomain, ({ domain }) => ({
      domain: { domain, expiresAt: undefined },
    }));
    expect((await rivera('domains')).stdout).toBe('domain   fresh for\napps     90s\never     ever\n');
    expect((await rivera('domains', 'set', 'apps', '--ttl', '2m')).exitCode).toBe(EXIT.ok);
    expect(calls[0]).toMatchObject({ domain: 'apps', ttl: { seconds: 120 } });
  });
});

describe('a server that', () => {
  it('is not there makes exit code 5, with what to do', async () => {
    fake.stopServer();
    const { exitCode, stdout, stderr } = await rivera('cells', '--timeout', '3s');
    expect(exitCode).toBe(EXIT.local);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/^rivera: nothing answers at 127\.0\.0\.1:\d+\n.*rivera up\n.*rivera doctor\n$/);
  });

  it('answers that it is unavailable makes exit code 4', async () => {
    fake.server.unary(cells.listCells, () => {
      throw statusOf(UNAVAILABLE, 'the database does not answer', { reason: 'DATABASE_UNAVAILABLE' });
    });
    const { exitCode, stderr } = await rivera('cells', '--timeout', '3s');
    expect(exitCode).toBe(EXIT.answered);
    expect(stderr).toContain('DATABASE_UNAVAILABLE');
  });

  it('hangs is given up after --timeout', async () => {
    fake.server.unary(cells.listCells, () => new Promise<never>(() => undefined));
    const started = performance.now();
    const { exitCode, stderr } = await rivera('cells', '--timeout', '300ms');
    expect(exitCode).toBe(EXIT.local);
    expect(stderr).toMatch(/^rivera: 127\.0\.0\.1:\d+ did not answer in time\n/);
    // Without it, the call would have 10 s.
    expect(performance.now() - started).toBeLessThan(9_000);
  });
});
