import { type Cell, CellState } from '@rivera/gen/rivera/bbs/v1/cell';
import type { Step } from './facts.js';
import { since } from './words.js';

/** Cells tell of themselves every few seconds; one that is late is worth a word before it counts as gone. */
const LATE_MS = 10_000;

/** What is wrong with a cell, as a sentence; empty when nothing is. */
export function cellTrouble(cellId: string, cell: Cell | undefined, nowMs: number): string {
  if (cell === undefined) return `The servers do not know ${cellId} any more.`;
  const silence = `${cellId} has not been heard of for ${since(cell.lastSeenAt, nowMs)}`;
  switch (cell.state) {
    case CellState.EVACUATING:
      return `${cellId} is being emptied: it takes no new work, and what it has moves elsewhere.`;
    case CellState.MISSING:
      return `${silence} and counts as gone.`;
    case CellState.SILENT:
      return `${silence}, like most cells: the fault may be elsewhere, so its work is left alone for a while.`;
    default:
      return nowMs - (cell.lastSeenAt?.getTime() ?? nowMs) > LATE_MS ? `${silence}; it may just be late.` : '';
  }
}

/** What to do about a cell with which something is wrong. */
export function cellSteps(cellId: string, cell: Cell | undefined): Step[] {
  if (cell === undefined) return [{ command: 'rivera cells', meaning: 'which cells there are' }];
  const look = { command: `rivera cells show ${cellId}`, meaning: 'how the cell is' };
  const isSilent = cell.state === CellState.SILENT || cell.state === CellState.MISSING;
  return isSilent
    ? [look, { command: `rivera cells declare-missing ${cellId}`, meaning: 'if its machine is surely gone' }]
    : [look];
}
