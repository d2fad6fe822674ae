import { ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { ActualLrpServiceService as actualLrps } from '@rivera/gen/rivera/bbs/v1/actual_lrp_service';
import { DesiredLrpServiceService as desiredLrps } from '@rivera/gen/rivera/bbs/v1/desired_lrp_service';
import { statusOf } from '@rivera/sdk/testing/fake-server';
import { describe, expect, it } from 'vitest';
import { EXIT } from '../failures.js';
import { instance, lrp, unplaced } from '../testing/fake-installation.js';
import { WithServer } from '../testing/with-server.js';

const fake = new WithServer();
const rivera = (...args: string[]) => fake.rivera(args);

const page = { nextPageToken: '', revision: 1 };

describe('rivera lrp', () => {
  it('lists LRPs with how much of them runs, and what is wrong', async () => {
    fake.server.unary(actualLrps.listActualLrps, () => ({ ...page, actualLrps: [instance(0), unplaced(1)] }));
    fake.server.unary(desiredLrps.listDesiredLrps, () => ({
      ...page,
      desiredLrps: [lrp(), lrp({ processGuid: 'idle', instances: 0 })],
    }));
    const { stdout } = await rivera('lrp', 'list');
    expect(stdout).toBe(
      [
        'name    domain    instances   age   trouble\n',
        'hello   example         1/2   2h    insufficient resources: memory\n',
        'idle    example         0/0   2h\n',
      ].join(''),
    );
    expect(JSON.parse((await rivera('lrp', 'ls', '--json')).stdout.split('\n')[0] ?? '')).toMatchObject({
      processGuid: 'hello',
      runningInstances: 1,
    });
  });

  it('shows one with its instances', async () => {
    fake.server.unary(desiredLrps.getDesiredLrp, () => ({ desiredLrp: lrp() }));
    fake.server.unary(actualLrps.listActualLrps, () => ({ ...page, actualLrps: [instance(0), unplaced(1)] }));
    const { stdout } = await rivera('lrp', 'show', 'hello');
    expect(stdout).toContain('instances:         1/2\n');
    expect(stdout).toContain('#0   running     60s     cell-1   10.0.0.1:61001\n');
    expect(stdout).toContain('#1   unclaimed   60s');
    expect(stdout).toContain('insufficient resources: memory\n');
  });

  it('shows which instances were told to stop', async () => {
    fake.server.unary(desiredLrps.getDesiredLrp, () => ({ desiredLrp: lrp() }));
    const stopping = instance(1, { stopping: true });
    fake.server.unary(actualLrps.listActualLrps, () => ({ ...page, actualLrps: [instance(0), stopping] }));
    expect((await rivera('lrp', 'show', 'hello')).stdout).toMatch(/#0 +running +60s.*\n#1 +running, stopping +60s/);
  });

  describe('reset', () => {
    const crashed = (index: number) => instance(index, { state: ActualLrpState.CRASHED, instanceGuid: '', cellId: '' });

    it('tries all that are crashed again, and leaves the others alone', async () => {
      fake.server.unary(desiredLrps.getDesiredLrp, () => ({ desiredLrp: lrp() }));
      const listed = fake.server.unary(actualLrps.listActualLrps, () => ({
        ...page,
        actualLrps: [crashed(1), crashed(4)],
      }));
      const { calls } = fake.server.unary(actualLrps.retireActualLrp, () => ({}));
      expect(await rivera('lrp', 'reset', 'hello')).toEqual({
        exitCode: EXIT.ok,
        stdout: '',
        stderr: 'hello: 2 crashed instances tried again\n',
      });
      expect(listed.calls[0]).toMatchObject({ processGuids: ['hello'], states: [ActualLrpState.CRASHED] });
      expect(calls.map(({ index, instanceGuid }) => [index, instanceGuid])).toEqual([
        [1, ''],
        [4, ''],
      ]);
    });

    it('tries one again, and tells what it is now', async () => {
      fake.server.unary(actualLrps.getActualLrp, () => ({ actualLrps: [crashed(1)] }));
      const { calls } = fake.server.unary(actualLrps.retireActualLrp, () => ({}));
      const { stdout } = await rivera('lrp', 'reset', 'hello/1', '--json');
      expect(JSON.parse(stdout)).toMatchObject({ key: { processGuid: 'hello', index: 1 } });
      expect(calls).toHaveLength(1);
    });

    it('refuses one that is not crashed, and says what replaces it', async () => {
      fake.server.unary(actualLrps.getActualLrp, () => ({ actualLrps: [instance(1)] }));
      const { exitCode, stderr } = await rivera('lrp', 'reset', 'hello/1');
      expect(exitCode).toBe(EXIT.failed);
      expect(stderr).toContain('hello/1 is running, not crashed\n');
      expect(stderr).toContain('rivera lrp restart hello --index 1\n');
    });

    it('wants an index to be a number', async () => {
      expect((await rivera('lrp', 'reset', 'hello/x')).exitCode).toBe(EXIT.usage);
    });
  });

  it('cuts long troubles on a terminal alone', async () => {
    const reason = `it crashed ${'and crashed again '.repeat(10)}in the end`;
    const crashed = instance(0, { state: ActualLrpState.CRASHED, crashReason: reason });
    fake.server.unary(desiredLrps.getDesiredLrp, () => ({ desiredLrp: lrp() }));
    fake.server.unary(desiredLrps.listDesiredLrps, () => ({ ...page, desiredLrps: [lrp()] }));
    fake.server.unary(actualLrps.listActualLrps, () => ({ ...page, actualLrps: [crashed] }));
    for (const args of [
      ['lrp', 'show', 'hello'],
      ['lrp', 'list'],
    ]) {
      expect((await rivera(...args)).stdout).toContain(`${reason}\n`);
      expect((await fake.rivera(args, { terminal: true })).stdout).toContain('…\n');
    }
  });

  it('scales without waiting when told so', async () => {
    const { calls } = fake.server.unary(desiredLrps.updateDesiredLrp, () => ({ desiredLrp: lrp({ instances: 3 }) }));
    expect(await rivera('lrp', 'scale', 'hello', '3', '--no-wait')).toEqual({
      exitCode: EXIT.ok,
      stdout: '',
      stderr: '',
    });
    expect(calls[0]).toMatchObject({ processGuid: 'hello', update: { instances: 3, routes: undefined } });
  });

  it('restarts one instance by its guid, so that a repeat can not hit its replacement', async () => {
    fake.server.unary(actualLrps.listActualLrps, () => ({ ...page, actualLrps: [instance(1)] }));
    const { calls } = fake.server.unary(actualLrps.retireActualLrp, () => ({}));
    expect((await rivera('lrp', 'restart', 'hello', '--index', '1', '--no-wait')).exitCode).toBe(EXIT.ok);
    expect(calls).toMatchObject([{ processGuid: 'hello', index: 1, instanceGuid: 'guid-1' }]);
  });

  it('desires one from flags and prints its name when it need not wait', async () => {
    const { calls } = fake.server.unary(desiredLrps.desireLrp, ({ desiredLrp }) => ({ desiredLrp }));
    const said = await rivera(
      'lrp',
      'run',
      'web',
      '-i',
      '2',
      '-p',
      '8080',
      '--no-wait',
      '--',
      'httpd',
      '-f',
      '-p',
      '8080',
    );
    expect(said).toEqual({ exitCode: EXIT.ok, stdout: 'web\n', stderr: '' });
    expect(calls[0]?.desiredLrp).toMatchObject({
      processGuid: 'web',
      instances: 2,
      ports: [8080],
      action: { action: { $case: 'runAction', value: { path: 'httpd', args: ['-f', '-p', '8080'] } } },
    });
  });

  it('shows every violation of a request that is refused', async () => {
    fake.server.unary(desiredLrps.desireLrp, () => {
      const violations = [{ field: 'desired_lrp.process_guid', description: 'has a blank' }];
      throw statusOf(3, 'the request is not valid', { reason: 'INVALID_REQUEST', violations });
    });
    const { exitCode, stderr } = await rivera('lrp', 'run', 'a b', '--no-wait', '--', 'x');
    expect(exitCode).toBe(EXIT.answered);
    expect(stderr).toBe(
      'rivera: the request is not valid (INVALID_REQUEST)\n  desired_lrp.process_guid: has a blank\n',
    );
  });
});
