import { ActualLrpServiceService as actualLrps } from '@rivera/gen/rivera/bbs/v1/actual_lrp_service';
import { CellState } from '@rivera/gen/rivera/bbs/v1/cell';
import { CellServiceService as cells } from '@rivera/gen/rivera/bbs/v1/cell_service';
import { DesiredLrpServiceService as desiredLrps } from '@rivera/gen/rivera/bbs/v1/desired_lrp_service';
import { DomainServiceService as domains } from '@rivera/gen/rivera/bbs/v1/domain_service';
import { TaskServiceService as tasks } from '@rivera/gen/rivera/bbs/v1/task_service';
import { statusOf } from '@rivera/sdk/testing/fake-server';
import { beforeEach, describe, expect, it } from 'vitest';
import { EXIT } from '../failures.js';
import { cell, instance, lrp, NOW, task, unplaced } from '../testing/fake-installation.js';
import { WithServer } from '../testing/with-server.js';

const NOT_FOUND = 5;

const fake = new WithServer();
const rivera = (...args: string[]) => fake.rivera(args);
const page = { nextPageToken: '', revision: 1 };

function missing(reason: string) {
  return () => {
    throw statusOf(NOT_FOUND, 'there is none', { reason });
  };
}

/** Nothing is there until a test says otherwise. */
beforeEach(() => {
  fake.server.unary(desiredLrps.getDesiredLrp, missing('DESIRED_LRP_NOT_FOUND'));
  fake.server.unary(desiredLrps.listDesiredLrps, () => ({ ...page, desiredLrps: [] }));
  fake.server.unary(actualLrps.listActualLrps, () => ({ ...page, actualLrps: [] }));
  fake.server.unary(tasks.getTask, missing('TASK_NOT_FOUND'));
  fake.server.unary(tasks.listTasks, () => ({ ...page, tasks: [] }));
  fake.server.unary(cells.getCell, missing('CELL_NOT_FOUND'));
  fake.server.unary(domains.listDomains, () => ({ ...page, domains: [] }));
});

