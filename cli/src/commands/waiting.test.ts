import { type ActualLrp, ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { ActualLrpServiceService as actualLrps } from '@rivera/gen/rivera/bbs/v1/actual_lrp_service';
import { DesiredLrpServiceService as desiredLrps } from '@rivera/gen/rivera/bbs/v1/desired_lrp_service';
import { describe, expect, it } from 'vitest';
import { EXIT } from '../failures.js';
import { instance, lrp, unplaced } from '../testing/fake-installation.js';
import { WithServer } from '../testing/with-server.js';

const fake = new WithServer();

describe('waiting for instances', () => {
  function snapshot(instances: ActualLrp[], wanted: number) {
    fake.server.unary(desiredLrps.updateDesiredLrp, () => ({ desiredLrp: lrp({ instances: wanted }) }));
    fake.watching({
      snapshotRecords: [
        { record: { $case: 'desiredLrp', value: lrp({ instances: wanted }) } },
        ...instances.map((value) => ({ record: { $case: 'actualLrp' as const, value } })),
      ],
      snapshotComplete: true,
      resumeToken: '1',
    });
  }

  it('ends with their addresses', async () => {
    snapshot([instance(0), instance(1)], 2);
    expect(await fake.rivera(['lrp', 'scale', 'hello', '2'])).toEqual({
      exitCode: EXIT.ok,
      stdout: 'hello/0   10.0.0.1:61001   (port 8080)\nhello/1   10.0.0.1:61002   (port 8080)\n',
      stderr: 'hello: 2 of 2 running\nhello: 2 instances running\n',
    });
  });

  it('ends with 1 and what keeps them when they do not come up in time', async () => {
    snapshot([instance(0), unplaced(1)], 2);
    const { exitCode, stdout, stderr } = await fake.rivera(['lrp', 'scale', 'hello', '2', '--wait-timeout', '200ms']);
    expect({ exitCode, stdout }).toEqual({ exitCode: EXIT.failed, stdout: '' });
    expect(stderr).toContain('hello: 1 of 2 running, 1 unclaimed (insufficient resources: memory)\n');
    expect(stderr).toContain(
      'rivera: hello: 1 of 2 instances came up in time\n  #1 unclaimed: insufficient resources: memory\n',
    );
  });

  describe('that nobody looks at', () => {
    const run = ['lrp', 'run', 'hello', '--settle', '150ms', '--', 'sh'];
    const record = (value: ActualLrp) => ({ record: { $case: 'actualLrp' as const, value } });
    const changed = (after: ActualLrp) => ({
      events: [{ event: { $case: 'actualLrpChanged' as const, value: { after } } }],
      resumeToken: '2',
    });
    const unlooked = lrp({ instances: 1, ports: [] });
    const first = (value: ActualLrp) => ({
      snapshotRecords: [{ record: { $case: 'desiredLrp' as const, value: unlooked } }, record(value)],
      snapshotComplete: true,
      resumeToken: '1',
    });
    const running = instance(0, { netInfo: undefined });
    const crashed = instance(0, {
      ...{ instanceGuid: '', cellId: '', state: ActualLrpState.CRASHED, netInfo: undefined },
      ...{ crashCount: 3, crashReason: 'APP: Exited with status 1' },
    });

    function desires() {
      fake.server.unary(desiredLrps.desireLrp, ({ desiredLrp }) => ({ desiredLrp }));
    }

    it('counts when it has been running for a while', async () => {
      desires();
      fake.watching(first(running));
      const started = performance.now();
      expect(await fake.rivera(run)).toMatchObject({
        exitCode: EXIT.ok,
        stderr: expect.stringContaining('hello: 1 instance running\n'),
      });
      expect(performance.now() - started).toBeGreaterThanOrEqual(150);
    });

    it('does not count when it ends at once: that is a failure, with the reason', async () => {
      desires();
      fake.watching(first(running), changed(crashed));
      const { exitCode, stderr } = await fake.rivera(run);
      expect(exitCode).toBe(EXIT.failed);
      expect(stderr).toContain(
        'rivera: hello keeps crashing: 0 of 1 instance running\n  #0 crashed 3 times: APP: Exited with status 1\n',
      );
    });

    it('counts at once when told so', async () => {
      desires();
      fake.watching(first(running), changed(crashed));
      const said = await fake.rivera(['lrp', 'run', 'hello', '--settle', '0s', '--', 'sh']);
      expect(said.exitCode).toBe(EXIT.ok);
    });
  });

  describe('to be gone', () => {
    const removed = (value: ActualLrp) => ({
      events: [{ event: { $case: 'actualLrpRemoved' as const, value: { actualLrp: value } } }],
      resumeToken: '2',
    });
    const left = (...instances: ActualLrp[]) => ({
      snapshotRecords: instances.map((value) => ({ record: { $case: 'actualLrp' as const, value } })),
      snapshotComplete: true,
      resumeToken: '1',
    });

    it('ends when the last one is', async () => {
      const { calls } = fake.server.unary(desiredLrps.removeDesiredLrp, () => ({}));
      fake.watching(left(instance(0), instance(1)), removed(instance(1)), removed(instance(0)));
      expect(await fake.rivera(['lrp', 'rm', 'hello'])).toEqual({
        exitCode: EXIT.ok,
        stdout: '',
        stderr: 'hello: 2 instances left\nhello: 1 instance left\n',
      });
      expect(calls).toHaveLength(1);
    });

    it('ends with 1 and what is left when that takes too long', async () => {
      fake.server.unary(desiredLrps.removeDesiredLrp, () => ({}));
      fake.watching(left(instance(0), instance(1)));
      const { exitCode, stderr } = await fake.rivera(['lrp', 'rm', 'hello', '--wait-timeout', '200ms']);
      expect(exitCode).toBe(EXIT.failed);
      expect(stderr).toContain('rivera: hello: 2 instances not gone after 0.2 s\n  #0 running on cell-1\n');
    });

    it('is not waited for when told so', async () => {
      fake.server.unary(desiredLrps.removeDesiredLrp, () => ({}));
      const { calls } = fake.watching(left(instance(0)));
      const said = await fake.rivera(['lrp', 'rm', 'hello', '--no-wait']);
      expect(said).toEqual({ exitCode: EXIT.ok, stdout: '', stderr: '' });
      expect(calls).toEqual([]);
    });
  });

  it('for a replacement looks for another container in the slot', async () => {
    fake.server.unary(desiredLrps.getDesiredLrp, () => ({ desiredLrp: lrp({ instances: 1 }) }));
    fake.server.unary(actualLrps.listActualLrps, () => ({ actualLrps: [instance(0)], nextPageToken: '', revision: 1 }));
    const retired = fake.server.unary(actualLrps.retireActualLrp, () => ({}));
    const after = instance(0, { instanceGuid: 'new', netInfo: undefined });
    fake.watching(
      {
        snapshotRecords: [{ record: { $case: 'actualLrp', value: instance(0) } }],
        snapshotComplete: true,
        resumeToken: '1',
      },
      {
        events: [
          { event: { $case: 'actualLrpChanged', value: { after: { ...after, state: ActualLrpState.CLAIMED } } } },
          { event: { $case: 'actualLrpChanged', value: { after } } },
        ],
        resumeToken: '2',
      },
    );
    const { exitCode, stdout } = await fake.rivera(['lrp', 'restart', 'hello', '--json']);
    expect(exitCode).toBe(EXIT.ok);
    expect(JSON.parse(stdout)).toMatchObject({ instanceGuid: 'new', state: 'ACTUAL_LRP_STATE_RUNNING' });
    expect(retired.calls).toHaveLength(1);
  });
});
