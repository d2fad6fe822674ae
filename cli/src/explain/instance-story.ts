import { type ActualLrp, ActualLrpPresence, ActualLrpState, type Crash } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { CellState } from '@rivera/gen/rivera/bbs/v1/cell';
import { addressesOf } from '../commands/states.js';
import { count, oneLine } from '../terminal/text.js';
import { formatTook } from '../terminal/time.js';
import { cellSteps, cellTrouble } from './cell-story.js';
import type { LrpFacts, Step, Story } from './facts.js';
import { at, sentence, since, until } from './words.js';

/** The records of one slot. */
export interface Slot {
  readonly index: number;
  readonly ordinary: ActualLrp | undefined;
  /** Evacuating and suspect ones. */
  readonly others: readonly ActualLrp[];
}

/** Whether somebody should look at it. */
export function isInTrouble({ ordinary, others }: Slot, facts: LrpFacts, nowMs: number): boolean {
  if (ordinary?.state !== ActualLrpState.RUNNING || ordinary.stopping || others.length > 0) return true;
  return isUnwanted(ordinary, facts) || cellTrouble(ordinary.cellId, facts.cells.get(ordinary.cellId), nowMs) !== '';
}

/** All about one slot: how its instance is, why, what follows, and what plays a part beside it. */
export function tellSlot(slot: Slot, facts: LrpFacts, nowMs: number): Story {
  const { index, ordinary, others } = slot;
  const lines: string[] = [];
  const next: Step[] = [];
  if (ordinary === undefined) lines.push(`#${index} has no record of its own; a wanted one is made at the next audit.`);
  else tellOrdinary(ordinary, facts, nowMs, { lines, next });
  for (const record of others) tellOther(record, ordinary, facts, nowMs, { lines, next });
  return { lines: lines.map((line, i) => (i === 0 ? line : `   ${line}`)), next };
}

interface Told {
  readonly lines: string[];
  readonly next: Step[];
}

function tellOrdinary(lrp: ActualLrp, facts: LrpFacts, nowMs: number, { lines, next }: Told): void {
  const index = lrp.key?.index ?? 0;
  const name = `${facts.name}/${index}`;
  lines.push(`#${index} ${stateOf(lrp, nowMs)}`);
  if (lrp.state === ActualLrpState.UNCLAIMED) tellWait(lrp, nowMs, { lines, next });
  if (lrp.state === ActualLrpState.RUNNING && !lrp.routable) lines.push('Routers send it no traffic: it is not ready.');
  if (lrp.stopping)
    lines.push('It was told to stop and has not ended yet; it is told again until its cell has removed it.');
  if (lrp.cellId !== '') tellCell(lrp.cellId, facts, nowMs, { lines, next });
  if (isUnwanted(lrp, facts) && !lrp.stopping) tellUnwanted(lrp, facts, { lines, next });
  if (lrp.state === ActualLrpState.CRASHED) {
    next.push({ command: `rivera lrp reset ${name}`, meaning: 'try it again at once' });
  }
  if (lrp.crashes.length > 0) {
    lines.push(`Its latest ${lrp.crashes.length === 1 ? 'crash' : 'crashes'}:`);
    for (const crash of [...lrp.crashes].reverse()) lines.push(`  ${crashText(crash, nowMs)}`);
  }
  if (lrp.state === ActualLrpState.RUNNING || lrp.crashes.length > 0) {
    next.push({ command: `rivera logs ${name}`, meaning: 'what it wrote' });
  }
}

function stateOf(lrp: ActualLrp, nowMs: number): string {
  const duration = since(lrp.since, nowMs);
  switch (lrp.state) {
    case ActualLrpState.UNCLAIMED:
      return `has been waiting for a cell for ${duration}.`;
    case ActualLrpState.CLAIMED:
      return `has been starting on ${lrp.cellId} for ${duration}.`;
    case ActualLrpState.RUNNING: {
      const addresses = addressesOf(lrp).map(({ address }) => address);
      const where = addresses.length === 0 ? '' : `, at ${addresses.join(', ')}`;
      return `has been running on ${lrp.cellId} for ${duration}${where}.`;
    }
    case ActualLrpState.CRASHED: {
      const crashed = `has crashed ${count(lrp.crashCount, 'time')}`;
      return lrp.nextRestartAt === undefined
        ? `${crashed} and was given up ${duration} ago: it stays down until somebody resets it.`
        : `${crashed} and pauses: it is tried again ${until(lrp.nextRestartAt, nowMs)}.`;
    }
    default:
      return 'is in a state that this program does not know.';
  }
}

