import type { Steps } from './steps.js';

/** Something that was started. */
export interface Stoppable {
  name: string;
  /** Ends it; once `forced` aborts, without grace. */
  stop(forced: AbortSignal): Promise<void>;
}

/** Not worth a line of their own. */
export const QUIET: ReadonlySet<string> = new Set(['lock', 'places', 'client']);

/**
 * Stops things one after the other; cells, which do not need each other, at the same time. A failure does not keep the rest from
 * stopping; the first one is thrown at the end.
 */
export async function stopInOrder(
  things: readonly Stoppable[],
  steps: Pick<Steps, 'run'>,
  forced: AbortSignal,
): Promise<void> {
  const failures: unknown[] = [];
  for (const group of grouped(things)) {
    const results = await Promise.allSettled(
      group.map((thing) => {
        const stop = () => thing.stop(forced);
        return QUIET.has(thing.name) ? stop() : steps.run(`stop ${thing.name}`, stop);
      }),
    );
    for (const result of results) if (result.status === 'rejected') failures.push(result.reason);
  }
  if (failures.length > 0) throw failures[0];
}

/** Neighbouring cells make one group, everything else a group of its own. */
function grouped(things: readonly Stoppable[]): Stoppable[][] {
  const groups: Stoppable[][] = [];
  for (const thing of things) {
    const last = groups.at(-1);
    if (last?.[0]?.name.startsWith('cell') && thing.name.startsWith('cell')) last.push(thing);
    else groups.push([thing]);
  }
  return groups;
}
