import { PassThrough } from 'node:stream';
import { AccessServiceService as access } from '@rivera/gen/rivera/access/v1/access_service';
import { type Task, TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import { TaskServiceService as tasks } from '@rivera/gen/rivera/bbs/v1/task_service';
import { type LogEntry, LogStream } from '@rivera/gen/rivera/rep/v1/container';
import { describe, expect, it } from 'vitest';
import { EXIT } from '../failures.js';
import { logLine, task } from '../testing/fake-installation.js';
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
