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
