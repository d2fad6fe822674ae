import type { Logger } from '@rivera/kit/log';
import { type Garden, GardenError } from '../../garden/garden.js';
import { OWNER, OWNER_PROPERTY } from './garden-spec.js';

/** Destroys the garden's containers that an executor made and no executor knows any more (spec cell §37). */
export async function reap({
  garden,
  known,
  logger,
}: {
  garden: Garden;
  known: ReadonlySet<string>;
  logger: Logger;
}): Promise<void> {
  const leftovers = garden
    .list()
    .filter(({ handle, spec }) => spec.properties[OWNER_PROPERTY] === OWNER && !known.has(handle));
  await Promise.all(
    leftovers.map(async ({ handle }) => {
      logger.warn({ guid: handle }, 'destroying a container that nobody knows');
      try {
        await garden.destroy(handle);
      } catch (error) {
        if (error instanceof GardenError && error.kind === 'not-found') return;
        // The next pass tries again.
        logger.error({ err: error, guid: handle }, 'a container that nobody knows could not be destroyed');
      }
    }),
  );
}
