import type { Transition } from '@rivera/gen/rivera/bbs/v1/session_service';

export type CellReport = Transition['transition'];

/** What cells say of instance 0 of an LRP, in a container that is named after it. */
export function claimed(processGuid: string): CellReport {
  return { $case: 'lrpClaimed', value: { ...instanceOf(processGuid), includeDefinition: false } };
}

export function running(processGuid: string): CellReport {
  return {
    $case: 'lrpRunning',
    value: {
      ...instanceOf(processGuid),
      netInfo: {
        address: '10.0.0.1',
        ports: [{ containerPort: 8080, hostPort: 61_001, containerTlsProxyPort: 0, hostTlsProxyPort: 0 }],
        instanceAddress: '10.254.0.2',
        preferredAddress: 0,
        instanceIpv6Address: '',
      },
      internalRoutes: [],
      metricTags: {},
      routable: true,
    },
  };
}

export function crashed(processGuid: string): CellReport {
  return { $case: 'lrpCrashed', value: { ...instanceOf(processGuid), reason: 'exit status 1' } };
}

export function taskStarted(taskGuid: string): CellReport {
  return { $case: 'taskStarted', value: { taskGuid, executionGuid: `e-${taskGuid}`, includeDefinition: false } };
}

export function taskCompleted(taskGuid: string): CellReport {
  const ended = { failed: false, failureReason: '', result: 'done' };
  return { $case: 'taskCompleted', value: { taskGuid, executionGuid: `e-${taskGuid}`, ...ended } };
}

function instanceOf(processGuid: string) {
  return { key: { processGuid, index: 0, domain: 'bench' }, instanceGuid: `i-${processGuid}` };
}
