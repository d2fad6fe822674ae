import type { ContainerTarget } from '@rivera/gen/rivera/rep/v1/container';
import { RiveraError } from '@rivera/kit/errors';
import { type ContainerRecord, type Executor, ExecutorError } from '../executor/executor.js';
import { GardenError } from '../garden/garden.js';
import { workOf } from './work.js';

/**
 * The container that a request names. A slot or a Task may have several, as when one is ending while the next begins: the one
 * that is furthest in its life without having ended is meant.
 * @throws RiveraError CONTAINER_NOT_FOUND, INVALID_REQUEST
 */
export function findContainer(executor: Executor, target: ContainerTarget | undefined): ContainerRecord {
  const named = target?.target;
  switch (named?.$case) {
    case 'containerGuid': {
      const container = executor.get(named.value);
      if (container) return container;
      throw notFound(`container ${named.value}`);
    }
    case 'instance': {
      const { processGuid, index } = named.value;
      const found = best(executor.list(), (container) => {
        const work = workOf(container);
        return work?.kind === 'lrp' && work.key.processGuid === processGuid && work.key.index === index;
      });
      if (found) return found;
      throw notFound(`instance ${index} of LRP ${processGuid}`);
    }
    case 'taskGuid': {
      const found = best(executor.list(), (container) => {
        const work = workOf(container);
        return work?.kind === 'task' && work.taskGuid === named.value;
      });
      if (found) return found;
      throw notFound(`Task ${named.value}`);
    }
    case undefined:
      throw new RiveraError('INVALID_REQUEST', 'no container is named', {
        violations: [{ field: 'target', description: 'is required' }],
      });
  }
}

/**
 * A container that processes can be run in and files can be read from.
 * @throws RiveraError CONTAINER_NOT_READY and those of `findContainer`
 */
export function findLiveContainer(executor: Executor, target: ContainerTarget | undefined): ContainerRecord {
  const container = findContainer(executor, target);
  if (container.state === 'created' || container.state === 'running') return container;
  const why = container.state === 'completed' ? 'has ended' : 'is not made yet';
  throw new RiveraError('CONTAINER_NOT_READY', `container ${container.guid} ${why}`, {
    metadata: { container_state: container.state },
    resource: { type: 'container', name: container.guid },
  });
}

/** What callers of the cell see of an error below it; others pass unchanged. */
export function toRiveraError(error: unknown): unknown {
  if (!(error instanceof ExecutorError || error instanceof GardenError)) return error;
  const details = { cause: error };
  switch (error.kind) {
    case 'not-found':
      return new RiveraError('CONTAINER_NOT_FOUND', error.message, details);
    case 'wrong-state':
      return new RiveraError('CONTAINER_NOT_READY', error.message, details);
    case 'file-not-found':
    case 'path-not-found':
      return new RiveraError('FILE_NOT_FOUND', error.message, details);
    case 'exec-failed':
    case 'process-failed':
      return new RiveraError('EXEC_FAILED', error.message, details);
    case 'connect-failed':
      return new RiveraError('CONNECT_FAILED', error.message, details);
    case 'stream-failed':
    case 'file-too-large':
      return new RiveraError('INVALID_REQUEST', error.message, details);
    case 'closed':
      return new RiveraError('SHUTTING_DOWN', error.message, details);
    default:
      return error;
  }
}

const ORDER = { running: 4, created: 3, initializing: 2, reserved: 1, completed: 0 } as const;

function best(
  containers: ContainerRecord[],
  fits: (container: ContainerRecord) => boolean,
): ContainerRecord | undefined {
  let found: ContainerRecord | undefined;
  for (const container of containers) {
    if (fits(container) && (!found || ORDER[container.state] > ORDER[found.state])) found = container;
  }
  return found;
}

function notFound(what: string): RiveraError {
  return new RiveraError('CONTAINER_NOT_FOUND', `this cell has no container of ${what}`);
}
