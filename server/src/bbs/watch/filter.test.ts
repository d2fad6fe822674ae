import { EventKind } from '@rivera/gen/rivera/bbs/v1/event';
import { describe, expect, it } from 'vitest';
import { claimActualLrp } from '../core/actual-lrp.js';
import { cellArrived } from '../core/cell.js';
import { upsertDomain } from '../core/domain.js';
import type { Draft, RowChange } from '../core/draft.js';
import { startTask } from '../core/task.js';
import { CoreBench, instance, presence } from '../core/testing.js';
import { WatchFilter } from './filter.js';

const ALL = { kinds: [], domains: [], processGuids: [], cellIds: [], taskGuids: [] };

/** One change of each kind, by name. */
const bench = new CoreBench();
function changeOf(decide: (draft: Draft) => unknown): RowChange {
  let last: RowChange | undefined;
  bench.run((draft) => {
    decide(draft);
    last = draft.changes.at(-1);
  });
  if (last === undefined) throw new Error('nothing changed');
  return last;
}
bench.lrp('p', 1);
bench.task('t');
const CHANGES: Record<string, RowChange> = {
  cell: changeOf((draft) => cellArrived(draft, presence('c1'), 'i1')),
  lrp: changeOf((draft) => draft.putDesiredLrp({ ...bench.lrp('p', 1), annotation: 'new' })),
  instance: changeOf((draft) => claimActualLrp(draft, instance('p', 0, 'c1', 'i'))),
  task: changeOf((draft) => startTask(draft, 't', 'c1', 'e')),
  domain: changeOf((draft) => upsertDomain(draft, 'd', 0)),
};

const passing = (wanted: Partial<typeof ALL>): string[] => {
  const filter = new WatchFilter({ ...ALL, ...wanted } as never);
  return Object.keys(CHANGES).filter((name) => filter.passes(CHANGES[name] as RowChange));
};

describe('a watcher sees', () => {
  it.each([
    ['everything but domains without a filter', {}, ['cell', 'lrp', 'instance', 'task']],
    ['the kinds that it asks for', { kinds: [EventKind.TASK, EventKind.CELL] }, ['cell', 'task']],
    ['nothing of a kind that nobody knows', { kinds: [99] }, []],
    ['a domain; cells belong to none', { domains: ['d'] }, ['cell', 'lrp', 'instance', 'task']],
    ['nothing of other domains but cells', { domains: ['other'] }, ['cell']],
    ['a process, and no tasks or cells', { processGuids: ['p'] }, ['lrp', 'instance']],
    ['nothing of other processes', { processGuids: ['q'] }, []],
    [
      'a cell and what is on it; LRPs are on none in particular',
      { cellIds: ['c1'] },
      ['cell', 'lrp', 'instance', 'task'],
    ],
    ['nothing of other cells but LRPs', { cellIds: ['c2'] }, ['lrp']],
    ['a task', { taskGuids: ['t'] }, ['task']],
    ['one of several', { taskGuids: ['x', 't'] }, ['task']],
    ['what passes every filter', { kinds: [EventKind.TASK], cellIds: ['c2'] }, []],
    ['nothing when filters exclude each other', { processGuids: ['p'], taskGuids: ['t'] }, []],
  ])('%s', (_, wanted, seen) => {
    expect(passing(wanted as never)).toEqual(seen);
  });

  it('what leaves its view as well as what comes into it', () => {
    const { before, after } = CHANGES.instance as Extract<RowChange, { kind: 'actual-lrp' }>;
    const filter = new WatchFilter({ ...ALL, cellIds: ['c1'] });
    expect(filter.passes({ kind: 'actual-lrp', before, after })).toBe(true);
    expect(filter.passes({ kind: 'actual-lrp', before: after, after: before })).toBe(true);
    expect(filter.passes({ kind: 'actual-lrp', before: after, after: undefined })).toBe(true);
    expect(filter.passes({ kind: 'actual-lrp', before, after: before })).toBe(false);
  });
});
