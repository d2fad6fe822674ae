import { CellState } from '@rivera/gen/rivera/bbs/v1/cell';
import { CellServiceService as cells } from '@rivera/gen/rivera/bbs/v1/cell_service';
import { DomainServiceService as domains } from '@rivera/gen/rivera/bbs/v1/domain_service';
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
        'id       state     zone   instances   tasks     memory        disk   seen   address\n',
        'cell-1   present   z1             3       1   4096 MiB   10240 MiB   2s     10.0.0.1:1801\n',
        'cell-2   missing   z1             3       1   4096 MiB   10240 MiB   2s     10.0.0.1:1801\n',
      ].join(''),
    );
    expect((await rivera('cells', 'show', 'cell-1')).stdout).toContain('preloaded:busybox');
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
    const { exitCode, stdout, stderr } = await rivera('cells', '--timeout', '500ms');
    expect(exitCode).toBe(EXIT.local);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/^rivera: no answer: [\s\S]*rivera up[\s\S]*rivera doctor/);
  });

  it('answers that it is unavailable makes exit code 4', async () => {
    fake.server.unary(cells.listCells, () => {
      throw statusOf(UNAVAILABLE, 'the database does not answer', { reason: 'DATABASE_UNAVAILABLE' });
    });
    const { exitCode, stderr } = await rivera('cells', '--timeout', '500ms');
    expect(exitCode).toBe(EXIT.answered);
    expect(stderr).toContain('DATABASE_UNAVAILABLE');
  });

  it('hangs is given up after --timeout', async () => {
    fake.server.unary(cells.listCells, () => new Promise<never>(() => undefined));
    const started = performance.now();
    const { exitCode } = await rivera('cells', '--timeout', '300ms');
    expect(exitCode).toBe(EXIT.local);
    expect(performance.now() - started).toBeLessThan(2_000);
  });
});
