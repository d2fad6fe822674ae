import { status } from '@grpc/grpc-js';
import type { Transition } from '@rivera/gen/rivera/bbs/v1/session_service';
import { TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import { RiveraError } from '@rivera/kit/errors';
import { beforeEach, describe, expect, it } from 'vitest';
import { evacuateCell } from '../core/cell.js';
import { CoreBench, RUNNING_FACTS } from '../core/testing.js';
import { applyTransition } from './transition.js';

type Said = Transition['transition'];

let bench: CoreBench;
beforeEach(() => {
  bench = new CoreBench();
  bench.cell('c1');
  bench.lrp('p', 1);
  bench.task('t');
});

const says = (said: Said) => bench.run((draft) => applyTransition(draft, { cellId: 'c1', zone: 'z7' }, said));

const key = { processGuid: 'p', index: 0, domain: 'd' };
const claimed = { key, instanceGuid: 'i', includeDefinition: false };
const running = {
  key,
  instanceGuid: 'i',
  netInfo: RUNNING_FACTS.netInfo,
  internalRoutes: [{ hostname: 'a.internal' }],
  metricTags: { x: 'y' },
  routable: false,
};
const started = { taskGuid: 't', executionGuid: 'e', includeDefinition: false };
const completed = { taskGuid: 't', executionGuid: 'e', failed: false, failureReason: '', result: 'r' };
const long = 'x'.repeat(256);

describe('a transition', () => {
  it('of a running instance says where it is reached; its zone is that of its cell', () => {
    says({ $case: 'lrpRunning', value: running });
    expect(bench.slot('p', 0)).toMatchObject({
      availabilityZone: 'z7',
      internalRoutes: ['a.internal'],
      metricTags: { x: 'y' },
      routable: false,
      netInfo: { address: '127.0.0.1' },
    });
  });

  it('that asks for work on a drained cell is declined, and the work is offered to the others', () => {
    bench.run((draft) => evacuateCell(draft, 'c1'));
    expect(says({ $case: 'lrpClaimed', value: claimed })).toMatchObject({
      code: status.FAILED_PRECONDITION,
      reason: 'ACTUAL_LRP_CANNOT_BE_CLAIMED',
      message: 'cannot claim p/0: cell c1 is being drained',
    });
    expect(bench.effects).toEqual([{ kind: 'auction-lrp', processGuid: 'p', index: 0 }]);
  });

  it('leads a Task from its start to its result, once', () => {
    expect(says({ $case: 'taskStarted', value: started })).toEqual({ shouldStart: true });
    says({ $case: 'taskCompleted', value: completed });
    says({ $case: 'taskCompleted', value: { ...completed, result: 'told again' } });
    expect(bench.state.tasks.get('t')).toMatchObject({ state: TaskState.COMPLETED, result: 'r', failed: false });
  });

  it('gives a Task back that the cell could not run', () => {
    says({ $case: 'taskStarted', value: started });
    says({ $case: 'taskRejected', value: { taskGuid: 't', executionGuid: 'e', reason: 'no room' } });
    expect(bench.state.tasks.get('t')).toMatchObject({ state: TaskState.PENDING, rejectionReason: 'no room' });
  });
});

describe('what is refused, with the field that breaks the rule', () => {
  const net = RUNNING_FACTS.netInfo;
  const many = (length: number) => Array.from({ length }, () => ({ hostname: 'x' }));
  const refused: [string, string, Said][] = [
    ['nothing at all', 'transition', undefined],
    ['no key', 'key', { $case: 'lrpClaimed', value: { ...claimed, key: undefined } }],
    [
      'no process',
      'key.process_guid',
      { $case: 'lrpClaimed', value: { ...claimed, key: { ...key, processGuid: '' } } },
    ],
    ['no domain', 'key.domain', { $case: 'lrpClaimed', value: { ...claimed, key: { ...key, domain: '' } } }],
    ['a negative index', 'key.index', { $case: 'lrpClaimed', value: { ...claimed, key: { ...key, index: -1 } } }],
    ['no instance', 'instance_guid', { $case: 'lrpClaimed', value: { ...claimed, instanceGuid: '' } }],
    ['an endless instance', 'instance_guid', { $case: 'lrpRemoved', value: { key, instanceGuid: long } }],
    ['no network', 'net_info', { $case: 'lrpRunning', value: { ...running, netInfo: undefined } }],
    [
      'no address',
      'net_info.address',
      { $case: 'lrpRunning', value: { ...running, netInfo: { ...net, address: '' } } },
    ],
    ['endless routes', 'lrp_running', { $case: 'lrpRunning', value: { ...running, internalRoutes: many(4_001) } }],
    [
      'an endless tag',
      'lrp_running',
      { $case: 'lrpRunning', value: { ...running, metricTags: { x: 'y'.repeat(1_025) } } },
    ],
    ['no execution', 'task_started.execution_guid', { $case: 'taskStarted', value: { ...started, executionGuid: '' } }],
    [
      'an endless execution',
      'task_started.execution_guid',
      { $case: 'taskStarted', value: { ...started, executionGuid: long } },
    ],
    [
      'no reason',
      'task_rejected.reason',
      { $case: 'taskRejected', value: { taskGuid: 't', executionGuid: 'e', reason: '' } },
    ],
    [
      'an endless result',
      'task_completed.result',
      { $case: 'taskCompleted', value: { ...completed, result: 'é'.repeat(25_601) } },
    ],
  ];

  it.each(refused)('%s: %s', (_, field, said) => {
    try {
      says(said);
    } catch (error) {
      if (!(error instanceof RiveraError)) throw error;
      expect(error.reason).toBe('INVALID_REQUEST');
      expect(error.violations.map((violation) => violation.field)).toEqual([field]);
      return;
    }
    throw new Error('it was not refused');
  });

  it('a result of 51,200 bytes is kept', () => {
    says({ $case: 'taskStarted', value: started });
    says({ $case: 'taskCompleted', value: { ...completed, result: 'é'.repeat(25_600) } });
    expect(bench.state.tasks.get('t')?.result).toHaveLength(25_600);
  });
});
