import { status } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import type { ContainerRecord, ContainerState, RunResult } from '../executor/executor.js';
import {
  decideLrp,
  decideTask,
  judge,
  type KnownLrp,
  type KnownTask,
  type LrpStep,
  lrpStandingAfter,
  type TaskStep,
  taskStandingAfter,
} from './decide.js';

const wait = { do: 'wait' } as const;
const forget = { do: 'forget' } as const;
const remove = { do: 'remove' } as const;
const drop = { do: 'delete' } as const;
const claim = (includeDefinition: boolean) => ({ do: 'claim', includeDefinition }) as const;
const announce = { do: 'announce' } as const;
const start = { do: 'start', includeDefinition: true } as const;

function container(
  state: ContainerState,
  result?: Partial<RunResult>,
  rest?: Partial<ContainerRecord>,
): ContainerRecord {
  return {
    guid: 'a',
    state,
    tags: {},
    resources: { memoryMb: 1, diskMb: 1, containers: 1 },
    allocatedAtMs: 0,
    routable: state === 'running',
    internalRoutes: [],
    metricTags: {},
    ...(state === 'completed'
      ? {
          result: {
            failed: true,
            failureReason: 'APP: Exited with status 3',
            retryable: false,
            stopped: false,
            ...result,
          },
        }
      : {}),
    ...rest,
  };
}

const up = container('running');

describe('an instance of an LRP', () => {
  const crash = { do: 'crash', reason: 'APP: Exited with status 3' } as const;
  const table: [string, ContainerRecord | undefined, Record<KnownLrp['standing'], LrpStep>][] = [
    [
      'without a container',
      undefined,
      { unknown: forget, presumed: remove, claimed: remove, running: remove, released: forget },
    ],
    [
      'reserved',
      container('reserved'),
      { unknown: claim(true), presumed: claim(true), claimed: wait, running: wait, released: drop },
    ],
    [
      'initializing',
      container('initializing'),
      { unknown: claim(false), presumed: claim(false), claimed: wait, running: wait, released: drop },
    ],
    [
      'created',
      container('created'),
      { unknown: claim(false), presumed: claim(false), claimed: wait, running: wait, released: drop },
    ],
    ['running', up, { unknown: announce, presumed: announce, claimed: announce, running: announce, released: drop }],
    [
      'stopped',
      container('completed', { stopped: true }),
      { unknown: remove, presumed: remove, claimed: remove, running: remove, released: drop },
    ],
    [
      'ended',
      container('completed'),
      { unknown: crash, presumed: crash, claimed: crash, running: crash, released: drop },
    ],
  ];
  for (const [name, record, row] of table) {
    for (const [standing, step] of Object.entries(row) as [KnownLrp['standing'], LrpStep][]) {
      it(`${name}, ${standing} at the BBS: ${step.do}`, () => {
        expect(decideLrp(record, { standing })).toEqual(step);
      });
    }
  }

  it('is announced once, and again when something that the BBS shows changed', () => {
    const known: KnownLrp = { standing: 'running', announced: up };
    expect(decideLrp(up, known)).toEqual(wait);
    expect(decideLrp({ ...up, internalRoutes: [], metricTags: {} }, known)).toEqual(wait);
    expect(decideLrp({ ...up, routable: false }, known)).toEqual(announce);
    expect(decideLrp({ ...up, internalRoutes: ['a.internal'] }, known)).toEqual(announce);
    expect(decideLrp({ ...up, metricTags: { a: 'b' } }, known)).toEqual(announce);
    const network = { hostAddress: '10.0.0.1', containerAddress: '10.1.0.2', ports: [] };
    expect(decideLrp({ ...up, network }, known)).toEqual(announce);
  });

  it('that was acknowledged on an earlier session is claimed or announced once more, without a definition', () => {
    const again = { standing: 'claimed', repeat: true } as const;
    for (const state of ['reserved', 'initializing', 'created'] as const) {
      expect(decideLrp(container(state), again)).toEqual(claim(false));
    }
    expect(decideLrp(up, { standing: 'running', announced: up, repeat: true })).toEqual(announce);
    expect(decideLrp(container('completed'), { ...again, standing: 'running' })).toEqual(crash);
    expect(decideLrp(undefined, again)).toEqual(remove);
    expect(decideLrp(up, { standing: 'released', repeat: true })).toEqual(drop);
    expect(decideLrp(container('reserved'), { standing: 'presumed', repeat: true })).toEqual(claim(true));
  });

  it('that exits cleanly is a crash with an empty reason', () => {
    const clean = container('completed', { failed: false, failureReason: '' });
    expect(decideLrp(clean, { standing: 'running' })).toEqual({ do: 'crash', reason: '' });
  });

  it('whose definition can not be run crashes with the cause; one whose run was refused is removed', () => {
    const reserved = container('reserved');
    const broken = { kind: 'definition', reason: 'unrecognized volume mount mode' } as const;
    expect(decideLrp(reserved, { standing: 'claimed', runFailure: broken })).toEqual({
      do: 'crash',
      reason: broken.reason,
    });
    expect(decideLrp(reserved, { standing: 'claimed', runFailure: { kind: 'refused', reason: 'x' } })).toEqual(remove);
  });
});

