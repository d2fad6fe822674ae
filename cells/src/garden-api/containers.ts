import { RiveraError } from '@rivera/kit/errors';
import { OWNER, OWNER_PROPERTY } from '../executor/containers/garden-spec.js';
import type { Garden, GardenContainer } from '../garden/garden.js';
import { requireHandle } from './validate.js';

/** Whether the cell made a container for a Task or an LRP. */
export function isManaged({ spec }: GardenContainer): boolean {
  return spec.properties[OWNER_PROPERTY] === OWNER;
}

export function managedError(handle: string): RiveraError {
  return new RiveraError(
    'CONTAINER_MANAGED',
    `container ${handle} belongs to a Task or an LRP: change and end it through the BBS`,
    { resource: { type: 'container', name: handle } },
  );
}

export function unknownHandle(handle: string): RiveraError {
  return new RiveraError('CONTAINER_NOT_FOUND', `unknown handle: ${handle}`, {
    resource: { type: 'container', name: handle },
  });
}

/** The garden's containers, as clients of the service may have them. */
export class Park {
  constructor(readonly garden: Garden) {}

  /** To be looked at. @throws RiveraError INVALID_REQUEST, CONTAINER_NOT_FOUND */
  find(handle: string): GardenContainer {
    requireHandle(handle);
    const container = this.garden.lookup(handle);
    if (!container) throw unknownHandle(handle);
    return container;
  }

  /** To be changed. @throws RiveraError also CONTAINER_MANAGED: what a definition asks for is not to be undone by mistake */
  own(handle: string): GardenContainer {
    const container = this.find(handle);
    if (isManaged(container)) throw managedError(handle);
    return container;
  }
}
