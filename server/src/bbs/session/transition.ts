import type { ActualLrpKey } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import type { LrpRunning, Transition, TransitionAck } from '@rivera/gen/rivera/bbs/v1/session_service';
import { RiveraError } from '@rivera/kit/errors';
import {
  claimActualLrp,
  crashActualLrp,
  declineWhileDraining,
  removeActualLrp,
  runActualLrp,
} from '../core/actual-lrp.js';
import type { Draft, InstanceRef } from '../core/draft.js';
import { completeTask, rejectTask, startTask } from '../core/task.js';

/** Where a transition comes from. */
export interface Speaker {
  readonly cellId: string;
  readonly zone: string;
}

/** Which payload the acknowledgement is to carry. */
export type WantedPayload = { kind: 'run-info' | 'task-definition'; guid: string } | undefined;

/** Applies one transition. @throws RiveraError when the BBS does not agree */
export function applyTransition(
  draft: Draft,
  speaker: Speaker,
  transition: Transition['transition'],
): Partial<Pick<TransitionAck, 'shouldStart' | 'code' | 'reason' | 'message'>> {
  switch (transition?.$case) {
    case 'lrpClaimed':
      return claim(draft, reference(speaker, transition.value));
    case 'lrpRunning':
      runActualLrp(draft, reference(speaker, transition.value), runningFacts(speaker, transition.value));
      return {};
    case 'lrpCrashed':
      crashActualLrp(draft, reference(speaker, transition.value), transition.value.reason);
      return {};
    case 'lrpRemoved':
      removeActualLrp(draft, reference(speaker, transition.value));
      return {};
    case 'taskStarted': {
      const { taskGuid, executionGuid } = transition.value;
      requireShort('task_started.execution_guid', executionGuid);
      startTask(draft, taskGuid, speaker.cellId, executionGuid);
      return { shouldStart: true };
    }
    case 'taskRejected': {
      const { taskGuid, executionGuid, reason } = transition.value;
      if (reason === '') throw invalid('task_rejected.reason', 'is required');
      rejectTask(draft, taskGuid, reason, { cellId: speaker.cellId, executionGuid });
      return {};
    }
    case 'taskCompleted': {
      const { taskGuid, executionGuid, failed, failureReason, result } = transition.value;
      if (Buffer.byteLength(result) > MAX_RESULT_BYTES) {
        throw invalid('task_completed.result', `has more than ${MAX_RESULT_BYTES} bytes`);
      }
      completeTask(draft, taskGuid, { cellId: speaker.cellId, executionGuid }, { failed, failureReason, result });
      return {};
    }
    case undefined:
      throw invalid('transition', 'is required');
  }
}

/** A refusal that is returned and not thrown keeps what was decided with it. */
function claim(draft: Draft, ref: InstanceRef): Partial<TransitionAck> {
  const declined = declineWhileDraining(draft, ref);
  if (declined !== undefined) return { code: declined.code, reason: declined.reason, message: declined.message };
  claimActualLrp(draft, ref);
  return {};
}

const MAX_RESULT_BYTES = 51_200;
const MAX_LIST = 1_000;
const MAX_LONG_TEXT = 1_024;

/** The payload that an acknowledgement of this transition carries. */
export function wantedPayload(transition: Transition['transition']): WantedPayload {
  if (transition?.$case === 'lrpClaimed' && transition.value.includeDefinition) {
    return { kind: 'run-info', guid: transition.value.key?.processGuid ?? '' };
  }
  if (transition?.$case === 'taskStarted' && transition.value.includeDefinition) {
    return { kind: 'task-definition', guid: transition.value.taskGuid };
  }
  return undefined;
}

function reference(speaker: Speaker, said: { key: ActualLrpKey | undefined; instanceGuid: string }): InstanceRef {
  if (said.key === undefined) throw invalid('key', 'is required');
  const { processGuid, index, domain } = said.key;
  requireShort('key.process_guid', processGuid);
  requireShort('key.domain', domain);
  requireShort('instance_guid', said.instanceGuid);
  // Names of records are made of these.
  if (processGuid.includes('/')) throw invalid('key.process_guid', 'must not contain "/"');
  if (said.instanceGuid.includes('/')) throw invalid('instance_guid', 'must not contain "/"');
  if (index < 0) throw invalid('key.index', 'must be at least 0');
  return { processGuid, index, domain, instanceGuid: said.instanceGuid, cellId: speaker.cellId };
}

function runningFacts(speaker: Speaker, said: LrpRunning) {
  if (said.netInfo === undefined) throw invalid('net_info', 'is required');
  requireShort('net_info.address', said.netInfo.address);
  const { ports, instanceAddress, instanceIpv6Address } = said.netInfo;
  const tags = Object.entries(said.metricTags).flat();
  const texts = [instanceAddress, instanceIpv6Address, ...said.internalRoutes.map((route) => route.hostname), ...tags];
  if (ports.length > MAX_LIST || texts.length > 4 * MAX_LIST) throw invalid('lrp_running', 'has too many entries');
  if (texts.some((text) => text.length > MAX_LONG_TEXT)) throw invalid('lrp_running', 'has a text that is too long');
  return {
    netInfo: said.netInfo,
    internalRoutes: said.internalRoutes.map((route) => route.hostname),
    metricTags: said.metricTags,
    routable: said.routable,
    availabilityZone: speaker.zone,
  };
}

function requireShort(field: string, text: string): void {
  if (text === '' || text.length > 255) throw invalid(field, 'must have 1..255 characters');
}

function invalid(field: string, description: string): RiveraError {
  return new RiveraError('INVALID_REQUEST', `${field} ${description}`, { violations: [{ field, description }] });
}
