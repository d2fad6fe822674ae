import type { CellCommand, SessionResponse } from '@rivera/gen/rivera/bbs/v1/session_service';
import { RiveraError } from '@rivera/kit/errors';
import { silentLogger } from '@rivera/kit/log';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Outgoing } from '../../stream/outgoing.js';
import type { Effect } from '../core/draft.js';
import { instance } from '../core/testing.js';
import { EngineBench } from '../engine/testing.js';
import { PayloadCache } from '../payload-cache.js';
import { SessionRegistry } from './registry.js';
import { Session } from './session.js';

let bench: EngineBench;
let registry: SessionRegistry;
beforeEach(async () => {
  bench = await EngineBench.open();
  registry = new SessionRegistry();
});
afterEach(() => bench.close());

function open(cellId: string) {
  const nothing = new PayloadCache(0, async () => new Map());
  const context = {
    engine: bench.engine,
    runInfos: nothing,
    taskDefinitions: nothing,
    log: silentLogger,
    seen: () => {},
    deafTo: () => () => {},
  };
  const session = new Session(context, { cellId, zone: 'z1' }, new Outgoing<SessionResponse>(100));
  registry.open(session);
  const heard = session.outgoing[Symbol.asyncIterator]();
  return {
    session,
    /** The commands of the next message; undefined behind the last one. */
    hears: async (): Promise<CellCommand['command'][] | undefined> => {
      const next = await heard.next();
      if (next.done) return undefined;
      const { message } = next.value;
      return message?.$case === 'commands' ? message.value.commands.map(({ command }) => command) : [];
    },
  };
}

const cancel = (cellId: string, taskGuid: string): Effect => ({
  kind: 'cancel-task',
  cellId,
  taskGuid,
  executionGuid: `e-${taskGuid}`,
});

describe('the open sessions', () => {
  it('are one per cell: one that comes anew ends the earlier, whose late end does not harm it', async () => {
    const earlier = open('c1');
    const later = open('c1');
    await expect(earlier.hears()).rejects.toMatchObject({ reason: 'SESSION_REPLACED' });
    registry.close(earlier.session);
    expect(registry.size).toBe(1);
    registry.dispatch([cancel('c1', 't')]);
    expect(await later.hears()).toMatchObject([{ $case: 'cancelTask' }]);
  });

  it('all end with the term, and none can be opened behind its end', async () => {
    const cells = [open('c1'), open('c2')];
    registry.closeAll(new RiveraError('NOT_LEADER', 'this server no longer leads'));
    for (const cell of cells) await expect(cell.hears()).rejects.toMatchObject({ reason: 'NOT_LEADER' });
    expect(() => open('c3')).toThrow('this server no longer leads');
    expect(registry.size).toBe(0);
  });
});

describe('effects', () => {
  it('become commands of the cells they are for, one message a cell, in order', async () => {
    const [c1, c2] = [open('c1'), open('c2')];
    registry.dispatch([cancel('c1', 'a'), cancel('c2', 'b'), cancel('c1', 'c'), cancel('away', 'd')]);
    registry.dispatch([cancel('c1', 'e')]);
    expect(await c1.hears()).toMatchObject([{ value: { taskGuid: 'a' } }, { value: { taskGuid: 'c' } }]);
    expect(await c1.hears()).toMatchObject([{ value: { taskGuid: 'e' } }]);
    expect(await c2.hears()).toMatchObject([{ value: { taskGuid: 'b' } }]);
  });

  it('say all that a cell needs to obey', async () => {
    const cell = open('c1');
    const ref = instance('p', 3, 'c1', 'i');
    const key = { processGuid: 'p', index: 3, domain: 'd' };
    registry.dispatch([
      { kind: 'stop-lrp', instance: ref, reason: 'scaled down' },
      { kind: 'update-lrp', instance: ref, internalRoutes: ['a.internal'], metricTags: { x: 'y' } },
      cancel('c1', 't'),
      { kind: 'evacuate-cell', cellId: 'c1' },
    ]);
    expect(await cell.hears()).toEqual([
      { $case: 'stopLrp', value: { key, instanceGuid: 'i', reason: 'scaled down' } },
      {
        $case: 'updateLrp',
        value: { key, instanceGuid: 'i', internalRoutes: [{ hostname: 'a.internal' }], metricTags: { x: 'y' } },
      },
      { $case: 'cancelTask', value: { taskGuid: 't', executionGuid: 'e-t' } },
      { $case: 'evacuate', value: {} },
    ]);
  });

  it('that are for others than cells are not passed on', async () => {
    const cell = open('c1');
    registry.dispatch([
      { kind: 'auction-task', taskGuid: 't' },
      { kind: 'auction-lrp', processGuid: 'p', index: 0 },
      { kind: 'callback', taskGuid: 't' },
    ]);
    cell.session.outgoing.end();
    expect(await cell.hears()).toBeUndefined();
  });

  it('end the session of a cell that was declared missing, and nobody else’s', async () => {
    const [lost, other] = [open('c1'), open('c2')];
    registry.dispatch([{ kind: 'end-session', cellId: 'c1', reason: 'not heard of' }, cancel('c2', 't')]);
    await expect(lost.hears()).rejects.toMatchObject({ reason: 'SESSION_REPLACED', message: 'not heard of' });
    expect(await other.hears()).toHaveLength(1);
    expect(registry.size).toBe(1);
  });
});
