import { AccessServiceService as access } from '@rivera/gen/rivera/access/v1/access_service';
import { DesiredLrpServiceService as desiredLrps } from '@rivera/gen/rivera/bbs/v1/desired_lrp_service';
import { TaskServiceService as tasks } from '@rivera/gen/rivera/bbs/v1/task_service';
import type { LogEntry } from '@rivera/gen/rivera/rep/v1/container';
import { statusOf } from '@rivera/sdk/testing/fake-server';
import { describe, expect, it } from 'vitest';
import { EXIT } from '../failures.js';
import { logLine, lrp, NOW, task } from '../testing/fake-installation.js';
import { WithServer } from '../testing/with-server.js';

const NOT_FOUND = 5;

const fake = new WithServer();

describe('rivera logs', () => {
  function kept(...entries: LogEntry[]) {
    return fake.server.streaming(access.readLogs, (call) => {
      call.write({ entries, dropped: 2, unreachableCells: { 'cell-9': 'no route' } });
    });
  }
  const missing = () => {
    throw statusOf(NOT_FOUND, 'there is none', { reason: 'X' });
  };

  it('shows lines as the reference does, and what is missing', async () => {
    fake.server.unary(desiredLrps.getDesiredLrp, () => ({ desiredLrp: lrp() }));
    const { calls } = kept(logLine('Dora started', { index: 1 }));
    const { exitCode, stdout, stderr } = await fake.rivera([
      'logs',
      'hello/1',
      '--tail',
      '5',
      '--source',
      'APP',
      '--since',
      '1m',
    ]);
    expect(exitCode).toBe(EXIT.ok);
    expect(stdout).toMatch(/^ {3}\d{4}-\d\d-\d\dT[\d:.]+[+-]\d{4} \[APP\/1\] {6}OUT Dora started\n$/);
    expect(stderr).toBe('(2 lines lost here)\n(no lines from cell cell-9: no route)\n');
    expect(calls[0]?.filter).toMatchObject({
      processGuid: 'hello',
      index: 1,
      tail: 5,
      source: 'APP',
      since: new Date(NOW - 60_000),
    });
  });

  it('are a task’s when there is no LRP of the name', async () => {
    fake.server.unary(desiredLrps.getDesiredLrp, missing);
    fake.server.unary(tasks.getTask, () => ({ task: task() }));
    const { calls } = kept(logLine('x'));
    const { stdout } = await fake.rivera(['logs', 'nightly', '--json']);
    expect(JSON.parse(stdout)).toMatchObject({ text: 'x', source: 'APP' });
    expect(calls[0]?.filter).toMatchObject({ taskGuid: 'nightly', processGuid: '' });
  });

  it('of nothing suggest what was meant', async () => {
    fake.server.unary(desiredLrps.getDesiredLrp, missing);
    fake.server.unary(tasks.getTask, missing);
    fake.server.unary(desiredLrps.listDesiredLrps, () => ({ desiredLrps: [lrp()], nextPageToken: '', revision: 1 }));
    fake.server.unary(tasks.listTasks, () => ({ tasks: [], nextPageToken: '', revision: 1 }));
    const { exitCode, stderr } = await fake.rivera(['logs', 'helo']);
    expect(exitCode).toBe(EXIT.answered);
    expect(stderr).toContain("there is no LRP or task 'helo'\n  Did you mean 'hello'?");
  });
});
