import { TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import { beforeEach, describe, expect, it } from 'vitest';
import type { TaskRow } from './model.js';
import { cancelTask, deleteTask, resolveTask, retryTaskCallback } from './task.js';
import { postponeCallback } from './task-callback.js';
import { CoreBench } from './testing.js';

const HOUR_MS = 3_600_000;
const WEEK_MS = 168 * HOUR_MS;
const CALLBACK = { kind: 'callback', taskGuid: 't' };

let bbs: CoreBench;
beforeEach(() => {
  bbs = new CoreBench();
});

const task = (guid = 't') => bbs.state.tasks.get(guid);
const run = (decide: typeof resolveTask, guid = 't') => bbs.run((draft) => decide(draft, guid));

function ended(guid = 't'): void {
  bbs.task(guid, { callbackUrl: 'http://127.0.0.1/' });
  run(cancelTask, guid);
}

function failDelivery(error = 'HTTP 500', guid = 't'): void {
  run(resolveTask, guid);
  bbs.run((draft) => postponeCallback(draft, guid, error));
}

/** A Task whose callback was tried once, and given up an hour after its end. */
function deadLetter(guid = 't'): TaskRow {
  ended(guid);
  failDelivery('HTTP 500', guid);
  bbs.pass(HOUR_MS);
  return task(guid) as TaskRow;
}

describe('a callback', () => {
  it('is asked for at completion, and again after a failure, with growing pauses', () => {
    ended();
    expect(bbs.effects).toEqual([CALLBACK]);
    for (const pauseMs of [1_000, 2_000, 4_000]) {
      failDelivery();
      expect(bbs.pass(pauseMs - 1)).toEqual([]);
      expect(bbs.pass(1)).toEqual([CALLBACK]);
    }
  });

  it('is asked for again when nobody took it up', () => {
    ended();
    expect(bbs.pass(29_999)).toEqual([]);
    expect(bbs.pass(1)).toEqual([CALLBACK]);
  });

  it('says why it failed last, in less than 256 bytes', () => {
    ended();
    failDelivery('HTTP 500');
    expect(task()).toMatchObject({ callbackAttempts: 1, callbackError: 'HTTP 500' });
    failDelivery('é'.repeat(1_000));
    expect(task()?.callbackAttempts).toBe(2);
    expect(Buffer.byteLength(task()?.callbackError ?? '')).toBeLessThan(256);
  });
});

describe('a callback that is not delivered for an hour', () => {
  it('makes a dead letter: the Task stays, and nobody is called any more', () => {
    ended();
    failDelivery();
    const endedAtMs = bbs.now;
    bbs.pass(HOUR_MS - 1);
    expect(task()?.callbackGivenUpAtMs).toBe(0);
    bbs.pass(1);
    expect(task()).toMatchObject({
      state: TaskState.COMPLETED,
      callbackGivenUpAtMs: endedAtMs + HOUR_MS,
      nextCallbackAtMs: 0,
      callbackAttempts: 1,
      callbackError: 'HTTP 500',
      failureReason: 'task was cancelled',
    });
    expect(bbs.pass(HOUR_MS)).toEqual([]);
  });

  it('is kept for seven days, then forgotten', () => {
    deadLetter();
    bbs.pass(WEEK_MS - 1);
    expect(task()).toBeDefined();
    bbs.pass(1);
    expect(task()).toBeUndefined();
    expect(bbs.state.deadLetters.size).toBe(0);
  });

  it('leaves the result to clients: who takes it, and who goes away with it', () => {
    const letter = deadLetter();
    run(resolveTask);
    expect(bbs.state.deadLetters.size).toBe(0);
    bbs.pass(30_000);
    expect(task()).toMatchObject({ state: TaskState.COMPLETED, callbackGivenUpAtMs: letter.callbackGivenUpAtMs });
    expect(bbs.state.deadLetters.size).toBe(1);
    expect(bbs.pass(HOUR_MS)).toEqual([]);
    run(resolveTask);
    bbs.run((draft) => deleteTask(draft, 't'));
    expect(task()).toBeUndefined();
  });
});

describe('an operator', () => {
  it('has a dead letter tried at once, and for the whole retention', () => {
    deadLetter();
    const retried = run(retryTaskCallback);
    expect(bbs.effects).toEqual([CALLBACK]);
    expect(retried).toMatchObject({
      callbackGivenUpAtMs: 0,
      callbackAttempts: 0,
      callbackRetriedAtMs: bbs.now,
      nextCallbackAtMs: bbs.now,
      callbackError: 'HTTP 500',
    });
    failDelivery('HTTP 503');
    bbs.pass(HOUR_MS - 1);
    expect(task()).toMatchObject({ callbackGivenUpAtMs: 0, callbackError: 'HTTP 503' });
    bbs.pass(1);
    expect(task()?.callbackGivenUpAtMs).toBe(bbs.now);
  });

  it('has one that waits for its next attempt tried at once', () => {
    ended();
    for (let attempt = 0; attempt < 8; attempt++) failDelivery();
    expect(task()?.nextCallbackAtMs).toBe(bbs.now + 60_000);
    run(retryTaskCallback);
    expect(bbs.effects).toEqual([CALLBACK]);
    failDelivery();
    expect(task()?.nextCallbackAtMs).toBe(bbs.now + 1_000);
  });

  it('is refused where there is nothing to try', () => {
    expect(bbs.refusal((draft) => retryTaskCallback(draft, 't'))).toBe('TASK_NOT_FOUND');
    bbs.task('silent');
    expect(bbs.refusal((draft) => retryTaskCallback(draft, 'silent'))).toBe('TASK_HAS_NO_CALLBACK');
    bbs.task('t', { callbackUrl: 'http://127.0.0.1/' });
    expect(bbs.refusal((draft) => retryTaskCallback(draft, 't'))).toBe('INVALID_STATE_TRANSITION');
    expect(() => run(retryTaskCallback)).toThrow('once the Task is Completed, not Pending');
    run(cancelTask);
    run(resolveTask);
    expect(bbs.refusal((draft) => retryTaskCallback(draft, 't'))).toBe('INVALID_STATE_TRANSITION');
  });
});

describe('of too many dead letters', () => {
  beforeEach(() => {
    bbs = new CoreBench({ maxDeadLetters: 2 });
  });

  it('the oldest go', () => {
    for (const guid of ['c', 'a', 'b']) {
      deadLetter(guid);
      bbs.pass(1);
    }
    expect([...bbs.state.tasks.keys()]).toEqual(['a', 'b']);
  });

  it('none goes while a client takes its result, and it may be one too many when it comes back', () => {
    deadLetter('a');
    run(resolveTask, 'a');
    bbs.now += 1;
    for (const guid of ['b', 'c']) {
      ended(guid);
      bbs.run((draft) => draft.putTask({ ...(task(guid) as TaskRow), callbackRetriedAtMs: bbs.now - HOUR_MS }));
    }
    bbs.pass(1_000);
    expect([...bbs.state.tasks.keys()]).toEqual(['a', 'b', 'c']);
    bbs.pass(30_000);
    expect([...bbs.state.tasks.keys()]).toEqual(['b', 'c']);
  });
});
