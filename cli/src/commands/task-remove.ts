import { type Task, TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import { isAnswer } from '../describe.js';
import { hasEnded } from './states.js';

/** Takes the result, which is what allows a Task to be deleted, and deletes it. */
export async function removeTask(
  session: { client(): Promise<TaskRemover> },
  name: string,
  force: boolean,
): Promise<void> {
  const { tasks } = await session.client();
  const found = await tasks.get(name);
  if (force && !hasEnded(found)) await tasks.cancel(name).catch(ignoreEnded);
  if (found.state !== TaskState.RESOLVING) await tasks.resolve(name);
  await tasks.delete(name);
}

/** The part of the client that is needed to remove a Task. */
interface TaskRemover {
  tasks: {
    get(name: string): Promise<Task>;
    cancel(name: string): Promise<Task>;
    resolve(name: string): Promise<Task>;
    delete(name: string): Promise<void>;
  };
}

/** It has ended by itself meanwhile, which is as good. */
function ignoreEnded(error: unknown): void {
  if (!isAnswer(error) || error.codeName !== 'FAILED_PRECONDITION') throw error;
}
