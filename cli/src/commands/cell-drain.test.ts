import { Readable } from 'node:stream';
import type { ActualLrp } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { ActualLrpPresence } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { ActualLrpServiceService as actualLrps } from '@rivera/gen/rivera/bbs/v1/actual_lrp_service';
import { CellState } from '@rivera/gen/rivera/bbs/v1/cell';
import { CellServiceService as cells } from '@rivera/gen/rivera/bbs/v1/cell_service';
import { statusOf } from '@rivera/sdk/testing/fake-server';
import { describe, expect, it } from 'vitest';
import { EXIT } from '../failures.js';
import { cell, instance, unplaced } from '../testing/fake-installation.js';
import type { Outside } from '../testing/terminal.js';
import { WithServer } from '../testing/with-server.js';

const NOT_FOUND = 5;
const FAILED_PRECONDITION = 9;

const fake = new WithServer();
const rivera = (...args: string[]) => fake.rivera(args);
const page = { nextPageToken: '', revision: 1 };

describe('rivera cells evacuate', () => {
  const draining = (index: number) => instance(index, { presence: ActualLrpPresence.EVACUATING });

  /** A cell as each look finds it: what is on it, what waits elsewhere, and its Tasks; undefined: it is gone. */
  function looks(...scenes: { left: ActualLrp[]; waiting?: ActualLrp[]; tasks?: number }[]) {
    let scene = -1;
    const now = () => scenes[Math.min(scene, scenes.length - 1)];
    fake.server.unary(actualLrps.listActualLrps, ({ cellId }) => {
      if (cellId !== '') scene++;
      return { ...page, actualLrps: (cellId === '' ? now()?.waiting : now()?.left) ?? [] };
    });
    fake.server.unary(cells.getCell, () => {
      const tasks = now()?.tasks;
      if (tasks === undefined) throw statusOf(NOT_FOUND, 'there is no cell "cell-1"', { reason: 'CELL_NOT_FOUND' });
      return { cell: { ...cell('cell-1', CellState.EVACUATING), tasks } };
    });
    return fake.server.unary(cells.evacuateCell, () => ({}));
  }

  it('waits until everything has moved, telling how far it is', async () => {
    const left = [draining(0), draining(1), draining(2)];
    const { calls } = looks(
      { left, waiting: [unplaced(1), unplaced(7)], tasks: 1 },
      { left: [draining(1)], waiting: [unplaced(1)], tasks: 0 },
      { left: [] },
    );
    expect(await rivera('cells', 'evacuate', 'cell-1')).toEqual({
      exitCode: EXIT.ok,
      stdout: '',
      stderr: [
        'cell-1: 3 of 3 instances left, 1 waiting for a cell, 1 task\n',
        'cell-1: 1 of 3 instances left, 1 waiting for a cell\n',
        'cell-1 is empty: 3 instances moved\n',
      ].join(''),
    });
    expect(calls).toMatchObject([{ cellId: 'cell-1' }]);
  });

  it('is one document for programs', async () => {
    looks({ left: [draining(0)], tasks: 0 }, { left: [] });
    const { stdout, stderr } = await rivera('cells', 'evacuate', 'cell-1', '--json');
    expect(JSON.parse(stdout)).toEqual({ cellId: 'cell-1', moved: 1, left: 0, waiting: 0, tasks: 0 });
    expect(stderr).toBe('');
  });

  it('says when time is over what is left, and why', async () => {
    looks({ left: [draining(0), draining(1)], waiting: [unplaced(1)], tasks: 0 });
    const { exitCode, stderr } = await rivera('cells', 'evacuate', 'cell-1', '--wait-timeout', '300ms');
    expect(exitCode).toBe(EXIT.failed);
    expect(stderr.slice(stderr.indexOf('rivera:'))).toBe(
      [
        'rivera: cell-1 is not empty after 0.3 s: 2 of 2 instances left, 1 waiting for a cell\n',
        '  A replacement has no cell: insufficient resources: memory\n',
        '  It goes on. See how far it is:\n',
        '    rivera cells show cell-1\n',
      ].join(''),
    );
  });

  it('does not wait unless it is to', async () => {
    const { calls } = looks({ left: [draining(0)], tasks: 0 });
    expect(await rivera('cells', 'evacuate', 'cell-1', '--no-wait')).toMatchObject({ exitCode: EXIT.ok, stdout: '' });
    expect(calls).toHaveLength(1);
  });
});

describe('rivera cells declare-missing', () => {
  const command = ['cells', 'declare-missing', 'cell-2'];
  const answering = (words: string): Outside => ({
    terminal: true,
    stdin: Object.assign(Readable.from([words]), { isTTY: true }),
  });

  function silentCell() {
    fake.server.unary(cells.getCell, () => ({ cell: cell('cell-2', CellState.SILENT) }));
    return fake.server.unary(cells.declareCellMissing, () => ({}));
  }

  it('tells what follows, and asks', async () => {
    const { calls } = silentCell();
    const { exitCode, stderr } = await fake.rivera(command, answering('y\n'));
    expect(exitCode).toBe(EXIT.ok);
    expect(stderr).toContain(
      'cell-2 was heard of 2s ago. If it is declared missing, its 3 instances start elsewhere at once',
    );
    expect(stderr).toContain('Is cell-2 gone? [y/N] ');
    expect(stderr).toContain('cell-2 is missing: its work is placed elsewhere\n');
    expect(calls).toMatchObject([{ cellId: 'cell-2' }]);
  });

  it.each(['n\n', '\n', ''])('takes %j for a no', async (words) => {
    const { calls } = silentCell();
    const { exitCode, stderr } = await fake.rivera(command, answering(words));
    expect(exitCode).toBe(EXIT.failed);
    expect(stderr).toContain('cell-2 was left alone');
    expect(calls).toEqual([]);
  });

  it('does nothing where nobody can be asked, unless told --yes', async () => {
    const { calls } = silentCell();
    expect(await fake.rivera(command)).toMatchObject({
      exitCode: EXIT.usage,
      stderr: expect.stringContaining('--yes'),
    });
    expect(calls).toEqual([]);
    expect((await fake.rivera([...command, '--yes'])).exitCode).toBe(EXIT.ok);
    expect(calls).toHaveLength(1);
  });

  it('tells what to do with a cell that is heard of', async () => {
    silentCell();
    fake.server.unary(cells.declareCellMissing, () => {
      throw statusOf(FAILED_PRECONDITION, 'cell "cell-2" was heard of', { reason: 'CELL_IS_PRESENT' });
    });
    const { exitCode, stderr } = await fake.rivera([...command, '--yes']);
    expect(exitCode).toBe(EXIT.answered);
    expect(stderr).toContain('rivera cells evacuate CELL');
  });
});

it('a cell that is silent with most others is shown so', async () => {
  fake.server.unary(cells.listCells, () => ({ ...page, cells: [cell('cell-2', CellState.SILENT)] }));
  expect((await rivera('cells')).stdout).toMatch(/cell-2 +silent /);
});
