import { PassThrough } from 'node:stream';
import { AccessServiceService as access } from '@rivera/gen/rivera/access/v1/access_service';
import { type Task, TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import { TaskServiceService as tasks } from '@rivera/gen/rivera/bbs/v1/task_service';
import { type LogEntry, LogStream } from '@rivera/gen/rivera/rep/v1/container';
import { describe, expect, it } from 'vitest';
import { EXIT } from '../failures.js';
import { logLine, NOW, task } from '../testing/fake-installation.js';
import { untilCancelled, WithServer } from '../testing/with-server.js';

const fake = new WithServer();

describe('rivera task run', () => {
  function taskThatEnds(ended: Partial<Task>, kept: LogEntry[], followed: LogEntry[] = []) {
    const done = task({ taskGuid: 't', state: TaskState.COMPLETED, ...ended });
    fake.server.unary(tasks.desireTask, () => ({ task: task({ taskGuid: 't', state: TaskState.PENDING }) }));
    fake.server.unary(tasks.getTask, () => ({ task: done }));
    fake.watching({
      snapshotRecords: [{ record: { $case: 'task', value: done } }],
      snapshotComplete: true,
      resumeToken: '1',
    });
    fake.server.streaming(access.readLogs, async (call) => {
      const following = call.request.filter?.follow === true;
      call.write({ entries: following ? followed : kept, dropped: 0, unreachableCells: {} });
      if (following) await untilCancelled(call);
    });
  }
  const run = (...more: string[]) => fake.rivera(['task', 'run', '--name', 't', ...more, '--', 'true']);

  it('passes the output on as if the command ran here, and prints the result', async () => {
    const lines = [
      logLine('Cell cell-1 creating container', { sequence: 0, source: 'CELL' }),
      logLine('out', { sequence: 1 }),
      logLine('err', { sequence: 2, stream: LogStream.STDERR }),
      logLine('Exit status 0', { sequence: 3 }),
    ];
    taskThatEnds({ result: 'the result' }, lines);
    expect(await run()).toEqual({ exitCode: EXIT.ok, stdout: 'out\nthe result\n', stderr: 'err\n' });
  });

  it('shows a line once, also when it was followed and is kept', async () => {
    const lines = [logLine('one', { sequence: 1 }), logLine('two', { sequence: 2 })];
    taskThatEnds({}, lines, [lines[0] ?? logLine('')]);
    expect((await run()).stdout).toBe('one\ntwo\n');
  });

  it('ends with 1 and the reason when the task failed', async () => {
    taskThatEnds({ failed: true, failureReason: 'exit status 3' }, []);
    expect(await run()).toEqual({ exitCode: EXIT.failed, stdout: '', stderr: 'failed: exit status 3\n' });
  });

  it('tells of a program that does not exist once', async () => {
    const why = 'exec failed: "nosuch": executable file not found in $PATH';
    const line = logLine(`failed-creating-process: ${why}`, { sequence: 1, stream: LogStream.STDERR });
    taskThatEnds({ failed: true, failureReason: why }, [line]);
    expect((await run()).stderr).toBe(`failed: ${why}\n`);
    taskThatEnds({ failed: true, failureReason: 'another one' }, [line]);
    expect((await run()).stderr).toBe(`failed-creating-process: ${why}\nfailed: another one\n`);
  });

  it('says that a task has ended before and was not run again, and ends as it did', async () => {
    const times = { createdAt: new Date(NOW - 180_000), firstCompletedAt: new Date(NOW - 60_000) };
    const before = { state: TaskState.COMPLETED, result: 'r', ...times };
    taskThatEnds(before, [logLine('from then', { sequence: 1 })]);
    fake.server.unary(tasks.desireTask, () => ({ task: task({ taskGuid: 't', ...before }) }));
    expect(await run()).toEqual({
      exitCode: EXIT.ok,
      stdout: 'r\n',
      stderr:
        't ended 60s ago (succeeded) and was not run again. To run it again: rivera task rm t, or another --name.\n',
    });
    const failed = { ...before, result: '', failed: true, failureReason: 'exit status 3' };
    taskThatEnds(failed, []);
    fake.server.unary(tasks.desireTask, () => ({ task: task({ taskGuid: 't', ...failed }) }));
    const said = await run();
    expect(said.exitCode).toBe(EXIT.failed);
    expect(said.stderr).toMatch(/^t ended 60s ago \(failed\) and was not run again.*\nfailed: exit status 3\n$/);
  });

  describe('that waits for a cell', () => {
    const why = { rejectionReason: 'found no compatible cell for required rootfs', rejectionCount: 2 };
    const waiting = task({ taskGuid: 't', state: TaskState.PENDING, cellId: '', ...why });
    const snapshot = {
      snapshotRecords: [{ record: { $case: 'task' as const, value: waiting } }],
      snapshotComplete: true,
      resumeToken: '1',
    };

    it('says when time is over why it has not ended', async () => {
      taskThatEnds({}, []);
      fake.watching(snapshot);
      expect(await run('--wait-timeout', '300ms')).toEqual({
        exitCode: EXIT.failed,
        stdout: '',
        stderr: [
          'rivera: t did not end within 0.3 s\n',
          '  It waits for a cell: found no compatible cell for required rootfs (2 attempts so far)\n',
          '  It goes on. See its state:  rivera task show t\n',
          '  End it:                     rivera task cancel t\n',
        ].join(''),
      });
    });

    it('shows the reason on a terminal while it waits', async () => {
      const ended = task({ taskGuid: 't', state: TaskState.COMPLETED });
      taskThatEnds({}, []);
      fake.watching(snapshot, {
        events: [{ event: { $case: 'taskChanged', value: { before: waiting, after: ended } } }],
        resumeToken: '2',
      });
      const args = ['task', 'run', '--name', 't', '--', 'true'];
      const { exitCode, stderr } = await fake.rivera(args, { terminal: true });
      expect(exitCode).toBe(EXIT.ok);
      expect(stderr).toContain('waits for a cell: found no compatible cell for required rootfs (2 attempts so far)');
      expect((await fake.rivera(args)).stderr).toBe('');
    });
  });

  it('does not wait for a task that is removed', async () => {
    taskThatEnds({}, []);
    fake.watching({ snapshotRecords: [], snapshotComplete: true, resumeToken: '1' });
    expect(await run()).toEqual({
      exitCode: EXIT.answered,
      stdout: '',
      stderr: 'rivera: t was removed before its end\n  See what there is:  rivera task list\n',
    });
  });

  it('prints the task as JSON', async () => {
    taskThatEnds({ result: 'r' }, []);
    const { exitCode, stdout } = await run('--json');
    expect(exitCode).toBe(EXIT.ok);
    expect(JSON.parse(stdout)).toMatchObject({ taskGuid: 't', state: 'TASK_STATE_COMPLETED', result: 'r' });
  });

  it('prints the name alone when it need not wait', async () => {
    taskThatEnds({}, []);
    expect(await run('--no-wait')).toEqual({ exitCode: EXIT.ok, stdout: 't\n', stderr: '' });
  });

  it('reads a spec from standard input', async () => {
    const { calls } = fake.server.unary(tasks.desireTask, () => ({ task: task() }));
    const stdin = new PassThrough();
    stdin.end('action: { runAction: { path: job, user: root } }');
    expect((await fake.rivera(['task', 'run', '--no-wait', '-f', '-'], { stdin })).exitCode).toBe(EXIT.ok);
    expect(calls[0]?.definition?.action?.action).toMatchObject({ $case: 'runAction', value: { path: 'job' } });
  });
});
