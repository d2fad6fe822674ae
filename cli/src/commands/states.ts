import { type ActualLrp, ActualLrpPresence, ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { CellState } from '@rivera/gen/rivera/bbs/v1/cell';
import { type Task, TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import type { Colours } from '../terminal/output.js';
import { oneLine } from '../terminal/text.js';

/** A Task's state as people say it: how it ended counts for more than that it ended. */
export function taskState(task: Pick<Task, 'state' | 'failed'>): string {
  switch (task.state) {
    case TaskState.PENDING:
      return 'pending';
    case TaskState.RUNNING:
      return 'running';
    case TaskState.COMPLETED:
      return task.failed ? 'failed' : 'succeeded';
    case TaskState.RESOLVING:
      return task.failed ? 'failed, resolving' : 'succeeded, resolving';
    default:
      return 'unknown';
  }
}

/** Whether a Task has ended. */
export function hasEnded(task: Pick<Task, 'state'>): boolean {
  return task.state === TaskState.COMPLETED || task.state === TaskState.RESOLVING;
}

/** An instance's state, with the part it plays when that is not the ordinary one, and whether it was told to stop. */
export function instanceState(lrp: Pick<ActualLrp, 'state' | 'presence' | 'stopping'>): string {
  const states: Partial<Record<ActualLrpState, string>> = {
    [ActualLrpState.UNCLAIMED]: 'unclaimed',
    [ActualLrpState.CLAIMED]: 'claimed',
    [ActualLrpState.RUNNING]: 'running',
    [ActualLrpState.CRASHED]: 'crashed',
  };
  const parts: Partial<Record<ActualLrpPresence, string>> = {
    [ActualLrpPresence.EVACUATING]: ' (evacuating)',
    [ActualLrpPresence.SUSPECT]: ' (suspect)',
  };
  return `${states[lrp.state] ?? 'unknown'}${parts[lrp.presence] ?? ''}${lrp.stopping ? ', stopping' : ''}`;
}

/** Whether a cell is there. */
export function cellState(state: CellState): string {
  const states: Partial<Record<CellState, string>> = {
    [CellState.PRESENT]: 'present',
    [CellState.EVACUATING]: 'evacuating',
    [CellState.MISSING]: 'missing',
    [CellState.SILENT]: 'silent',
  };
  return states[state] ?? 'unknown';
}

/** Green for well, yellow for on the way, red for trouble. */
export function coloured(state: string, colours: Colours): string {
  if (/^(running|succeeded|present|ok)(?!.*stopping)/.test(state)) return colours.green(state);
  if (/^(failed|crashed|missing|silent)/.test(state)) return colours.red(state);
  return colours.yellow(state);
}

/** Where an instance can be reached from outside: `HOST:PORT`, one per mapped port. */
export function addressesOf(lrp: ActualLrp): { containerPort: number; address: string }[] {
  const net = lrp.netInfo;
  if (net === undefined) return [];
  return net.ports
    .filter((port) => port.hostPort !== 0)
    .map((port) => ({ containerPort: port.containerPort, address: `${net.address}:${port.hostPort}` }));
}

/** What keeps an instance from running, or why it crashed last. */
export function troubleOf(lrp: ActualLrp): string {
  if (lrp.state === ActualLrpState.UNCLAIMED && lrp.placementError !== '') {
    const why = lrp.placementObstacles.map((obstacle) => `${obstacle.description} (${obstacle.cells})`).join('; ');
    return oneLine(why === '' ? lrp.placementError : `${lrp.placementError}: ${why}`);
  }
  return lrp.state === ActualLrpState.RUNNING ? '' : oneLine(lrp.crashReason);
}
