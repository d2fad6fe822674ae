import { type Task, TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import {
  CancelTaskRequest,
  DeleteTaskRequest,
  DesireTaskRequest,
  GetTaskRequest,
  ListTasksRequest,
  TaskServiceService as methods,
  ResolveTaskRequest,
  RetryTaskCallbackRequest,
} from '@rivera/gen/rivera/bbs/v1/task_service';
import { FailedPreconditionError, NotFoundError } from '../errors.js';
import type { CallOptions, Filter, Input } from '../input.js';
import { paged } from '../transport/pages.js';
import type { Transport } from '../transport/transport.js';
import { type Items, sendMany } from './many.js';
import { DELETE_MANY, DESIRE_MANY, RESOLVE_MANY, type ResolveManyResult, type TaskManyResult } from './many-tasks.js';
import { present } from './present.js';
import { type WaitForTaskOptions, waitForTask } from './wait-for-task.js';

/** Tasks: work that runs at most once. */
export class Tasks {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /**
   * Asks for a Task; resolves once it is durable. Repeating the same request succeeds, so it is retried.
   * @throws AlreadyExistsError when the guid names a Task with another definition.
   */
  async desire(request: Input<DesireTaskRequest>, options?: CallOptions): Promise<Task> {
    const message = DesireTaskRequest.fromPartial(request);
    const answer = await this.#transport.unary(methods.desireTask, message, { safety: 'repeatable' }, options);
    return present(answer.task, 'task');
  }

  /** Asks for many Tasks over one stream. Yields one result an item, in order; a refused item does not stop the rest. */
  desireMany(
    tasks: Items<Input<DesireTaskRequest>>,
    options?: Pick<CallOptions, 'signal'>,
  ): AsyncIterable<TaskManyResult> {
    return sendMany(this.#transport, DESIRE_MANY, { ...options, items: tasks });
  }

  /** One Task with its definition. @throws NotFoundError */
  async get(taskGuid: string, options?: CallOptions): Promise<Task> {
    const request = GetTaskRequest.fromPartial({ taskGuid });
    const answer = await this.#transport.unary(methods.getTask, request, { safety: 'repeatable' }, options);
    return present(answer.task, 'task');
  }

  /** Tasks in order of guid, without definitions; pages are fetched as they are needed. */
  list(filter: Filter<ListTasksRequest> = {}, options?: CallOptions): AsyncIterable<Task> {
    return paged(async (pageToken) => {
      const request = ListTasksRequest.fromPartial({ ...filter, pageToken });
      const page = await this.#transport.unary(methods.listTasks, request, { safety: 'repeatable' }, options);
      return { items: page.tasks, next: page.nextPageToken };
    });
  }

  /**
   * Ends a Task that has not ended as failed. When an attempt had an unknown outcome and the next finds the Task ended
   * as failed, that attempt is taken to have done it.
   * @throws FailedPreconditionError when it had ended before.
   */
  async cancel(taskGuid: string, options?: CallOptions): Promise<Task> {
    const afterDoubt = async (decision: unknown) => {
      if (!(decision instanceof FailedPreconditionError)) return undefined;
      const task = await this.get(taskGuid, options);
      const ended = task.state === TaskState.COMPLETED || task.state === TaskState.RESOLVING;
      return ended && task.failed ? { task } : undefined;
    };
    const policy = { safety: 'repeatable', afterDoubt } as const;
    const request = CancelTaskRequest.fromPartial({ taskGuid });
    return present((await this.#transport.unary(methods.cancelTask, request, policy, options)).task, 'task');
  }

  /**
   * Takes the right to use the result: of all callers one alone succeeds. A repeat that succeeds is exclusive too; one that
   * is refused after an attempt of unknown outcome leaves open who won, and rejects with that attempt's error.
   * @throws FailedPreconditionError unless the Task is COMPLETED.
   */
  async resolve(taskGuid: string, options?: CallOptions): Promise<Task> {
    const afterDoubt = (decision: unknown, doubt: Error) => {
      if (decision instanceof FailedPreconditionError) throw doubt;
      return undefined;
    };
    const policy = { safety: 'repeatable', afterDoubt } as const;
    const request = ResolveTaskRequest.fromPartial({ taskGuid });
    return present((await this.#transport.unary(methods.resolveTask, request, policy, options)).task, 'task');
  }

  /**
   * `resolve` for many over one stream, one result an item, in order. Where a connection broke, and it is not known whether this call
   * has a Task's result or somebody else, its error is an UnavailableError.
   */
  resolveMany(taskGuids: Items<string>, options?: Pick<CallOptions, 'signal'>): AsyncIterable<ResolveManyResult> {
    return sendMany(this.#transport, RESOLVE_MANY, { ...options, items: taskGuids });
  }

  /** Forgets a RESOLVING Task. A repeat that no longer finds it, after an attempt of unknown outcome, has succeeded. */
  async delete(taskGuid: string, options?: CallOptions): Promise<void> {
    const afterDoubt = (decision: unknown) => (decision instanceof NotFoundError ? {} : undefined);
    const policy = { safety: 'repeatable', afterDoubt } as const;
    await this.#transport.unary(methods.deleteTask, DeleteTaskRequest.fromPartial({ taskGuid }), policy, options);
  }

  /** `delete` for many over one stream, one result an item, in order. */
  deleteMany(taskGuids: Items<string>, options?: Pick<CallOptions, 'signal'>): AsyncIterable<TaskManyResult> {
    return sendMany(this.#transport, DELETE_MANY, { ...options, items: taskGuids });
  }

  /**
   * Has the callback of a COMPLETED Task tried at once, and again for the whole retention, also that of a dead letter
   * (`list({ deadLetters: true })`). A repeat that finds it being delivered, after an attempt of unknown outcome, has succeeded.
   * @throws FailedPreconditionError unless the Task is COMPLETED and has a callback.
   */
  async retryCallback(taskGuid: string, options?: CallOptions): Promise<Task> {
    const afterDoubt = async (decision: unknown) => {
      if (!(decision instanceof FailedPreconditionError)) return undefined;
      const task = await this.get(taskGuid, options);
      return task.state === TaskState.RESOLVING && task.callback && !task.callback.givenUpAt ? { task } : undefined;
    };
    const policy = { safety: 'repeatable', afterDoubt } as const;
    const request = RetryTaskCallbackRequest.fromPartial({ taskGuid });
    return present((await this.#transport.unary(methods.retryTaskCallback, request, policy, options)).task, 'task');
  }

  /**
   * Resolves with the Task, result included, once it has ended, well or not: look at `failed`.
   * @throws NotFoundError when there is none, or it is deleted before its end is seen.
   * @throws DeadlineExceededError after `timeoutMs`, 10 minutes unless given.
   */
  waitForCompletion(taskGuid: string, options?: WaitForTaskOptions): Promise<Task> {
    return waitForTask({ transport: this.#transport, tasks: this }, taskGuid, options);
  }
}