/** Why no cell has it, cell by cell where that is known, and when the cells are asked again. */
function tellWait(lrp: ActualLrp, nowMs: number, { lines, next }: Told): void {
  if (lrp.placementError === '') lines.push('No cell has refused it: it is being placed.');
  else lines.push(`No cell takes it: ${sentence(oneLine(lrp.placementError))}`);
  for (const { description, cells, exampleCellIds } of lrp.placementObstacles) {
    const more = cells > exampleCellIds.length && exampleCellIds.length > 0 ? ', …' : '';
    const examples = exampleCellIds.length === 0 ? '' : ` (${exampleCellIds.join(', ')}${more})`;
    lines.push(`  ${count(cells, 'cell')}: ${oneLine(description)}${examples}`);
  }
  if (lrp.nextPlacementAt !== undefined) {
    lines.push(`It is offered to the cells again ${until(lrp.nextPlacementAt, nowMs)}.`);
  }
  if (lrp.placementError !== '') next.push({ command: 'rivera cells', meaning: 'how full the cells are' });
}

function tellCell(cellId: string, facts: LrpFacts, nowMs: number, { lines, next }: Told): void {
  const cell = facts.cells.get(cellId);
  const trouble = cellTrouble(cellId, cell, nowMs);
  if (trouble === '') return;
  lines.push(trouble);
  next.push(...cellSteps(cellId, cell));
}

/** A record beside the ordinary one: which part it plays, and how far what replaces it is. */
function tellOther(
  record: ActualLrp,
  ordinary: ActualLrp | undefined,
  facts: LrpFacts,
  nowMs: number,
  told: Told,
): void {
  const { cellId } = record;
  if (record.presence === ActualLrpPresence.EVACUATING) {
    const moves = facts.cells.get(cellId)?.state === CellState.PRESENT;
    told.lines.push(
      `Beside it one has been running on ${cellId} for ${since(record.since, nowMs)}: ${moves ? 'it is being moved' : 'that cell is being emptied'}, ` +
        `and it goes on until the new one runs. ${replacementOf(ordinary)}`,
    );
    if (moves) return;
    told.next.push({ command: `rivera cells show ${cellId}`, meaning: 'how far the cell is emptied' });
    return;
  }
  const cell = facts.cells.get(cellId);
  const silence = cell === undefined ? '' : ` for ${since(cell.lastSeenAt, nowMs)}`;
  told.lines.push(
    `${cellId} has not been heard of${silence}: the instance there may still be up. ${replacementOf(ordinary)} ` +
      'Whichever is there first stays.',
  );
  told.next.push(...cellSteps(cellId, cell));
}

function replacementOf(ordinary: ActualLrp | undefined): string {
  switch (ordinary?.state) {
    case ActualLrpState.UNCLAIMED:
      return 'A replacement is waiting for a cell.';
    case ActualLrpState.CLAIMED:
      return `A replacement is starting on ${ordinary.cellId}.`;
    case ActualLrpState.RUNNING:
      return `A replacement runs on ${ordinary.cellId}.`;
    case ActualLrpState.CRASHED:
      return 'A replacement has crashed.';
    default:
      return 'There is no replacement.';
  }
}

/** Whether the LRP as it is desired has no such instance. */
function isUnwanted({ key }: ActualLrp, { desired }: LrpFacts): boolean {
  return (key?.index ?? 0) >= (desired?.instances ?? 0);
}

function tellUnwanted(lrp: ActualLrp, { domainIsFresh }: LrpFacts, { lines, next }: Told): void {
  const domain = lrp.key?.domain ?? '';
  if (domainIsFresh !== false) {
    lines.push('Nobody desires it: it is about to be stopped.');
    return;
  }
  lines.push(
    `Nobody desires it, and it stays all the same: nobody vouches that what is desired in domain ${domain} is complete.`,
  );
  next.push({ command: `rivera domains set ${domain} --ttl 2m`, meaning: 'vouch for the domain: it is stopped then' });
}

/** `2026-05-01T11:57:00.00+0000 (3m ago) on cell-1 after 12 s: Exited with status 1`. */
function crashText({ at: moment, reason, cellId, uptimeMs }: Crash, nowMs: number): string {
  const lived = uptimeMs === 0 ? 'before it ran' : `after ${formatTook(uptimeMs)}`;
  return `${at(moment, nowMs)} on ${cellId} ${lived}: ${oneLine(reason)}`;
}
