import type { ActualLrpKey } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import type { ContainerTarget } from '@rivera/gen/rivera/rep/v1/container';

/** What a container is for, as the BBS names it. The container's guid is the instance guid, or the execution guid. */
export type Work = LrpInstance | TaskExecution;

/** An instance of an LRP. */
export interface LrpInstance {
  readonly kind: 'lrp';
  readonly key: ActualLrpKey;
  readonly instanceGuid: string;
}

/** One reservation for a Task; a Task that is offered again gets another one. */
export interface TaskExecution {
  readonly kind: 'task';
  readonly taskGuid: string;
  readonly executionGuid: string;
  readonly domain: string;
}

/** Tags are how a container finds its way back to its work after a restart; names from spec cell §5. */
const TAG = {
  lifecycle: 'lifecycle',
  domain: 'domain',
  processGuid: 'process-guid',
  processIndex: 'process-index',
  instanceGuid: 'instance-guid',
  taskGuid: 'task-guid',
} as const;

/** The tags of a container for this work. */
export function tagsOf(work: Work): Record<string, string> {
  switch (work.kind) {
    case 'lrp':
      return {
        [TAG.lifecycle]: 'lrp',
        [TAG.domain]: work.key.domain,
        [TAG.processGuid]: work.key.processGuid,
        [TAG.processIndex]: String(work.key.index),
        [TAG.instanceGuid]: work.instanceGuid,
      };
    case 'task':
      return { [TAG.lifecycle]: 'task', [TAG.domain]: work.domain, [TAG.taskGuid]: work.taskGuid };
  }
}

/** What a container is for; undefined when its tags don't say. */
export function workOf(container: { guid: string; tags: Readonly<Record<string, string>> }): Work | undefined {
  const { guid, tags } = container;
  const domain = tags[TAG.domain] ?? '';
  const processGuid = tags[TAG.processGuid];
  const taskGuid = tags[TAG.taskGuid];
  const index = Number(tags[TAG.processIndex]);
  if (tags[TAG.lifecycle] === 'lrp' && processGuid && Number.isSafeInteger(index) && index >= 0) {
    return { kind: 'lrp', key: { processGuid, index, domain }, instanceGuid: guid };
  }
  if (tags[TAG.lifecycle] === 'task' && taskGuid) {
    return { kind: 'task', taskGuid, executionGuid: guid, domain };
  }
  return undefined;
}

/** How clients of the cell name this work. */
export function targetOf(container: { guid: string; tags: Readonly<Record<string, string>> }): ContainerTarget {
  const work = workOf(container);
  switch (work?.kind) {
    case 'lrp':
      return {
        target: { $case: 'instance', value: { processGuid: work.key.processGuid, index: work.key.index } },
      };
    case 'task':
      return { target: { $case: 'taskGuid', value: work.taskGuid } };
    case undefined:
      return { target: { $case: 'containerGuid', value: container.guid } };
  }
}
