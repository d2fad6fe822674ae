import { CellState } from '@rivera/gen/rivera/bbs/v1/cell';
import { type Task, TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import { describe, expect, it } from 'vitest';
import { formatTimestamp } from '../terminal/time.js';
import { cell, NOW, task } from '../testing/fake-installation.js';
import { tellTask } from './task-story.js';

const { COMPLETED, PENDING, RESOLVING, RUNNING } = TaskState;
const ago = (ms: number) => new Date(NOW - ms);
const hence = (ms: number) => new Date(NOW + ms);
const at = (ms: number, words: string) => `${formatTimestamp(ago(ms))} (${words} ago)`;

function tell(over: Partial<Task>, on = cell('cell-1')) {
  const { lines, next } = tellTask({ task: task({ cellId: '', ...over }), cell: on }, NOW);
  expect(lines.slice(0, 2)).toEqual([`nightly is a task of domain reports, desired since ${at(180_000, '3m')}.`, '']);
  return { lines: lines.slice(2), next: next.map(({ command }) => command) };
}

const ended = { state: COMPLETED, firstCompletedAt: ago(60_000) };
const callback = { attempts: 0, nextAttemptAt: undefined, lastError: '', givenUpAt: undefined };

describe('the story of a task', () => {
  it('that waits tells why, when it is offered again, and when it fails', () => {
    const rejected = { rejectionCount: 2, rejectionReason: 'found no compatible cell', nextAttemptAt: hence(12_000) };
    expect(tell({ state: PENDING, ...rejected, expiresAt: hence(1_620_000) })).toEqual({
      lines: [
        'It has been waiting for a cell for 3m.',
        'So far 2 placements failed, the last one because: found no compatible cell.',
        'It is offered to the cells again in 12s.',
        'When no cell has taken it, it fails in 27m.',
      ],
      next: ['rivera cells', 'rivera task cancel nightly', 'rivera task show nightly'],
    });
    expect(tell({ state: PENDING }).lines[1]).toBe('No cell has refused it: it is being placed.');
  });

  it('that runs tells where, and what becomes of it when its cell is gone', () => {
    const running = { state: RUNNING, cellId: 'cell-1', updatedAt: ago(90_000) };
    expect(tell(running).lines).toEqual(['It has been running on cell-1 for 90s.']);
    const silent = { ...cell('cell-1', CellState.SILENT), lastSeenAt: ago(40_000) };
    expect(tell(running, silent)).toMatchObject({
      lines: [
        'It has been running on cell-1 for 90s.',
        expect.stringContaining('cell-1 has not been heard of for 40s, like most cells'),
        'When the cell is given up the task fails, as it must not run twice.',
      ],
      next: expect.arrayContaining(['rivera cells declare-missing cell-1']),
    });
  });

  it('that has ended tells how, and when it is forgotten', () => {
    expect(tell({ ...ended, result: '42\n', expiresAt: hence(60_000) }).lines).toEqual([
      `It succeeded ${at(60_000, '60s')}, 2 m after it was desired.`,
      'Its result: 42 ',
      'It is forgotten in 60s.',
    ]);
    const failure = { failed: true, failureReason: 'Exited with status 3' };
    expect(tell({ ...ended, ...failure, rejectionCount: 1, rejectionReason: 'no room' })).toMatchObject({
      lines: [
        `It failed ${at(60_000, '60s')}, 2 m after it was desired: Exited with status 3.`,
        'Before that 1 placement failed because: no room.',
      ],
      next: ['rivera logs nightly', 'rivera task show nightly'],
    });
    expect(tell({ ...ended, state: RESOLVING }).lines[1]).toBe('Somebody is taking its result.');
  });

  it('with a callback tells how far that is', () => {
    const told = (over: Partial<Task>) => tell({ ...ended, ...over }).lines.slice(1);
    const failed = { ...callback, attempts: 3, lastError: 'HTTP 500' };
    expect(told({ callback: { ...callback, nextAttemptAt: ago(10) } })).toEqual(['Its callback is delivered now.']);
    expect(told({ callback: { ...failed, nextAttemptAt: hence(4_000) }, expiresAt: hence(3_000_000) })).toEqual([
      'Its callback is tried again in 4s: 3 attempts failed, the last one with: HTTP 500.',
      'Without success that is given up in 50m.',
    ]);
    expect(told({ callback: failed, state: RESOLVING })).toEqual([
      'Its callback is being delivered, or a client is taking its result.',
      'Before that 3 attempts failed, the last one with: HTTP 500.',
    ]);
  });

  it('of which nobody could be told is a dead letter, and what can be done', () => {
    const letter = {
      ...callback,
      attempts: 37,
      lastError: 'connect ECONNREFUSED 10.0.0.7:80',
      givenUpAt: ago(7_200_000),
    };
    expect(tell({ ...ended, callback: letter, expiresAt: hence(6 * 86_400_000) })).toMatchObject({
      lines: [
        expect.stringContaining('It succeeded'),
        `Nobody could be told. Its callback was given up ${at(7_200_000, '2h')}: ` +
          '37 attempts failed, the last one with: connect ECONNREFUSED 10.0.0.7:80.',
        'It is a dead letter, kept until somebody looks after it. It is forgotten in 6d.',
      ],
      next: ['rivera task retry-callback nightly', 'rivera task rm nightly', 'rivera task show nightly'],
    });
    const untried = { ...callback, givenUpAt: ago(1_000) };
    expect(tell({ ...ended, callback: untried }).lines[1]).toContain('it was never tried in time.');
  });
});