describe('an execution of a Task', () => {
  const ended = container('completed');
  const complete = { do: 'complete', failure: 'APP: Exited with status 3', result: ended.result as RunResult } as const;
  const reject = { do: 'reject', reason: 'APP: Exited with status 3' } as const;
  const noContainer = { do: 'complete', failure: 'task container does not exist' } as const;
  const retryable = container('completed', { retryable: true });
  const table: [string, ContainerRecord | undefined, Record<KnownTask['standing'], TaskStep>][] = [
    [
      'without a container',
      undefined,
      { unknown: forget, presumed: noContainer, started: noContainer, released: forget },
    ],
    ['reserved', container('reserved'), { unknown: start, presumed: start, started: wait, released: drop }],
    ['initializing', container('initializing'), { unknown: start, presumed: start, started: wait, released: drop }],
    ['created', container('created'), { unknown: start, presumed: start, started: wait, released: drop }],
    ['running', up, { unknown: start, presumed: start, started: wait, released: drop }],
    ['ended', ended, { unknown: reject, presumed: start, started: complete, released: drop }],
    ['ended before any code ran', retryable, { unknown: reject, presumed: start, started: reject, released: drop }],
  ];
  for (const [name, record, row] of table) {
    for (const [standing, step] of Object.entries(row) as [KnownTask['standing'], TaskStep][]) {
      it(`${name}, ${standing} at the BBS: ${step.do}`, () => {
        expect(decideTask(record, { standing })).toEqual(step);
      });
    }
  }

  it('that was acknowledged on an earlier session is started once more, without a definition, until it has ended', () => {
    const again = { standing: 'started', repeat: true } as const;
    for (const state of ['reserved', 'initializing', 'created', 'running'] as const) {
      expect(decideTask(container(state), again)).toEqual({ do: 'start', includeDefinition: false });
    }
    expect(decideTask(ended, again)).toEqual(complete);
    expect(decideTask(undefined, again)).toEqual(noContainer);
    expect(decideTask(up, { standing: 'released', repeat: true })).toEqual(drop);
    expect(decideTask(ended, { standing: 'presumed', repeat: true })).toEqual(start);
  });

  it('that waited in vain for an answer is rejected, as nothing of it ran', () => {
    const expired = container('completed', { failureReason: 'expired container' });
    for (const standing of ['unknown', 'presumed', 'started'] as const) {
      expect(decideTask(expired, { standing })).toEqual({ do: 'reject', reason: 'expired container' });
    }
  });

  it('that succeeds is completed without a reason', () => {
    const good = container('completed', { failed: false, failureReason: '' });
    expect(decideTask(good, { standing: 'started' })).toEqual({ do: 'complete', failure: '', result: good.result });
  });

  it('that can not be run fails at once', () => {
    const reserved = container('reserved');
    const refused = { kind: 'refused', reason: 'wrong state' } as const;
    expect(decideTask(reserved, { standing: 'started', runFailure: refused })).toEqual({
      do: 'complete',
      failure: 'failed to run container',
    });
    const broken = { kind: 'definition', reason: 'container cannot have empty action' } as const;
    expect(decideTask(reserved, { standing: 'started', runFailure: broken })).toEqual({
      do: 'complete',
      failure: broken.reason,
    });
  });
});

describe('an answer of the BBS', () => {
  it('is asked for again when the outcome is open, and believed when it is not', () => {
    expect(judge(status.OK)).toBe('accepted');
    for (const code of [status.UNAVAILABLE, status.DEADLINE_EXCEEDED, status.ABORTED, status.INTERNAL]) {
      expect(judge(code)).toBe('again');
    }
    for (const code of [
      status.FAILED_PRECONDITION,
      status.NOT_FOUND,
      status.ALREADY_EXISTS,
      status.PERMISSION_DENIED,
    ]) {
      expect(judge(code)).toBe('refused');
    }
    expect(judge(status.INVALID_ARGUMENT)).toBe('malformed');
  });

  it('to a claim or an announcement that is refused releases the instance', () => {
    expect(lrpStandingAfter('claim', 'accepted', 'unknown')).toBe('claimed');
    expect(lrpStandingAfter('claim', 'refused', 'unknown')).toBe('released');
    expect(lrpStandingAfter('announce', 'accepted', 'claimed')).toBe('running');
    expect(lrpStandingAfter('announce', 'refused', 'claimed')).toBe('released');
    expect(lrpStandingAfter('announce', 'malformed', 'claimed')).toBe('claimed');
    expect(lrpStandingAfter('claim', 'again', 'unknown')).toBe('unknown');
  });

  it('to an end releases the work, whatever it is', () => {
    for (const verdict of ['accepted', 'refused', 'malformed'] as const) {
      expect(lrpStandingAfter('crash', verdict, 'running')).toBe('released');
      expect(lrpStandingAfter('remove', verdict, 'running')).toBe('released');
      expect(taskStandingAfter('complete', { verdict, shouldStart: false }, 'started')).toBe('released');
    }
  });

  it('lets a Task start only when it says so', () => {
    expect(taskStandingAfter('start', { verdict: 'accepted', shouldStart: true }, 'unknown')).toBe('started');
    expect(taskStandingAfter('start', { verdict: 'accepted', shouldStart: false }, 'unknown')).toBe('released');
    expect(taskStandingAfter('start', { verdict: 'refused', shouldStart: true }, 'unknown')).toBe('released');
  });

  it('never brings back what was given up', () => {
    expect(lrpStandingAfter('claim', 'accepted', 'released')).toBe('released');
    expect(taskStandingAfter('start', { verdict: 'accepted', shouldStart: true }, 'released')).toBe('released');
  });
});
