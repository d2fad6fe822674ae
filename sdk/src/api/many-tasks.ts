import type { Task } from '@rivera/gen/rivera/bbs/v1/task';
import {
  DeleteTasksRequest,
  type DeleteTasksResponse,
  DesireTaskRequest,
  DesireTasksRequest,
  type DesireTasksResponse,
  TaskServiceService as methods,
  ResolveTasksRequest,
  type ResolveTasksResponse,
} from '@rivera/gen/rivera/bbs/v1/task_service';
import { FailedPreconditionError, NotFoundError, UnavailableError } from '../errors.js';
import type { Input } from '../input.js';
import type { ManyMethod, ManyResult } from './many.js';

/** What became of one of many Tasks. */
export interface TaskManyResult extends ManyResult {
  readonly taskGuid: string;
}

/** What became of one of many Tasks whose results were asked for. */
export interface ResolveManyResult extends TaskManyResult {
  /** With its result; undefined when there is an error. */
  readonly task: Task | undefined;
}

export const DESIRE_MANY: ManyMethod<
  Input<DesireTaskRequest>,
  DesireTasksRequest,
  DesireTasksResponse,
  TaskManyResult
> = {
  method: methods.desireTasks,
  request: (task, sequence) => DesireTasksRequest.fromPartial({ sequence, task: DesireTaskRequest.fromPartial(task) }),
  result: ({ request, error }) => ({ index: request.sequence, taskGuid: request.task?.taskGuid ?? '', error }),
};

export const RESOLVE_MANY: ManyMethod<string, ResolveTasksRequest, ResolveTasksResponse, ResolveManyResult> = {
  method: methods.resolveTasks,
  request: (taskGuid, sequence) => ResolveTasksRequest.fromPartial({ sequence, taskGuid }),
  result: ({ request: { sequence: index, taskGuid }, response: { task }, error, again }) => {
    // Refused the second time: the first may have been obeyed, or somebody else was faster.
    const inDoubt = again && error instanceof FailedPreconditionError;
    const doubt =
      inDoubt && new UnavailableError({ message: `whether this call took the result of "${taskGuid}" is unknown` });
    return { index, taskGuid, task, error: doubt || error };
  },
};

export const DELETE_MANY: ManyMethod<string, DeleteTasksRequest, DeleteTasksResponse, TaskManyResult> = {
  method: methods.deleteTasks,
  request: (taskGuid, sequence) => DeleteTasksRequest.fromPartial({ sequence, taskGuid }),
  result: ({ request: { sequence: index, taskGuid }, error, again }) => {
    const done = again && error instanceof NotFoundError;
    return { index, taskGuid, error: done ? undefined : error };
  },
};
