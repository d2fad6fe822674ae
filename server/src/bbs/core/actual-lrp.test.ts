import { ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { beforeEach, describe, expect, it } from 'vitest';
import {
  claimActualLrp,
  crashActualLrp,
  failPlacement,
  removeActualLrp,
  retireActualLrp,
  runActualLrp,
} from './actual-lrp.js';
import { cellLost, reconcileInventory } from './cell.js';
import { auditProcess } from './converge.js';
import { removeDesiredLrp, updateDesiredLrp } from './desired-lrp.js';
import { upsertDomain } from './domain.js';
import type { Draft, InstanceRef } from './draft.js';
import type { ActualLrpRow } from './model.js';
import { CoreBench, instance, RUNNING_FACTS } from './testing.js';

let bbs: CoreBench;
const a = instance('p', 0, 'cell-a', 'guid-a');
const b = instance('p', 0, 'cell-b', 'guid-b');

beforeEach(() => {
  bbs = new CoreBench();
  bbs.cell('cell-a');
  bbs.cell('cell-b');
});

const claim = (ref: InstanceRef) => bbs.run((draft) => claimActualLrp(draft, ref));
const run = (ref: InstanceRef, facts = RUNNING_FACTS) => bbs.run((draft) => runActualLrp(draft, ref, facts));
const crash = (ref: InstanceRef, reason = 'Exited with status 1') =>
  bbs.run((draft) => crashActualLrp(draft, ref, reason));
const slot = (index = 0) => bbs.slot('p', index) as ActualLrpRow;
const AUCTION_0 = { kind: 'auction-lrp', processGuid: 'p', index: 0 };

describe('desire', () => {
  it('makes every slot in the same change and offers all of them', () => {
    bbs.lrp('p', 3);
    expect(bbs.effects).toEqual([0, 1, 2].map((index) => ({ kind: 'auction-lrp', processGuid: 'p', index })));
    expect(slot(2)).toMatchObject({ state: ActualLrpState.UNCLAIMED, routable: false, instanceGuid: '', tagIndex: 0 });
  });

  it('accepts an LRP without instances', () => {
    bbs.lrp('p', 0);
    expect(bbs.state.slotsOf('p')).toEqual([]);
  });
});

describe('claim', () => {
  beforeEach(() => void bbs.lrp('p', 1));

  it('gives a waiting slot to the first cell, and to no other', () => {
    claim(a);
    expect(slot()).toMatchObject({
      state: ActualLrpState.CLAIMED,
      cellId: 'cell-a',
      instanceGuid: 'guid-a',
      tagIndex: 1,
    });
    expect(bbs.refusal((draft) => claimActualLrp(draft, b))).toBe('ACTUAL_LRP_CANNOT_BE_CLAIMED');
  });

  it('may be repeated by the one who has it', () => {
    const first = claim(a);
    expect(claim(a)).toBe(first);
  });

  it('does not take back that it was told to stop', () => {
    claim(a);
    run(a);
    bbs.run((draft) => retireActualLrp(draft, slot(), 'restart'));
    claim(a);
    expect(slot()).toMatchObject({ state: ActualLrpState.RUNNING, retired: true });
    run(a);
    expect(slot()).toMatchObject({ state: ActualLrpState.RUNNING, retired: true });
  });

  it('clears the placement error', () => {
    bbs.run((draft) => failPlacement(draft, 'p', 0, 'insufficient resources: memory', []));
    expect(slot()).toMatchObject({ placementError: 'insufficient resources: memory', state: ActualLrpState.UNCLAIMED });
    claim(a);
    expect(slot().placementError).toBe('');
  });

  it('does not find a slot that is not there', () => {
    expect(bbs.refusal((draft) => claimActualLrp(draft, { ...a, index: 7 }))).toBe('ACTUAL_LRP_NOT_FOUND');
  });
});

describe('run', () => {
  beforeEach(() => void bbs.lrp('p', 1));

  it('makes the instance RUNNING with what the cell tells of it', () => {
    claim(a);
    run(a);
    expect(slot()).toMatchObject({ state: ActualLrpState.RUNNING, netInfo: RUNNING_FACTS.netInfo, routable: true });
  });

  it('changes nothing when it is repeated', () => {
    claim(a);
    const first = run(a);
    bbs.now += 30_000;
    expect(run(a, { ...RUNNING_FACTS, netInfo: { ...RUNNING_FACTS.netInfo } })).toBe(first);
  });

  it('lets a cell that is up take over from one that only tries, and stops the other', () => {
    claim(a);
    run(b);
    expect(slot()).toMatchObject({ cellId: 'cell-b', state: ActualLrpState.RUNNING });
    expect(bbs.effects).toMatchObject([{ kind: 'stop-lrp', instance: { instanceGuid: 'guid-a', cellId: 'cell-a' } }]);
    expect(bbs.refusal((draft) => runActualLrp(draft, a, RUNNING_FACTS))).toBe('ACTUAL_LRP_CANNOT_BE_STARTED');
  });

  it('lets nobody take over from one that was told to stop: the slot would run although nobody wants it', () => {
    claim(a);
    bbs.run((draft) => removeDesiredLrp(draft, 'p'));
    expect(bbs.refusal((draft) => runActualLrp(draft, b, RUNNING_FACTS))).toBe('ACTUAL_LRP_CANNOT_BE_STARTED');
    run(a);
    expect(slot()).toMatchObject({ instanceGuid: 'guid-a', state: ActualLrpState.RUNNING, retired: true });
  });

  it('keeps the uptime through flips of readiness', () => {
    claim(a);
    run(a);
    const startedAtMs = slot().startedAtMs;
    bbs.now += 1_000;
    run(a, { ...RUNNING_FACTS, routable: false });
    expect(slot()).toMatchObject({ startedAtMs, sinceMs: bbs.now, routable: false });
  });

  it('adopts an instance that nobody knows, and leaves it to the comparison of everything whether it stays', () => {
    const orphan = instance('q', 0, 'cell-a', 'guid-q');
    run(orphan);
    expect(bbs.slot('q', 0)).toMatchObject({ state: ActualLrpState.RUNNING, cellId: 'cell-a' });
    expect(bbs.run((draft) => auditProcess(draft, 'q'))).toBe(0);
    bbs.run((draft) => upsertDomain(draft, 'd', 0));
    expect(bbs.run((draft) => auditProcess(draft, 'q', () => false))).toBe(0);
    expect(bbs.run((draft) => auditProcess(draft, 'q'))).toBe(1);
    expect(bbs.effects).toMatchObject([{ kind: 'stop-lrp', instance: { instanceGuid: 'guid-q' } }]);
  });

  it('refuses an instance that its LRP does not want, once its domain is vouched for', () => {
    bbs.run((draft) => upsertDomain(draft, 'd', 0));
    const surplus = instance('p', 1, 'cell-a', 'guid-p1');
    expect(bbs.refusal((draft) => runActualLrp(draft, surplus, RUNNING_FACTS))).toBe('ACTUAL_LRP_CANNOT_BE_STARTED');
  });
});

describe('crash', () => {
  beforeEach(() => void bbs.lrp('p', 1));

  const crashOnce = () => {
    const ref = instance('p', 0, 'cell-a', `guid-${bbs.now}`);
    claim(ref);
    run(ref);
    crash(ref);
    bbs.now += 1;
  };

  it('restarts the first two at once and the third after 30 s', () => {
    crashOnce();
    expect(slot()).toMatchObject({ state: ActualLrpState.UNCLAIMED, crashCount: 1 });
    expect(bbs.effects).toEqual([AUCTION_0]);
    crashOnce();
    expect(slot()).toMatchObject({ state: ActualLrpState.UNCLAIMED, crashCount: 2 });
    crashOnce();
    expect(slot()).toMatchObject({ state: ActualLrpState.CRASHED, crashCount: 3, instanceGuid: '', cellId: '' });
    expect(bbs.effects).toEqual([]);
    bbs.heartbeat('cell-a');
    bbs.pass(29_998);
    expect(slot().state).toBe(ActualLrpState.CRASHED);
    expect(bbs.pass(1)).toContainEqual(AUCTION_0);
    expect(slot()).toMatchObject({ state: ActualLrpState.UNCLAIMED, crashCount: 3 });
  });

  it('waits as the reference does: 30 s doubled up to 16 min', () => {
    const waits: number[] = [];
    for (let count = 1; count <= 10; count++) {
      bbs.cell('cell-a');
      crashOnce();
      const row = slot();
      if (row.state !== ActualLrpState.CRASHED) continue;
      waits.push(Math.round((row.nextRestartAtMs - row.sinceMs) / 1000));
      bbs.pass(row.nextRestartAtMs - bbs.now);
    }
    expect(waits).toEqual([30, 60, 120, 240, 480, 960, 960, 960]);
  });

  it('starts to count again after five minutes up', () => {
    crashOnce();
    crashOnce();
    claim(a);
    run(a);
    bbs.now += 300_001;
    crash(a);
    expect(slot()).toMatchObject({ crashCount: 1, state: ActualLrpState.UNCLAIMED });
  });

  it('gives up where the policy says', () => {
    bbs.lrp('r', 1, { restartPolicy: { immediateRestarts: 1, giveUpAt: 2 } as never });
    for (let count = 1; count <= 2; count++) {
      const ref = instance('r', 0, 'cell-a', `guid-r${count}`);
      claim(ref);
      crash(ref);
      if (count === 1) bbs.pass((bbs.slot('r', 0)?.nextRestartAtMs ?? 0) - bbs.now);
      bbs.cell('cell-a');
    }
    expect(bbs.slot('r', 0)).toMatchObject({ state: ActualLrpState.CRASHED, crashCount: 2, nextRestartAtMs: 0 });
  });

  it('is believed of the holder only', () => {
    claim(a);
    expect(bbs.refusal((draft) => crashActualLrp(draft, b, 'x'))).toBe('ACTUAL_LRP_CANNOT_BE_CRASHED');
  });

  it('keeps the reason, cut to fit, as long as it can without breaking a character', () => {
    claim(a);
    crash(a, `${'x'.repeat(1012)}é${'y'.repeat(100)}`);
    const bytes = Buffer.byteLength(slot().crashReason);
    expect(bytes).toBeLessThanOrEqual(1024);
    expect(slot().crashReason).toMatch(/^x{1012}\(truncated\)$/);
  });

  it('keeps 1,023 bytes whole', () => {
    claim(a);
    crash(a, 'x'.repeat(1023));
    expect(slot().crashReason).toBe('x'.repeat(1023));
  });
});

describe('scale and remove', () => {
  it('forgets waiting slots at once and stops running ones until their cell has removed them', () => {
    bbs.lrp('p', 3);
    const two = instance('p', 2, 'cell-a', 'guid-2');
    claim(two);
    run(two);
    bbs.run((draft) => updateDesiredLrp(draft, 'p', { instances: 1 }));
    expect(bbs.slot('p', 1)).toBeUndefined();
    expect(slot(2)).toMatchObject({ state: ActualLrpState.RUNNING, retired: true });
    expect(bbs.effects).toMatchObject([{ kind: 'stop-lrp', instance: { instanceGuid: 'guid-2' } }]);
    bbs.heartbeat('cell-a');
    bbs.now += 10_000;
    bbs.heartbeat('cell-a');
    bbs.now += 10_000;
    bbs.heartbeat('cell-a');
    expect(bbs.pass(10_000)).toContainEqual(expect.objectContaining({ kind: 'stop-lrp' }));
    bbs.run((draft) => removeActualLrp(draft, two));
    expect(bbs.slot('p', 2)).toBeUndefined();
  });

  it('keeps an instance that was told to stop from being replaced, crashed or not', () => {
    bbs.lrp('p', 1);
    claim(a);
    run(a);
    bbs.run((draft) => removeDesiredLrp(draft, 'p'));
    crash(a);
    expect(bbs.slot('p', 0)).toBeUndefined();
  });

  it('raises the modification index by one with each update and keeps the epoch', () => {
    const { tagEpoch } = bbs.lrp('p', 1);
    bbs.run((draft) => updateDesiredLrp(draft, 'p', { annotation: 'x' }));
    expect(bbs.state.desiredLrps.get('p')).toMatchObject({ tagEpoch, tagIndex: 1, annotation: 'x' });
    expect(bbs.refusal((draft) => updateDesiredLrp(draft, 'p', { annotation: 'y' }, 0))).toBe('DESIRED_LRP_CONFLICT');
  });

  it('tells instances of new internal routes, and of nothing else', () => {
    bbs.lrp('p', 1);
    claim(a);
    run(a);
    bbs.run((draft) => updateDesiredLrp(draft, 'p', { routes: { 'cf-router': '[]' } }));
    expect(bbs.effects).toEqual([]);
    bbs.run((draft) => updateDesiredLrp(draft, 'p', { routes: { 'internal-router': '[{"hostname":"x.internal"}]' } }));
    expect(bbs.effects).toMatchObject([{ kind: 'update-lrp', internalRoutes: ['x.internal'] }]);
  });
});

describe('an LRP that is desired anew in another domain', () => {
  const anew = () => bbs.lrp('p', 1, { domain: 'other', definitionDigest: 'y' });

  it('gets slots of its own domain, once the old containers are gone', () => {
    bbs.lrp('p', 1);
    claim(a);
    run(a);
    bbs.run((draft) => removeDesiredLrp(draft, 'p'));
    anew();
    expect(slot()).toMatchObject({ domain: 'd', retired: true });
    bbs.run((draft) => removeActualLrp(draft, a));
    expect(slot()).toMatchObject({ domain: 'other', state: ActualLrpState.UNCLAIMED });
  });

  it('does not get an instance that was kept because nothing said that it was not wanted', () => {
    run(a);
    expect(slot()).toMatchObject({ domain: 'd', retired: false });
    anew();
    expect(slot()).toMatchObject({ domain: 'd', retired: true });
    expect(bbs.effects).toMatchObject([{ kind: 'stop-lrp', instance: { instanceGuid: 'guid-a' } }]);
  });
});

describe('a command that fails', () => {
  it('leaves no trace, not even of when to look again', () => {
    bbs.lrp('p', 1);
    claim(a);
    run(a);
    const failing = (decide: (draft: Draft) => unknown) =>
      expect(() =>
        bbs.run((draft) => {
          decide(draft);
          throw new Error('too bad');
        }),
      ).toThrow('too bad');
    // Losing a cell puts off the next look at it by ten minutes.
    failing((draft) => cellLost(draft, 'cell-a'));
    expect(slot()).toMatchObject({ state: ActualLrpState.RUNNING, instanceGuid: 'guid-a' });
    bbs.pass(15_000);
    expect(slot()).toMatchObject({ state: ActualLrpState.UNCLAIMED });
    failing((draft) => retireActualLrp(draft, slot(), 'restart'));
    expect(bbs.pass(30_000)).toEqual([AUCTION_0]);
  });
});

describe('retire', () => {
  it('replaces a running instance once its cell has removed it', () => {
    bbs.lrp('p', 1);
    claim(a);
    run(a);
    bbs.run((draft) => retireActualLrp(draft, slot(), 'restart'));
    expect(slot()).toMatchObject({ retired: true, instanceGuid: 'guid-a' });
    bbs.run((draft) => removeActualLrp(draft, a));
    expect(slot()).toMatchObject({ state: ActualLrpState.UNCLAIMED, retired: false });
    expect(bbs.effects).toEqual([AUCTION_0]);
  });

  it('starts a crashed slot anew, with its count forgotten', () => {
    bbs.lrp('p', 1);
    for (const guid of ['g1', 'g2', 'g3']) {
      claim({ ...a, instanceGuid: guid });
      crash({ ...a, instanceGuid: guid });
    }
    expect(slot().state).toBe(ActualLrpState.CRASHED);
    bbs.run((draft) => retireActualLrp(draft, slot(), 'restart'));
    expect(slot()).toMatchObject({ state: ActualLrpState.UNCLAIMED, crashCount: 0 });
  });
});

describe('time and lost cells', () => {
  it('offers a waiting slot again every 30 s', () => {
    bbs.lrp('p', 1);
    expect(bbs.pass(30_000)).toContainEqual(AUCTION_0);
    expect(bbs.pass(30_000)).toContainEqual(AUCTION_0);
  });

  it('places the instances of a cell that is gone anew, after its time to live and not before', () => {
    bbs.lrp('p', 1);
    claim(a);
    run(a);
    bbs.pass(14_999);
    expect(slot().state).toBe(ActualLrpState.RUNNING);
    expect(bbs.pass(1)).toContainEqual(AUCTION_0);
    expect(slot()).toMatchObject({ state: ActualLrpState.UNCLAIMED, cellId: '' });
    expect(bbs.state.cells.get('cell-a')).toMatchObject({ missing: true });
  });

  it('takes the instance back when its cell returns before a replacement was claimed', () => {
    bbs.lrp('p', 1);
    claim(a);
    run(a);
    bbs.pass(15_000);
    bbs.cell('cell-a');
    bbs.run((draft) => reconcileInventory(draft, 'cell-a', { lrps: [a], tasks: [] }));
    expect(bbs.effects).toEqual([]);
    run(a);
    expect(slot()).toMatchObject({ state: ActualLrpState.RUNNING, instanceGuid: 'guid-a' });
  });

  it('stops the instance of a cell that returns after it was replaced', () => {
    bbs.lrp('p', 1);
    claim(a);
    run(a);
    bbs.pass(15_000);
    bbs.cell('cell-a');
    bbs.cell('cell-b');
    claim(b);
    run(b);
    bbs.run((draft) => reconcileInventory(draft, 'cell-a', { lrps: [a], tasks: [] }));
    expect(bbs.effects).toMatchObject([{ kind: 'stop-lrp', instance: { instanceGuid: 'guid-a', cellId: 'cell-a' } }]);
    expect(slot().cellId).toBe('cell-b');
  });

  it('starts anew what a cell no longer holds', () => {
    bbs.lrp('p', 1);
    claim(a);
    run(a);
    bbs.run((draft) => reconcileInventory(draft, 'cell-a', { lrps: [], tasks: [] }));
    expect(slot()).toMatchObject({ state: ActualLrpState.UNCLAIMED });
    expect(bbs.effects).toEqual([AUCTION_0]);
  });
});

describe('audit', () => {
  it('finds nothing to do after ordinary life', () => {
    bbs.lrp('p', 2);
    claim(a);
    run(a);
    expect(bbs.run((draft) => auditProcess(draft, 'p'))).toBe(0);
  });

  it('starts missing instances, also {0, 2} of 3 and in a domain that is not fresh', () => {
    bbs.lrp('p', 3);
    bbs.run((draft) => draft.deleteActualLrp(slot(1)));
    expect(bbs.run((draft) => auditProcess(draft, 'p'))).toBe(1);
    expect(bbs.effects).toEqual([{ kind: 'auction-lrp', processGuid: 'p', index: 1 }]);
  });

  it('stops nothing of an LRP whose record can not be read', () => {
    bbs.state.unreadableLrps = new Set(['p']);
    bbs.run((draft) => upsertDomain(draft, 'd', 0));
    run(a);
    bbs.run((draft) => auditProcess(draft, 'p'));
    bbs.run((draft) => reconcileInventory(draft, 'cell-a', { lrps: [a], tasks: [] }));
    expect(bbs.effects).toEqual([]);
    expect(slot().state).toBe(ActualLrpState.RUNNING);
  });

  it('stops superfluous instances only in a fresh domain', () => {
    run(a);
    bbs.run((draft) => auditProcess(draft, 'p'));
    expect(bbs.effects).toEqual([]);
    bbs.run((draft) => upsertDomain(draft, 'd', 60_000));
    bbs.run((draft) => auditProcess(draft, 'p'));
    expect(bbs.effects).toMatchObject([{ kind: 'stop-lrp', instance: { instanceGuid: 'guid-a' } }]);
  });
});
