import { createHash } from 'node:crypto';
import { TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import type { State } from '../core/state.js';

/** What the BBS believes a cell holds, in the form of `CellHeartbeat.digest` and `.count`. */
export function digestOfCell(state: State, cellId: string): { digest: string; count: number } {
  const sum = Buffer.alloc(8);
  let count = 0;
  const add = (text: string) => {
    const hash = createHash('sha256').update(text).digest();
    for (let i = 0; i < 8; i++) sum[i] = (sum[i] as number) ^ (hash[i] as number);
    count++;
  };
  for (const row of state.lrpsOnCell(cellId)) add(`l/${row.instanceGuid}/${row.state}`);
  for (const guid of state.tasksOnCell(cellId)) {
    const task = state.tasks.get(guid);
    if (task?.state === TaskState.RUNNING) add(`t/${guid}/${task.executionGuid}`);
  }
  return { digest: sum.toString('hex'), count };
}
