import { type ActualLrp, ActualLrpPresence, ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { type Cell, CellState } from '@rivera/gen/rivera/bbs/v1/cell';
import { describe, expect, it } from 'vitest';
import { formatTimestamp } from '../terminal/time.js';
import { cell, instance, lrp, NOW } from '../testing/fake-installation.js';
import type { LrpFacts } from './facts.js';
import { tellLrp } from './lrp-story.js';

const { CLAIMED, CRASHED, UNCLAIMED } = ActualLrpState;
const ago = (ms: number) => new Date(NOW - ms);
const hence = (ms: number) => new Date(NOW + ms);
const at = (ms: number, words: string) => `${formatTimestamp(ago(ms))} (${words} ago)`;

const running = (index: number, over: Partial<ActualLrp> = {}) => instance(index, { routable: true, ...over });
const away = { instanceGuid: '', cellId: '', netInfo: undefined };
const silent = (id: string, state: CellState): [string, Cell] => [id, { ...cell(id, state), lastSeenAt: ago(40_000) }];

function tell(over: Partial<LrpFacts>, instances: readonly ActualLrp[] = [running(0)]) {
  const desired = lrp({
    instances: instances.filter(({ presence }) => presence === ActualLrpPresence.ORDINARY).length,
  });
  const cells = new Map([['cell-1', cell('cell-1')]]);
  const facts = { name: 'hello', index: undefined, desired, instances, cells, domainIsFresh: undefined, ...over };
  const { lines, next } = tellLrp(facts, NOW);
  return { lines, next: next.map(({ command }) => command) };
}
/** What is said behind the introduction. */
const story = (...args: Parameters<typeof tell>) => tell(...args).lines.slice(2);

describe('the story of an LRP', () => {
  it('begins with how much of it runs; what is well takes a line', () => {
    expect(tell({}, [running(0), running(1, { since: ago(7_200_000) })])).toEqual({
      lines: [
        `hello is an LRP of domain example, desired since ${at(7_200_000, '2h')}: 2 of 2 instances running.`,
        '',
        '#0 has been running on cell-1 for 60s, at 10.0.0.1:61001.',
        '#1 has been running on cell-1 for 2h, at 10.0.0.1:61002.',
      ],
      next: ['rivera logs hello/0', 'rivera logs hello/1'],
    });
  });

  it('tells why no cell takes an instance, how many say what, and when they are asked again', () => {
    const waiting = instance(0, {
      ...away,
      state: UNCLAIMED,
      since: ago(180_000),
      placementError: 'insufficient resources: memory',
      placementObstacles: [
        { kind: 'MEMORY', description: 'not enough memory', cells: 12, exampleCellIds: ['a', 'b', 'c'] },
        { kind: 'ROOT_FS', description: 'no such root filesystem', cells: 1, exampleCellIds: ['d'] },
      ],
      nextPlacementAt: hence(12_000),
    });
    expect(tell({}, [waiting])).toMatchObject({
      lines: [
        expect.stringContaining('0 of 1 instance running'),
        '',
        '#0 has been waiting for a cell for 3m.',
        '   No cell takes it: insufficient resources: memory.',
        '     12 cells: not enough memory (a, b, c, …)',
        '     1 cell: no such root filesystem (d)',
        '   It is offered to the cells again in 12s.',
      ],
      next: ['rivera cells'],
    });
  });

  it('tells of crashes, the latest first, and when it is tried again', () => {
    const crashes = [
      { at: ago(90_000), reason: 'Exited with status 1', cellId: 'cell-2', instanceGuid: 'x', uptimeMs: 0 },
      { at: ago(30_000), reason: 'Exited\nwith status 137', cellId: 'cell-1', instanceGuid: 'y', uptimeMs: 12_000 },
    ];
    const crashed = instance(0, { ...away, state: CRASHED, crashCount: 4, nextRestartAt: hence(45_000), crashes });
    expect(story({}, [crashed])).toEqual([
      '#0 has crashed 4 times and pauses: it is tried again in 45s.',
      '   Its latest crashes:',
      `     ${at(30_000, '30s')} on cell-1 after 12 s: Exited with status 137`,
      `     ${at(90_000, '90s')} on cell-2 before it ran: Exited with status 1`,
    ]);
    const givenUp = { ...crashed, crashCount: 200, nextRestartAt: undefined, crashes: [] };
    expect(story({}, [givenUp])).toEqual([
      '#0 has crashed 200 times and was given up 60s ago: it stays down until somebody resets it.',
    ]);
    expect(tell({}, [crashed]).next).toEqual(['rivera lrp reset hello/0', 'rivera logs hello/0']);
  });

  it('tells of one that goes on beside, until the new one runs, as its cell is being emptied', () => {
    const old = running(0, { cellId: 'cell-2', presence: ActualLrpPresence.EVACUATING });
    const fresh = instance(0, { ...away, state: CLAIMED, cellId: 'cell-1' });
    expect(story({}, [fresh, old])).toEqual([
      '#0 has been starting on cell-1 for 60s.',
      '   Beside it one has been running on cell-2 for 60s: that cell is being emptied, and it goes on until the new one runs. ' +
        'A replacement is starting on cell-1.',
    ]);
  });

  it('tells of one that is moved although its cell stays in service', () => {
    const old = running(0, { cellId: 'cell-2', presence: ActualLrpPresence.EVACUATING });
    const fresh = instance(0, { ...away, state: UNCLAIMED });
    const cells = new Map([silent('cell-2', CellState.PRESENT)]);
    expect(story({ cells }, [fresh, old]).join()).toContain(
      'running on cell-2 for 60s: it is being moved, and it goes on until the new one runs.',
    );
  });

  it('tells of one that may still be up on a cell that is silent', () => {
    const suspect = running(0, { cellId: 'cell-2', presence: ActualLrpPresence.SUSPECT });
    const fresh = instance(0, { ...away, state: UNCLAIMED });
    const cells = new Map([silent('cell-2', CellState.MISSING)]);
    expect(tell({ cells }, [fresh, suspect])).toMatchObject({
      lines: expect.arrayContaining([
        '   cell-2 has not been heard of for 40s: the instance there may still be up. A replacement is waiting for a cell. ' +
          'Whichever is there first stays.',
      ]),
      next: ['rivera cells show cell-2', 'rivera cells declare-missing cell-2'],
    });
  });

  it.each([
    [
      CellState.SILENT,
      'cell-1 has not been heard of for 40s, like most cells: the fault may be elsewhere, so its work is left alone for a while.',
    ],
    [CellState.MISSING, 'cell-1 has not been heard of for 40s and counts as gone.'],
    [CellState.EVACUATING, 'cell-1 is being emptied: it takes no new work, and what it has moves elsewhere.'],
    [CellState.PRESENT, 'cell-1 has not been heard of for 40s; it may just be late.'],
  ])('tells what is wrong with the cell of a running instance (%i)', (state, words) => {
    expect(story({ cells: new Map([silent('cell-1', state)]) })[1]).toBe(`   ${words}`);
  });

  it('tells of a cell that the servers do not know any more, and of an instance that is not ready or is stopping', () => {
    expect(story({ cells: new Map() }, [instance(0, { stopping: true })])).toEqual([
      '#0 has been running on cell-1 for 60s, at 10.0.0.1:61001.',
      '   Routers send it no traffic: it is not ready.',
      '   It was told to stop and has not ended yet; it is told again until its cell has removed it.',
      '   The servers do not know cell-1 any more.',
    ]);
  });

  it('tells why an instance that nobody desires is still there', () => {
    const left = { desired: undefined, domainIsFresh: false };
    expect(tell(left)).toMatchObject({
      lines: [
        'Nobody desires hello, and 1 instance of it is left.',
        '',
        '#0 has been running on cell-1 for 60s, at 10.0.0.1:61001.',
        '   Nobody desires it, and it stays all the same: nobody vouches that what is desired in domain example is complete.',
      ],
      next: ['rivera domains set example --ttl 2m', 'rivera logs hello/0'],
    });
    expect(story({ desired: undefined, domainIsFresh: true })[1]).toBe(
      '   Nobody desires it: it is about to be stopped.',
    );
  });

  it('tells of what is not there', () => {
    expect(tell({ desired: lrp({ instances: 0 }) }, [])).toMatchObject({
      lines: [expect.stringContaining('with no instances: there is nothing to run.')],
      next: ['rivera lrp show hello'],
    });
    expect(story({ desired: lrp({ instances: 1 }) }, [])).toEqual([
      '#0 has no record of its own; a wanted one is made at the next audit.',
    ]);
  });

  it('tells of ten instances, those in trouble first, and counts the rest', () => {
    const many = Array.from({ length: 30 }, (_, i) =>
      i % 2 === 1 && i > 10 ? instance(i, { ...away, state: UNCLAIMED }) : running(i),
    );
    const lines = story({ desired: lrp({ instances: 30 }) }, many);
    expect(lines.filter((line) => line.startsWith('#')).map((line) => line.split(' ')[0])).toEqual(
      [11, 13, 15, 17, 19, 21, 23, 25, 27, 29].map((index) => `#${index}`),
    );
    expect(lines.at(-1)).toBe('20 more instances, all well.');
    const allDown = many.map((_, i) => instance(i, { ...away, state: UNCLAIMED }));
    expect(story({}, allDown).at(-1)).toBe('20 more instances, 20 of them in trouble.');
  });

  it('of one instance is about that alone', () => {
    expect(tell({ index: 1, desired: lrp({ instances: 3 }) }, [running(1)]).lines).toEqual([
      `hello is an LRP of domain example, desired since ${at(7_200_000, '2h')}, with 3 instances.`,
      '',
      '#1 has been running on cell-1 for 60s, at 10.0.0.1:61002.',
    ]);
  });
});
