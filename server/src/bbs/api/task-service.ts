import { TaskDefinition } from '@rivera/gen/rivera/bbs/v1/task';
import {
  type CancelTaskRequest,
  type CancelTaskResponse,
  type DeleteTaskRequest,
  type DeleteTaskResponse,
  type DeleteTasksRequest,
  type DeleteTasksResponse,
  DesireTaskRequest,
  type DesireTaskResponse,
  type DesireTasksRequest,
  type DesireTasksResponse,
  type GetTaskRequest,
  type GetTaskResponse,
  type ListTasksRequest,
  type ListTasksResponse,
  type ResolveTaskRequest,
  type ResolveTaskResponse,
  type ResolveTasksRequest,
  type ResolveTasksResponse,
  type RetryTaskCallbackRequest,
  type RetryTaskCallbackResponse,
} from '@rivera/gen/rivera/bbs/v1/task_service';
import { RiveraError } from '@rivera/kit/errors';
import type { TaskRow } from '../core/model.js';
import { isDeadLetter, type State, taskExpiresAt } from '../core/state.js';
import { cancelTask, deleteTask, desireTask, type NewTask, resolveTask, retryTaskCallback } from '../core/task.js';
import type { CurrentTerm } from '../term.js';
import { bulk } from './bulk.js';
import { taskFromProto } from './from-proto.js';
import { decodePageToken, pageSize, takePage } from './paging.js';
import { taskToProto } from './to-proto.js';
import { requireRecipeSize, requireText, validateTask } from './validate/requests.js';
import { weightOfTask } from './weight.js';

const PAGE = { defaultSize: 500, maxSize: 1_000 };

/** Handlers of rivera.bbs.v1.TaskService. */
export function taskService(term: CurrentTerm) {
  return {
    async desireTask(request: DesireTaskRequest): Promise<DesireTaskResponse> {
      const wanted = wantedTask(request);
      return { task: taskToProto(await term().engine.execute((draft) => desireTask(draft, wanted))) };
    },

    desireTasks(requests: AsyncIterable<DesireTasksRequest>): AsyncIterable<DesireTasksResponse> {
      const { engine } = term();
      return bulk(requests, engine, ({ task }) => {
        const wanted = wantedTask(task ?? DesireTaskRequest.fromPartial({}));
        engine.apply((draft) => desireTask(draft, wanted));
      });
    },

    async getTask({ taskGuid }: GetTaskRequest): Promise<GetTaskResponse> {
      requireText('task_guid', taskGuid);
      const { engine, taskDefinitions } = term();
      const { result: row } = await engine.read((state) => state.tasks.get(taskGuid));
      if (row === undefined) {
        throw new RiveraError('TASK_NOT_FOUND', `there is no task "${taskGuid}"`, {
          resource: { type: 'task', name: taskGuid },
        });
      }
      const payload = (await taskDefinitions.get([taskGuid])).get(taskGuid);
      const expiresAtMs = taskExpiresAt(row, engine.state.policy);
      return {
        task: {
          ...taskToProto(row),
          definition: payload && TaskDefinition.decode(payload),
          expiresAt: expiresAtMs === undefined ? undefined : new Date(expiresAtMs),
        },
      };
    },

    async listTasks(request: ListTasksRequest): Promise<ListTasksResponse> {
      const size = pageSize(request.pageSize, PAGE);
      const after = decodePageToken(request.pageToken);
      const { result, revision } = await term().engine.read((state) =>
        takePage(matching(state, request, after), { size, keyOf: (row) => row.guid, weigh: weightOfTask }),
      );
      return { tasks: result.page.map(taskToProto), nextPageToken: result.nextPageToken, revision };
    },

    async cancelTask({ taskGuid }: CancelTaskRequest): Promise<CancelTaskResponse> {
      requireText('task_guid', taskGuid);
      return { task: taskToProto(await term().engine.execute((draft) => cancelTask(draft, taskGuid))) };
    },

    async resolveTask({ taskGuid }: ResolveTaskRequest): Promise<ResolveTaskResponse> {
      requireText('task_guid', taskGuid);
      return { task: taskToProto(await term().engine.execute((draft) => resolveTask(draft, taskGuid))) };
    },

    async *resolveTasks(requests: AsyncIterable<ResolveTasksRequest>): AsyncIterable<ResolveTasksResponse> {
      const { engine } = term();
      const answers = bulk(requests, engine, ({ taskGuid }) => {
        requireText('task_guid', taskGuid);
        return taskToProto(engine.apply((draft) => resolveTask(draft, taskGuid)));
      });
      for await (const { sequence, code, message, told: task } of answers) yield { sequence, code, message, task };
    },

    async deleteTask({ taskGuid }: DeleteTaskRequest): Promise<DeleteTaskResponse> {
      requireText('task_guid', taskGuid);
      await term().engine.execute((draft) => deleteTask(draft, taskGuid));
      return {};
    },

    deleteTasks(requests: AsyncIterable<DeleteTasksRequest>): AsyncIterable<DeleteTasksResponse> {
      const { engine } = term();
      return bulk(requests, engine, ({ taskGuid }) => {
        requireText('task_guid', taskGuid);
        engine.apply((draft) => deleteTask(draft, taskGuid));
      });
    },

    async retryTaskCallback({ taskGuid }: RetryTaskCallbackRequest): Promise<RetryTaskCallbackResponse> {
      requireText('task_guid', taskGuid);
      return { task: taskToProto(await term().engine.execute((draft) => retryTaskCallback(draft, taskGuid))) };
    },
  };
}

/** @throws INVALID_REQUEST */
function wantedTask(request: DesireTaskRequest): NewTask {
  validateTask(request);
  const wanted = taskFromProto(request);
  requireRecipeSize('definition', wanted.definition);
  return wanted;
}

function* matching(state: State, request: ListTasksRequest, after: string): Generator<TaskRow> {
  const states = new Set(request.states);
  for (const guid of state.taskOrder.after(after)) {
    const row = state.tasks.get(guid);
    if (row === undefined) continue;
    if (request.domain !== '' && row.domain !== request.domain) continue;
    if (request.cellId !== '' && row.cellId !== request.cellId) continue;
    if (states.size > 0 && !states.has(row.state)) continue;
    if (request.deadLetters && !isDeadLetter(row)) continue;
    yield row;
  }
}
