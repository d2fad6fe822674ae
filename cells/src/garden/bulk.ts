import pLimit from 'p-limit';
import { type GardenContainer, GardenError } from './garden.js';

/** Containers that are looked at at the same time. */
const CONCURRENT = 8;

/** Asks many containers the same; one that isn't there or fails has its error in the place of an answer. */
export async function askMany<T>(
  handles: readonly string[],
  lookup: (handle: string) => GardenContainer | undefined,
  ask: (container: GardenContainer) => Promise<T>,
): Promise<Map<string, T | GardenError>> {
  const limit = pLimit(CONCURRENT);
  const answer = async (handle: string): Promise<T | GardenError> => {
    const container = lookup(handle);
    if (!container) return new GardenError('not-found', `unknown handle: ${handle}`);
    try {
      return await ask(container);
    } catch (error) {
      if (error instanceof GardenError) return error;
      // It may have been destroyed at this moment.
      if (!lookup(handle)) return new GardenError('not-found', `unknown handle: ${handle}`, { cause: error });
      return new GardenError('unavailable', error instanceof Error ? error.message : String(error), { cause: error });
    }
  };
  const asked = [...new Set(handles)].map((handle) => limit(async () => [handle, await answer(handle)] as const));
  return new Map(await Promise.all(asked));
}
