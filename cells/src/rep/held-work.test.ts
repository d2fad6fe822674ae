import { createHash } from 'node:crypto';
import { ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { describe, expect, it } from 'vitest';
import { HeldWork } from './held-work.js';
import type { Work } from './work.js';

const instance = (guid: string): Work => ({
  kind: 'lrp',
  key: { processGuid: 'p', index: 0, domain: 'd' },
  instanceGuid: guid,
});
const execution = (guid: string): Work => ({
  kind: 'task',
  taskGuid: `task-${guid}`,
  executionGuid: guid,
  domain: 'd',
});

/** The rule of the protocol, written down a second time. */
function digestOf(...inputs: string[]): string {
  let all = 0n;
  for (const input of inputs) all ^= createHash('sha256').update(input).digest().readBigUInt64BE(0);
  return all.toString(16).padStart(16, '0');
}

describe('held work', () => {
  it('has a digest by the rule of the protocol, whatever the order of changes', () => {
    const held = new HeldWork();
    expect(held.heartbeat()).toEqual({ digest: '0000000000000000', count: 0 });
    held.hold('a', instance('a'), ActualLrpState.CLAIMED);
    held.hold('b', execution('b'), ActualLrpState.RUNNING);
    held.hold('c', instance('c'), ActualLrpState.CLAIMED);
    held.hold('a', instance('a'), ActualLrpState.RUNNING);
    held.hold('a', instance('a'), ActualLrpState.RUNNING);
    expect(held.heartbeat()).toEqual({ digest: digestOf('l/a/3', 't/task-b/b', 'l/c/2'), count: 3 });
    held.release('c');
    held.release('c');
    expect(held.heartbeat()).toEqual({ digest: digestOf('l/a/3', 't/task-b/b'), count: 2 });
  });

  it('names what is held and what was asked for, once', () => {
    const held = new HeldWork();
    held.hold('a', instance('a'), ActualLrpState.RUNNING);
    const asked = [
      { guid: 'a', work: instance('a') },
      { guid: 'b', work: execution('b') },
    ];
    const [part, ...more] = held.inventory(7, asked);
    expect(more).toEqual([]);
    expect(part).toMatchObject({ requestId: 7, more: false });
    expect(part?.lrps.map(({ instanceGuid, state }) => [instanceGuid, state])).toEqual([['a', ActualLrpState.RUNNING]]);
    expect(part?.tasks).toEqual([{ taskGuid: 'task-b', executionGuid: 'b' }]);
  });

  it('comes in parts that a message can hold; an empty inventory is one part', () => {
    const held = new HeldWork();
    expect(held.inventory(1, [])).toEqual([{ requestId: 1, lrps: [], tasks: [], more: false }]);
    for (let n = 0; n < 2_001; n++) held.hold(`i${n}`, instance(`i${n}`), ActualLrpState.CLAIMED);
    expect(held.inventory(1, []).map(({ lrps, more }) => [lrps.length, more])).toEqual([
      [1_000, true],
      [1_000, true],
      [1, false],
    ]);
  });
});
