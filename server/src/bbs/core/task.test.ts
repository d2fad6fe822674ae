import { TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import { beforeEach, describe, expect, it } from 'vitest';
import { reconcileInventory } from './cell.js';
import { cancelTask, completeTask, deleteTask, rejectTask, resolveTask, startTask } from './task.js';
import { CoreBench } from './testing.js';

let bbs: CoreBench;
const succeeded = { failed: false, failureReason: '', result: 'done' };

beforeEach(() => {
  bbs = new CoreBench();
  bbs.cell('cell-1');
});

const state = (guid: string) => bbs.state.tasks.get(guid)?.state;
const start = (guid: string, cellId = 'cell-1', executionGuid = 'e1') =>
  bbs.run((draft) => startTask(draft, guid, cellId, executionGuid));

describe('desire', () => {
  it('makes a PENDING task and asks for a placement', () => {
    const task = bbs.task('t');
    expect(task).toMatchObject({
      state: TaskState.PENDING,
      createdAtMs: bbs.now,
      updatedAtMs: bbs.now,
      rejectionCount: 0,
    });
    expect(bbs.effects).toEqual([{ kind: 'auction-task', taskGuid: 't' }]);
  });

  it('answers the same request again with the same task, and a different one with a conflict', () => {
    const first = bbs.task('t');
    expect(bbs.task('t')).toBe(first);
    expect(() => bbs.task('t', { definitionDigest: 'y' })).toThrow(/exists already/);
    expect(() => bbs.task('t', { domain: 'other' })).toThrow(/exists already/);
  });
});

describe('start', () => {
  it('gives the task to one execution only', () => {
    bbs.task('t');
    start('t');
    expect(bbs.refusal((draft) => startTask(draft, 't', 'cell-1', 'e2'))).toBe('INVALID_STATE_TRANSITION');
    expect(bbs.refusal((draft) => startTask(draft, 't', 'cell-2', 'e1'))).toBe('INVALID_STATE_TRANSITION');
  });

  it('repeats its answer to the execution that has it, whose first answer may have been lost', () => {
    bbs.task('t');
    const first = start('t');
    expect(start('t')).toBe(first);
  });

  it('is refused once the task has ended', () => {
    bbs.task('t');
    bbs.run((draft) => cancelTask(draft, 't'));
    expect(bbs.refusal((draft) => startTask(draft, 't', 'cell-1', 'e1'))).toBe('INVALID_STATE_TRANSITION');
  });
});

describe('complete', () => {
  it('keeps the result, clears the cell and remembers when', () => {
    bbs.task('t');
    start('t');
    const task = bbs.run((draft) => completeTask(draft, 't', { cellId: 'cell-1', executionGuid: 'e1' }, succeeded));
    expect(task).toMatchObject({ state: TaskState.COMPLETED, cellId: '', result: 'done', firstCompletedAtMs: bbs.now });
    expect(bbs.state.tasksOnCell('cell-1').size).toBe(0);
  });

  it('is refused to whoever does not run it', () => {
    bbs.task('t');
    start('t');
    const by = { cellId: 'cell-2', executionGuid: 'e1' };
    expect(bbs.refusal((draft) => completeTask(draft, 't', by, succeeded))).toBe('RUNNING_ON_DIFFERENT_CELL');
    const other = { cellId: 'cell-1', executionGuid: 'e2' };
    expect(bbs.refusal((draft) => completeTask(draft, 't', other, succeeded))).toBe('RUNNING_ON_DIFFERENT_CELL');
  });

  it('may be told twice by the one who ran it', () => {
    bbs.task('t');
    start('t');
    const by = { cellId: 'cell-1', executionGuid: 'e1' };
    bbs.run((draft) => completeTask(draft, 't', by, succeeded));
    const again = bbs.run((draft) => completeTask(draft, 't', by, { failed: true, failureReason: 'x', result: '' }));
    expect(again).toMatchObject({ failed: false, result: 'done' });
  });

  it('can not undo a cancellation', () => {
    bbs.task('t');
    start('t');
    bbs.run((draft) => cancelTask(draft, 't'));
    const by = { cellId: 'cell-1', executionGuid: 'e1' };
    const task = bbs.run((draft) => completeTask(draft, 't', by, succeeded));
    expect(task).toMatchObject({ failed: true, failureReason: 'task was cancelled' });
  });
});

describe('cancel', () => {
  it('fails a waiting task without telling any cell', () => {
    bbs.task('t');
    bbs.run((draft) => cancelTask(draft, 't'));
    expect(bbs.state.tasks.get('t')).toMatchObject({ failed: true, failureReason: 'task was cancelled', result: '' });
    expect(bbs.effects).toEqual([]);
  });

  it('tells the cell of a running one', () => {
    bbs.task('t');
    start('t');
    bbs.run((draft) => cancelTask(draft, 't'));
    expect(bbs.effects).toContainEqual({ kind: 'cancel-task', cellId: 'cell-1', taskGuid: 't', executionGuid: 'e1' });
  });

  it('is refused once it has ended', () => {
    bbs.task('t');
    bbs.run((draft) => cancelTask(draft, 't'));
    expect(bbs.refusal((draft) => cancelTask(draft, 't'))).toBe('INVALID_STATE_TRANSITION');
  });
});

describe('an inventory', () => {
  const held = { lrps: [], tasks: [{ taskGuid: 't', executionGuid: 'e1' }] };
  const told = () => {
    bbs.run((draft) => reconcileInventory(draft, 'cell-1', held));
    return bbs.effects;
  };
  const CANCEL = { kind: 'cancel-task', cellId: 'cell-1', taskGuid: 't', executionGuid: 'e1' };

  it('that names what the cell may have is left alone', () => {
    bbs.task('t');
    expect(told()).toEqual([]);
    start('t');
    expect(told()).toEqual([]);
  });

  it('that names a task which was cancelled, or failed with its cell, has it cancelled again: the first word may be lost', () => {
    bbs.task('t');
    start('t');
    bbs.run((draft) => cancelTask(draft, 't'));
    expect(told()).toEqual([CANCEL]);
    bbs.run((draft) => resolveTask(draft, 't'));
    expect(told()).toEqual([CANCEL]);
    bbs.run((draft) => deleteTask(draft, 't'));
    expect(told()).toEqual([CANCEL]);
  });

  it('that lacks a running task fails it', () => {
    bbs.task('t');
    start('t');
    bbs.run((draft) => reconcileInventory(draft, 'cell-1', { lrps: [], tasks: [] }));
    expect(bbs.state.tasks.get('t')).toMatchObject({ failed: true, failureReason: 'task container does not exist' });
  });
});

describe('reject', () => {
  it('leaves the task PENDING three times and fails it the fourth', () => {
    bbs.task('t');
    for (let count = 1; count <= 3; count++) {
      bbs.run((draft) => rejectTask(draft, 't', `no room ${count}`));
      expect(bbs.state.tasks.get('t')).toMatchObject({ state: TaskState.PENDING, rejectionCount: count });
    }
    bbs.run((draft) => rejectTask(draft, 't', 'no room 4'));
    expect(bbs.state.tasks.get('t')).toMatchObject({
      state: TaskState.COMPLETED,
      failed: true,
      failureReason: 'no room 4',
      rejectionCount: 4,
    });
  });

  it('offers it again after a pause that grows', () => {
    bbs.task('t');
    bbs.run((draft) => rejectTask(draft, 't', 'no room'));
    expect(bbs.effects).toEqual([]);
    const offer = { kind: 'auction-task', taskGuid: 't' };
    expect(bbs.pass(4_999)).not.toContainEqual(offer);
    expect(bbs.pass(1)).toContainEqual(offer);
    bbs.run((draft) => rejectTask(draft, 't', 'no room'));
    expect(bbs.pass(9_999)).not.toContainEqual(offer);
    expect(bbs.pass(1)).toContainEqual(offer);
  });

  it('takes a running task back from its cell, which forgets it', () => {
    bbs.task('t');
    start('t');
    bbs.run((draft) => rejectTask(draft, 't', 'image broken', { cellId: 'cell-1', executionGuid: 'e1' }));
    expect(bbs.state.tasks.get('t')).toMatchObject({ state: TaskState.PENDING, cellId: '', rejectionCount: 1 });
    bbs.run((draft) => rejectTask(draft, 't', 'told again', { cellId: 'cell-1', executionGuid: 'e1' }));
    expect(bbs.state.tasks.get('t')?.rejectionCount).toBe(1);
    const stranger = { cellId: 'cell-2', executionGuid: 'e9' };
    start('t', 'cell-1', 'e2');
    expect(bbs.refusal((draft) => rejectTask(draft, 't', 'x', stranger))).toBe('RUNNING_ON_DIFFERENT_CELL');
  });

  it('of an auctioneer that learns late that somebody runs it changes nothing', () => {
    bbs.task('t');
    start('t');
    expect(bbs.refusal((draft) => rejectTask(draft, 't', 'no cell'))).toBe('RUNNING_ON_DIFFERENT_CELL');
    expect(bbs.state.tasks.get('t')).toMatchObject({ state: TaskState.RUNNING, cellId: 'cell-1', rejectionCount: 0 });
  });
});

describe('resolve and delete', () => {
  it('lets one party take the result, then forgets the task', () => {
    bbs.task('t');
    expect(bbs.refusal((draft) => resolveTask(draft, 't'))).toBe('INVALID_STATE_TRANSITION');
    bbs.run((draft) => cancelTask(draft, 't'));
    expect(bbs.refusal((draft) => deleteTask(draft, 't'))).toBe('INVALID_STATE_TRANSITION');
    bbs.run((draft) => resolveTask(draft, 't'));
    expect(bbs.refusal((draft) => resolveTask(draft, 't'))).toBe('INVALID_STATE_TRANSITION');
    bbs.run((draft) => deleteTask(draft, 't'));
    expect(bbs.refusal((draft) => resolveTask(draft, 't'))).toBe('TASK_NOT_FOUND');
  });

  it('gives the result back when whoever took it went away', () => {
    bbs.task('t');
    bbs.run((draft) => cancelTask(draft, 't'));
    bbs.run((draft) => resolveTask(draft, 't'));
    bbs.pass(30_000);
    expect(state('t')).toBe(TaskState.COMPLETED);
  });
});

describe('time', () => {
  it('fails a task that nobody took within its limit', () => {
    bbs.task('t');
    bbs.pass(1_799_999);
    expect(state('t')).toBe(TaskState.PENDING);
    bbs.pass(1);
    expect(bbs.state.tasks.get('t')).toMatchObject({ failed: true, failureReason: 'not started within time limit' });
  });

  it('offers a waiting task again every 30 s, in case the offer was lost', () => {
    bbs.task('t');
    const offer = { kind: 'auction-task', taskGuid: 't' };
    expect(bbs.pass(29_999)).not.toContainEqual(offer);
    expect(bbs.pass(1)).toContainEqual(offer);
    expect(bbs.pass(30_000)).toContainEqual(offer);
  });

  it('forgets a completed task after 120 s', () => {
    bbs.task('t');
    bbs.run((draft) => cancelTask(draft, 't'));
    bbs.pass(119_999);
    expect(state('t')).toBe(TaskState.COMPLETED);
    bbs.pass(1);
    expect(state('t')).toBeUndefined();
  });

  it('fails the tasks of a cell that is gone, and never runs them again', () => {
    bbs.task('t');
    start('t');
    bbs.pass(15_000);
    expect(bbs.state.tasks.get('t')).toMatchObject({
      failed: true,
      failureReason: 'cell disappeared before completion',
    });
    expect(bbs.refusal((draft) => startTask(draft, 't', 'cell-1', 'e1'))).toBe('INVALID_STATE_TRANSITION');
  });
});
