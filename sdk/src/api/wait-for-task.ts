import { EventKind } from '@rivera/gen/rivera/bbs/v1/event';
import { type Task, TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import { NotFoundError } from '../errors.js';
import type { CallOptions } from '../input.js';
import type { Transport } from '../transport/transport.js';
import { type WaitOptions, within } from './waiting.js';
import { type WatchItem, watch } from './watch.js';

/** How to wait for a Task. */
export interface WaitForTaskOptions extends WaitOptions {
  /** Called with the Task as it is at first, and with every change; what it shows may lack the result and the definition. */
  onChange?: ((task: Task) => void) | undefined;
}

/** Follows one Task with a watch until it has ended. */
export async function waitForTask(
  { transport, tasks }: { transport: Transport; tasks: { get(guid: string, options?: CallOptions): Promise<Task> } },
  taskGuid: string,
  options: WaitForTaskOptions = {},
): Promise<Task> {
  return within(`task ${taskGuid} ended`, options, async (signal) => {
    let known = false;
    const wanted = { snapshot: true, kinds: [EventKind.TASK], taskGuids: [taskGuid], signal };
    // Without a limit of their own nobody waits for ever for servers that may not be there at all.
    const patience = options.timeoutMs === Number.POSITIVE_INFINITY ? 'for ever once connected' : 'for ever';
    for await (const item of watch(transport, wanted, patience)) {
      const task = taskOf(item);
      if (task) options.onChange?.(task);
      if (task && hasEnded(task)) return whole(task, signal);
      if (task) known = true;
      if (item.kind === 'reset') known = false;
      const gone = item.kind === 'event' && item.event.event?.$case === 'taskRemoved';
      if (gone || (item.kind === 'snapshot-complete' && !known)) throw missing(taskGuid);
    }
    throw missing(taskGuid);
  });

  /** What a watch sends may lack the larger parts; the record itself is complete while it exists. */
  async function whole(task: Task, signal: AbortSignal): Promise<Task> {
    try {
      return await tasks.get(task.taskGuid, { signal });
    } catch (error) {
      if (error instanceof NotFoundError) return task;
      throw error;
    }
  }
}

function hasEnded(task: Task): boolean {
  return task.state === TaskState.COMPLETED || task.state === TaskState.RESOLVING;
}

/** The Task as an item shows it last. */
function taskOf(item: WatchItem): Task | undefined {
  if (item.kind === 'snapshot') return item.record.record?.$case === 'task' ? item.record.record.value : undefined;
  if (item.kind !== 'event') return undefined;
  switch (item.event.event?.$case) {
    case 'taskCreated':
    case 'taskRemoved':
      return item.event.event.value.task;
    case 'taskChanged':
      return item.event.event.value.after;
    default:
      return undefined;
  }
}

function missing(name: string): NotFoundError {
  return new NotFoundError({
    message: `there is no task ${name}`,
    reason: 'TASK_NOT_FOUND',
    resource: { type: 'task', name },
  });
}
