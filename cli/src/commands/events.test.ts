import { ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { EventKind } from '@rivera/gen/rivera/bbs/v1/event';
import { TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import { describe, expect, it } from 'vitest';
import { EXIT } from '../failures.js';
import { Interrupts } from '../interrupts.js';
import { instance, NOW, task } from '../testing/fake-installation.js';
import { WithServer } from '../testing/with-server.js';

const fake = new WithServer();

describe('rivera events', () => {
  const first = {
    snapshotRecords: [{ record: { $case: 'actualLrp' as const, value: instance(0) } }],
    snapshotComplete: true,
    resumeToken: '1',
  };
  const changed = {
    events: [
      {
        time: new Date(NOW),
        event: {
          $case: 'actualLrpChanged' as const,
          value: { before: instance(0, { state: ActualLrpState.CLAIMED, netInfo: undefined }), after: instance(0) },
        },
      },
    ],
    resumeToken: '2',
  };

  it('shows what there is and ends', async () => {
    const { calls } = fake.watching(first, changed);
    expect(await fake.rivera(['events', '--kind', 'actual_lrp', '--process', 'hello'])).toEqual({
      exitCode: EXIT.ok,
      stdout: 'actual_lrp            hello/0            running on cell-1 at 10.0.0.1:61001\n',
      stderr: '',
    });
    expect(calls[0]).toMatchObject({ snapshot: true, kinds: [EventKind.ACTUAL_LRP], processGuids: ['hello'] });
  });

  it('follows until interrupted, and ends with 130 then', async () => {
    fake.watching(first, changed);
    const interrupts = new Interrupts();
    const { exitCode, stdout } = await fake.rivera(['events', '--follow', '--json'], {
      interrupts,
      onOutput: (text) => text.includes('actual_lrp_changed') && interrupts.deliver('SIGINT'),
    });
    expect(exitCode).toBe(EXIT.interrupted);
    const lines = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines).toMatchObject([
      { type: 'snapshot' },
      { type: 'snapshot_complete' },
      { type: 'actual_lrp_changed', resumeToken: '2', data: { actualLrpChanged: { after: { cellId: 'cell-1' } } } },
    ]);
  });

  it('of a change tells both sides', async () => {
    fake.watching(first, changed);
    const interrupts = new Interrupts();
    const { stdout } = await fake.rivera(['events', '--new'], {
      interrupts,
      onOutput: (text) => text.includes('→') && interrupts.deliver('SIGINT'),
    });
    expect(stdout).toContain(
      'actual_lrp_changed    hello/0            claimed on cell-1 → running on cell-1 at 10.0.0.1:61001\n',
    );
  });

  it('of a task tells that nobody could be told, and that it is tried anew', async () => {
    const callback = { attempts: 3, nextAttemptAt: undefined, lastError: 'HTTP 500', givenUpAt: undefined };
    const [failed, letter, retried] = [
      callback,
      { ...callback, givenUpAt: new Date(NOW) },
      { ...callback, attempts: 0 },
    ].map((each) => task({ state: TaskState.COMPLETED, cellId: '', callback: each }));
    const change = (before: typeof failed, after: typeof failed) => ({
      event: { $case: 'taskChanged' as const, value: { before, after } },
    });
    fake.watching(
      { snapshotRecords: [], snapshotComplete: true, resumeToken: '1' },
      { events: [change(failed, letter), change(letter, retried)], resumeToken: '2' },
    );
    const interrupts = new Interrupts();
    const { stdout } = await fake.rivera(['events', '--follow'], {
      interrupts,
      onOutput: (text) => text.includes('anew') && interrupts.deliver('SIGINT'),
    });
    expect(stdout).toContain(
      'succeeded, callback failed 3 times (HTTP 500) → succeeded, callback given up (HTTP 500)\n',
    );
    expect(stdout).toContain('→ succeeded, callback tried anew\n');
  });

  it('stands in columns, whether there is a time and however long the names are', async () => {
    const named = (processGuid: string) => instance(0, { key: { processGuid, index: 0, domain: 'example' } });
    const long = 'a-process-with-a-name-of-some-length';
    const records = ['web', long].map((name) => ({ record: { $case: 'actualLrp' as const, value: named(name) } }));
    fake.watching({ ...first, snapshotRecords: records }, changed);
    const interrupts = new Interrupts();
    const { stdout } = await fake.rivera(['events', '--follow'], {
      interrupts,
      onOutput: (text) => text.includes('→') && interrupts.deliver('SIGINT'),
    });
    const [short = '', ...others] = stdout.trimEnd().split('\n');
    expect(others).toHaveLength(2);
    for (const line of [short, ...others]) expect(line.indexOf('actual_lrp')).toBe(30);
    for (const line of others) expect(line.search(/claimed|running/)).toBe(30 + 22 + `${long}/0`.length + 3);
  });

  it('takes the kinds as it prints them, and as the flags of other commands are written', async () => {
    const { calls } = fake.watching(first);
    await fake.rivera(['events', '--kind', 'desired_lrp', '--kind', 'actual-lrp']);
    expect(calls[0]?.kinds).toEqual([EventKind.DESIRED_LRP, EventKind.ACTUAL_LRP]);
  });
});