describe('rivera explain', () => {
  it('tells the story of an LRP, with what only one instance’s record knows, and what to type next', async () => {
    fake.server.unary(desiredLrps.getDesiredLrp, () => ({ desiredLrp: lrp() }));
    const instances = [instance(0, { routable: true }), unplaced(1)];
    fake.server.unary(actualLrps.listActualLrps, () => ({ ...page, actualLrps: instances }));
    const asked = fake.server.unary(actualLrps.getActualLrp, () => ({
      actualLrps: [{ ...unplaced(1), nextPlacementAt: new Date(NOW + 20_000) }],
    }));
    fake.server.unary(cells.getCell, () => ({ cell: cell('cell-1') }));
    const { exitCode, stdout, stderr } = await rivera('explain', 'hello');
    expect({ exitCode, stderr }).toEqual({ exitCode: EXIT.ok, stderr: '' });
    expect(stdout).toMatch(
      /^hello is an LRP of domain example, desired since .* \(2h ago\): 1 of 2 instances running\.\n/,
    );
    expect(stdout.slice(stdout.indexOf('\n'))).toBe(
      [
        '',
        '',
        '#0 has been running on cell-1 for 60s, at 10.0.0.1:61001.',
        '',
        '#1 has been waiting for a cell for 60s.',
        '   No cell takes it: insufficient resources: memory.',
        '   It is offered to the cells again in 20s.',
        '',
        'Next:',
        '  rivera logs hello/0   what it wrote',
        '  rivera cells          how full the cells are',
        '',
      ].join('\n'),
    );
    expect(asked.calls).toMatchObject([{ processGuid: 'hello', index: 1 }]);
  });

  it('asks for one instance alone when it is named, and whether its domain is fresh when nobody desires it', async () => {
    const listed = fake.server.unary(actualLrps.listActualLrps, () => ({ ...page, actualLrps: [instance(3)] }));
    fake.server.unary(cells.getCell, () => ({ cell: cell('cell-1', CellState.PRESENT) }));
    expect((await rivera('explain', 'hello/3')).stdout).toContain(
      'nobody vouches that what is desired in domain example',
    );
    expect(listed.calls[0]).toMatchObject({ processGuids: ['hello'], index: 3 });
    const example = { domain: 'example', expiresAt: undefined };
    fake.server.unary(domains.listDomains, () => ({ ...page, domains: [example] }));
    expect((await rivera('explain', 'hello/3')).stdout).toContain('it is about to be stopped');
  });

  it('lists the cells when an LRP is on many', async () => {
    const many = Array.from({ length: 40 }, (_, i) => instance(i, { routable: true, cellId: `cell-${i}` }));
    fake.server.unary(desiredLrps.getDesiredLrp, () => ({ desiredLrp: lrp({ instances: 40 }) }));
    fake.server.unary(actualLrps.listActualLrps, () => ({ ...page, actualLrps: many }));
    const all = many.slice(1).map(({ cellId }) => cell(cellId));
    fake.server.unary(cells.listCells, () => ({ ...page, cells: [cell('other'), ...all] }));
    const { stdout } = await rivera('explain', 'hello');
    expect(stdout.match(/The servers do not know \S+/g)).toEqual(['The servers do not know cell-0']);
  });

  it('tells the story of a task', async () => {
    fake.server.unary(tasks.getTask, () => ({ task: task({ updatedAt: new Date(NOW - 5_000) }) }));
    fake.server.unary(cells.getCell, () => ({ cell: cell('cell-1') }));
    const { stdout } = await rivera('explain', 'nightly');
    expect(stdout).toContain('It has been running on cell-1 for 5s.\n\nNext:\n  rivera logs nightly -f ');
  });

  it('is one document for programs: all facts, and the story', async () => {
    fake.server.unary(desiredLrps.getDesiredLrp, () => ({ desiredLrp: lrp({ instances: 1 }) }));
    fake.server.unary(actualLrps.listActualLrps, () => ({ ...page, actualLrps: [instance(0)] }));
    fake.server.unary(cells.getCell, () => ({ cell: cell('cell-1') }));
    fake.server.unary(tasks.getTask, () => ({ task: task({ taskGuid: 'hello' }) }));
    const { stdout } = await rivera('explain', 'hello', '--json');
    expect(stdout.trimEnd()).not.toContain('\n');
    expect(JSON.parse(stdout)).toMatchObject({
      lrp: {
        facts: {
          desiredLrp: { processGuid: 'hello' },
          actualLrps: [{ state: 'ACTUAL_LRP_STATE_RUNNING' }],
          cells: [{ presence: { cellId: 'cell-1' } }],
        },
        story: { lines: expect.any(Array), next: [{ command: 'rivera logs hello/0', meaning: 'what it wrote' }] },
      },
      task: { facts: { task: { taskGuid: 'hello' }, cell: { presence: { cellId: 'cell-1' } } } },
    });
  });

  it('suggests near names, of LRPs and of tasks, when nothing has that name', async () => {
    fake.server.unary(desiredLrps.listDesiredLrps, () => ({ ...page, desiredLrps: [lrp()] }));
    fake.server.unary(tasks.listTasks, () => ({ ...page, tasks: [task()] }));
    expect(await rivera('explain', 'nihgtly')).toEqual({
      exitCode: EXIT.answered,
      stdout: '',
      stderr: [
        'rivera: there is no LRP and no task "nihgtly"\n',
        "  Did you mean 'nightly'?\n",
        '  See what there is:  rivera lrp list, rivera task list\n',
      ].join(''),
    });
    expect((await rivera('explain', 'helo')).stderr).toContain("Did you mean 'hello'?");
  });

  it('says when an LRP has no such instance', async () => {
    fake.server.unary(desiredLrps.getDesiredLrp, () => ({ desiredLrp: lrp() }));
    fake.server.unary(desiredLrps.listDesiredLrps, () => ({ ...page, desiredLrps: [lrp()] }));
    const { exitCode, stderr } = await rivera('explain', 'hello/7');
    expect(exitCode).toBe(EXIT.answered);
    expect(stderr).toContain('hello has no instance hello/7\n');
    expect(stderr).toContain('rivera lrp show hello\n');
  });
});
