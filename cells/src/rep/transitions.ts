import type { NetInfo } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { PreferredAddress } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import type { ContainerNetwork, ContainerRecord } from '../executor/executor.js';
import type { LrpStep, TaskStep } from './decide.js';
import type { TransitionContent } from './outbox.js';
import type { LrpInstance, TaskExecution } from './work.js';

/** Steps that ask the BBS something. */
export type LrpReport = Extract<LrpStep, { do: 'claim' | 'announce' | 'crash' | 'remove' }>;

/** What the BBS is told about an instance. */
export function lrpTransition(
  step: LrpReport,
  { key, instanceGuid }: LrpInstance,
  container: ContainerRecord | undefined,
): TransitionContent {
  switch (step.do) {
    case 'claim':
      return { $case: 'lrpClaimed', value: { key, instanceGuid, includeDefinition: step.includeDefinition } };
    case 'announce':
      return {
        $case: 'lrpRunning',
        value: {
          key,
          instanceGuid,
          netInfo: netInfoOf(container?.network),
          internalRoutes: (container?.internalRoutes ?? []).map((hostname) => ({ hostname })),
          metricTags: { ...container?.metricTags },
          routable: container?.routable ?? false,
        },
      };
    case 'crash':
      return { $case: 'lrpCrashed', value: { key, instanceGuid, reason: step.reason } };
    case 'remove':
      return { $case: 'lrpRemoved', value: { key, instanceGuid } };
  }
}

/** Steps of a Task that can be told at once; a completion with a result file is told by `task-result.ts`. */
export type TaskReport = Extract<TaskStep, { do: 'start' | 'reject' | 'complete' }>;

/** What the BBS is told about an execution. */
export function taskTransition(step: TaskReport, { taskGuid, executionGuid }: TaskExecution): TransitionContent {
  switch (step.do) {
    case 'start':
      return { $case: 'taskStarted', value: { taskGuid, executionGuid, includeDefinition: step.includeDefinition } };
    case 'reject':
      return { $case: 'taskRejected', value: { taskGuid, executionGuid, reason: step.reason } };
    case 'complete':
      return {
        $case: 'taskCompleted',
        value: { taskGuid, executionGuid, failed: true, failureReason: step.failure, result: '' },
      };
  }
}

function netInfoOf(network: ContainerNetwork | undefined): NetInfo {
  return {
    address: network?.hostAddress ?? '',
    ports: (network?.ports ?? []).map(({ containerPort, hostPort }) => ({
      containerPort,
      hostPort,
      containerTlsProxyPort: 0,
      hostTlsProxyPort: 0,
    })),
    instanceAddress: network?.containerAddress ?? '',
    preferredAddress: PreferredAddress.UNSPECIFIED,
    instanceIpv6Address: '',
  };
}
