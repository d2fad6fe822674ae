import type { State } from './state.js';

/** When a cell was heard of last. */
export type LastSeen = (cellId: string) => number;

/**
 * Whether so many cells fall silent at once that the fault is more likely here, or between, than with them. Cells that were lost a
 * short while ago count, so that one after the other is no other matter than all together.
 */
export function isMassLoss(state: State, now: number, lastSeenMs: LastSeen): boolean {
  const { presenceTtlMs, massLoss } = state.policy;
  let known = 0;
  let silent = 0;
  for (const cell of state.cells.values()) {
    const lostLately = cell.missing && cell.sinceMs + massLoss.graceMs > now;
    if (cell.missing && !lostLately) continue;
    known++;
    if (lostLately || lastSeenMs(cell.cellId) + presenceTtlMs <= now) silent++;
  }
  return silent >= massLoss.minimumCells && silent > massLoss.fraction * known;
}
