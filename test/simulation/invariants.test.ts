import { ActualLrp, ActualLrpPresence, ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { DesiredLrp } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import { Event } from '@rivera/gen/rivera/bbs/v1/event';
import { Container, ContainerState } from '@rivera/gen/rivera/rep/v1/container';
import { GetStateResponse } from '@rivera/gen/rivera/rep/v1/rep_service';
import type { WatchItem } from '@rivera/sdk/client';
import { describe, expect, it } from 'vitest';
import { until } from '../stack/until.js';
import { disagreements, overload } from './invariants.js';
import { actualItem, differences } from './records.js';
import { faultOf, Replica } from './replica.js';
import { Writes } from './writes.js';

const running = (over: Partial<ActualLrp> = {}) =>
  ActualLrp.fromPartial({
    key: { processGuid: 'p', index: 0, domain: 'd' },
    state: ActualLrpState.RUNNING,
    presence: ActualLrpPresence.ORDINARY,
    instanceGuid: 'i',
    cellId: 'a',
    netInfo: { address: '127.0.0.1' },
    modificationTag: { epoch: 'e', index: 3 },
    ...over,
  } as never);
const container = (containerGuid: string, over: Partial<Container> = {}) =>
  Container.fromPartial({
    containerGuid,
    state: ContainerState.RUNNING,
    target: { target: { $case: 'instance', value: { processGuid: 'p', index: 0 } } },
    memoryMb: 60,
    diskMb: 1,
    ...over,
  } as never);
const state = (freeMb: number) =>
  GetStateResponse.fromPartial({
    total: { memoryMb: 100, diskMb: 100, containers: 10 },
    available: { memoryMb: freeMb, diskMb: 98, containers: 8 },
  } as never);
const holdings = (cellId: string, ...containers: Container[]) => ({ cellId, state: state(40), containers });

describe('the checker of instances sees', () => {
  it('nothing where all is well', () => {
    expect(disagreements([running()], [holdings('a', container('i'))])).toEqual([]);
    expect(overload('a', state(40), [container('i')])).toEqual([]);
  });

  it('what the BBS believes and no cell runs', () => {
    expect(disagreements([running()], [holdings('a')])).toEqual([
      'the BBS has p/0 as i on a, which the cell does not run',
    ]);
    expect(disagreements([running()], [holdings('b', container('i'))])).toHaveLength(2);
  });

  it('what a cell runs and the BBS does not know', () => {
    expect(disagreements([], [holdings('a', container('i'))])).toEqual(['i on a runs p/0, and the BBS does not know']);
  });

  it('a slot that runs twice', () => {
    const twice = [holdings('a', container('i')), holdings('b', container('j'))];
    expect(disagreements([running()], twice)).toContain('slot p/0 runs twice: j on b and i on a');
  });

  it('a cell that holds more than it has', () => {
    expect(overload('a', state(40), [container('i'), container('j')])).toEqual(['cell a holds 120 of 100 memory']);
    expect(overload('a', state(-20), [])).toEqual(['cell a has -20 of 100 memory left']);
    expect(overload('a', state(40), [container('i'), container('j', { state: ContainerState.COMPLETED })])).toEqual([]);
  });

  it('records that can not be', () => {
    expect(faultOf(undefined, running())).toBeUndefined();
    expect(faultOf(undefined, running({ state: ActualLrpState.UNCLAIMED }))).toBe('UNCLAIMED with cell "a"');
    expect(faultOf(undefined, running({ netInfo: undefined }))).toBe('RUNNING and an address go together');
    expect(faultOf(running(), running({ modificationTag: { epoch: 'e', index: 5 } }))).toBe(
      'modification tag e/5 follows e/3',
    );
  });
});

describe('a replica', () => {
  const first = running({ instanceGuid: 'i1' });
  const second = running({ instanceGuid: 'i2', modificationTag: { epoch: 'e', index: 4 } });
  const third = running({ instanceGuid: 'i3', modificationTag: { epoch: 'e', index: 5 } });
  const key = 'actual/p/0';

  it('knows what there was at each revision', async () => {
    const replica = await after([...snapshotOf(first), change(11, first, second), change(13, second, third)]);
    expect(replica.violations).toEqual([]);
    expect(replica.asOf(9)).toBeUndefined();
    expect(replica.asOf(10)?.get(key)).toBe(actualItem(first).text);
    expect(replica.asOf(12)?.get(key)).toBe(actualItem(second).text);
    expect(replica.asOf(13)?.get(key)).toBe(actualItem(third).text);
  });

  it('sees an event that is missing, and one that came twice as no fault', async () => {
    const gap = await after([...snapshotOf(first), change(13, second, third)]);
    expect(gap.violations).toMatchObject([expect.stringContaining('revision 13, actual/p/0: the event changes')]);
    const twice = await after([...snapshotOf(first), change(11, first, second), change(11, first, second)]);
    expect(twice.violations).toEqual([]);
  });

  it('begins anew after a reset', async () => {
    const replica = await after([
      ...snapshotOf(first),
      { kind: 'reset' },
      ...snapshotOf(second, 20),
      change(21, second, third),
    ]);
    expect(replica.violations).toEqual([]);
    expect(replica.asOf(10)).toBeUndefined();
    expect(replica.asOf(20)?.get(key)).toBe(actualItem(second).text);
  });
});

describe('acknowledged writes', () => {
  it('are looked for, but for those of unknown outcome', async () => {
    const stored = new Map<string, DesiredLrp>();
    let failing = false;
    const writes = new Writes({
      desiredLrps: {
        desire: async (lrp) => store(stored, DesiredLrp.fromPartial(lrp as never)),
        update: async (guid, update) => {
          const annotation = update.annotation ?? '';
          const changed = store(stored, DesiredLrp.fromPartial({ processGuid: guid, annotation } as never));
          if (failing) throw new Error('the answer is lost');
          return changed;
        },
        remove: async (guid) => void stored.delete(guid),
      },
    });
    await writes.pause();
    await writes.write();
    await writes.write();
    await writes.write();
    expect(writes.lostFrom(stored)).toEqual([]);
    const [guid = ''] = stored.keys();
    stored.delete(guid);
    expect(writes.lostFrom(stored)).toEqual([`${guid}: acknowledged {"annotation":"changed"}, there is undefined`]);
    failing = true;
    const known = writes.lostFrom(stored).length;
    await expect(writes.write()).rejects.toThrow('the answer is lost');
    expect(writes.lostFrom(stored)).toHaveLength(known);
    await writes.close();
  });
});

it('differences name both sides', () => {
  const a = {
    name: 'A',
    items: new Map([
      ['x', '1'],
      ['y', '2'],
    ]),
  };
  const b = {
    name: 'B',
    items: new Map([
      ['x', '1'],
      ['z', '3'],
    ]),
  };
  expect(differences(a, b)).toEqual(['y: A has 2, B has nothing', 'z: A has nothing, B has 3']);
});

function* snapshotOf(instance: ActualLrp, revision = 10): Generator<WatchItem> {
  yield { kind: 'snapshot', record: { record: { $case: 'actualLrp', value: instance } } as never };
  yield { kind: 'snapshot-complete', revision };
}

function change(revision: number, before: ActualLrp, after: ActualLrp): WatchItem {
  const event = Event.fromPartial({
    revision,
    event: { $case: 'actualLrpChanged', value: { before, after } },
  } as never);
  return { kind: 'event', event, resumeToken: '' };
}

/** A replica that was told all this. */
async function after(items: readonly WatchItem[]): Promise<Replica> {
  let told = false;
  const replica = new Replica({
    async *watch({ signal } = {}) {
      yield* items;
      told = true;
      await new Promise<void>((resolve) => signal?.addEventListener('abort', () => resolve(), { once: true }));
    },
  });
  await until('it was told', () => told);
  await replica.close();
  return replica;
}

function store(stored: Map<string, DesiredLrp>, lrp: DesiredLrp): DesiredLrp {
  stored.set(lrp.processGuid, lrp);
  return lrp;
}
