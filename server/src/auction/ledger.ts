import type { BidDelta, CellBid } from '@rivera/gen/rivera/auction/v1/bid_service';
import { explain, type Failure } from './failure.js';
import type { Demand } from './filters.js';
import { type Assignment, type Held, LedgerCell } from './ledger-cell.js';
import { LedgerIndex } from './ledger-index.js';
import type { DemandMatch, PlacementView } from './placement.js';
import { type ProcessCounts, ProcessIndex } from './process-index.js';
import type { ScoreWeights } from './score.js';
import type { PlaceableWork } from './work.js';

/** What a state or a delta changed. */
export interface LedgerChange {
  /** A delta is missing: the cell must send its full state. Nothing of this delta was taken over. */
  readonly gap: boolean;
  /** Assignments that the cell turned out to hold. */
  readonly confirmed: readonly Assignment[];
  /** Keys of work that it holds now and didn't before, without an assignment that is known here. None while it is evacuating. */
  readonly appeared: readonly string[];
  /** Keys of work that it gave up, or is about to: it began to evacuate. */
  readonly gone: readonly string[];
}

/** Explanations kept for work that asks for the same. */
const FAILURES_KEPT = 1024;
const NOTHING: LedgerChange = { gap: false, confirmed: [], appeared: [], gone: [] };

/**
 * Every connected cell, minus what it was handed and has not confirmed; the one place where that is written down. Placement
 * reads it ({@link PlacementView}), the auctioneer is its only writer. Nothing here waits, and nothing knows of streams.
 */
export class Ledger implements PlacementView<LedgerCell> {
  private readonly cells = new Map<string, LedgerCell>();
  private readonly index: LedgerIndex;
  private readonly processes = new ProcessIndex<LedgerCell>();
  private readonly avoided = new Set<LedgerCell>();
  private readonly failures = new Map<string, Failure>();
  private starting = 0;
  private admitted = 0;

  constructor(weights: ScoreWeights) {
    this.index = new LedgerIndex(weights);
  }

  get size(): number {
    return this.cells.size;
  }

  get admittedCells(): number {
    return this.admitted;
  }

  get startingContainers(): number {
    return this.starting;
  }

  cell(id: string): LedgerCell | undefined {
    return this.cells.get(id);
  }

  /** In order of id. */
  list(): LedgerCell[] {
    return [...this.cells.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  match(demand: Demand): DemandMatch<LedgerCell> {
    return this.index.match(demand);
  }

  process(processGuid: string): ProcessCounts<LedgerCell> | undefined {
    return this.processes.get(processGuid);
  }

  explain(work: PlaceableWork): Failure {
    if (work.refusals.length > 0) return explain(this.cells.values(), work);
    const { memoryMb, diskMb, proxied } = work.requirements;
    const key = `${memoryMb} ${diskMb} ${proxied && work.subject.kind === 'lrp'} ${work.demand.key}`;
    const known = this.failures.get(key);
    if (known !== undefined) return known;
    const failure = explain(this.cells.values(), work);
    if (this.failures.size >= FAILURES_KEPT) this.failures.clear();
    this.failures.set(key, failure);
    return failure;
  }

  /**
   * Takes over a full state: of a new cell, or of a known one instead of what was known. Work handed out on this stream that
   * was not answered stays charged, for it may be on its way; work that was accepted and isn't there has ended.
   */
  put(bid: CellBid): LedgerChange {
    const before = this.cells.get(bid.cellId);
    const cell = new LedgerCell(bid);
    const confirmed: Assignment[] = [];
    if (before !== undefined) {
      this.leave(before);
      this.avoided.delete(before);
      for (const assignment of before.assignments.values()) cell.assignments.set(assignment.workId, assignment);
    }
    for (const item of bid.held) {
      const assignment = cell.assignmentOf(item);
      if (assignment === undefined || assignment.held) continue;
      assignment.held = true;
      confirmed.push(assignment);
    }
    for (const assignment of [...cell.assignments.values()]) {
      if (assignment.accepted) cell.assignments.delete(assignment.workId);
      else if (!assignment.held) cell.charge(assignment);
    }
    this.cells.set(cell.id, cell);
    this.setAvoided(cell, before?.avoidedUntilMs ?? 0);
    this.join(cell);
    const now = new Set([...cell.held.values()].map((held) => held.key));
    const known = new Set([...(before?.held.values() ?? [])].map((held) => held.key));
    const assigned = new Set(confirmed.map((assignment) => assignment.work.key));
    return {
      gap: false,
      confirmed,
      appeared: cell.evacuating ? [] : [...now].filter((key) => !known.has(key) && !assigned.has(key)),
      gone: [...known].filter((key) => !now.has(key)),
    };
  }

  /** Takes over a delta if it is the next one. One that was seen before changes nothing; after a gap nothing counts until {@link put}. */
  apply(cellId: string, delta: BidDelta): LedgerChange {
    const cell = this.cells.get(cellId);
    if (cell === undefined || cell.incomplete || delta.sequence <= cell.sequence) return NOTHING;
    if (delta.sequence !== cell.sequence + 1) {
      cell.incomplete = true;
      return { ...NOTHING, gap: true };
    }
    const turns = delta.evacuating !== cell.evacuating;
    if (turns) this.leave(cell);
    const startingBefore = cell.startingContainers;
    cell.report(delta);
    const confirmed: Assignment[] = [];
    const appeared: string[] = [];
    const gone: string[] = [];
    for (const item of delta.added) {
      const assignment = cell.assignmentOf(item);
      if (assignment !== undefined && !assignment.held) {
        confirmed.push(assignment);
        this.settle(cell, assignment);
      }
      const held = cell.hold(item);
      if (held === undefined) continue;
      this.countInstance(cell, held, 1);
      if (assignment === undefined) appeared.push(held.key);
    }
    for (const item of delta.removed) {
      const assignment = cell.assignmentOf(item);
      if (assignment !== undefined && !assignment.held) this.settle(cell, assignment);
      const held = cell.release(item);
      if (held === undefined) continue;
      this.countInstance(cell, held, -1);
      gone.push(held.key);
    }
    if (turns) this.join(cell);
    else this.touch(cell, startingBefore);
    // What an evacuating cell holds is to be placed again, so it stands in nobody's way.
    if (turns && cell.evacuating) for (const held of cell.held.values()) gone.push(held.key);
    return { gap: false, confirmed, appeared, gone };
  }

  /** Hands work to a cell: its resources are taken from now on. */
  reserve(cell: LedgerCell, work: PlaceableWork, workId: string, nowMs: number): Assignment {
    const assignment: Assignment = {
      workId,
      work,
      cellId: cell.id,
      handedOutAtMs: nowMs,
      accepted: false,
      held: false,
    };
    const startingBefore = cell.startingContainers;
    cell.assignments.set(workId, assignment);
    cell.charge(assignment);
    if (work.subject.kind === 'lrp' && cell.tree !== undefined) this.processes.add(work.subject.processGuid, cell);
    this.touch(cell, startingBefore);
    return assignment;
  }

  /** The cell said yes. @returns undefined when it was not asked, or said so before */
  accept(cellId: string, workId: string): Assignment | undefined {
    const cell = this.cells.get(cellId);
    const assignment = cell?.assignments.get(workId);
    if (cell === undefined || assignment === undefined || assignment.accepted) return undefined;
    assignment.accepted = true;
    if (assignment.held) cell.assignments.delete(workId);
    return assignment;
  }

  /** Takes work back: the cell refused it, or keeps silent. @returns undefined when it is not outstanding there */
  withdraw(cellId: string, workId: string): Assignment | undefined {
    const cell = this.cells.get(cellId);
    const assignment = cell?.assignments.get(workId);
    if (cell === undefined || assignment === undefined) return undefined;
    const startingBefore = cell.startingContainers;
    if (!assignment.held) this.settle(cell, assignment);
    cell.assignments.delete(workId);
    this.touch(cell, startingBefore);
    return assignment;
  }

  /** Whether the cell's state shows the work. */
  holds(cellId: string, key: string): boolean {
    for (const held of this.cells.get(cellId)?.held.values() ?? []) if (held.key === key) return true;
    return false;
  }

  /** The cell is gone. @returns what it was handed and had not answered */
  remove(cellId: string): Assignment[] {
    const cell = this.cells.get(cellId);
    if (cell === undefined) return [];
    this.leave(cell);
    this.avoided.delete(cell);
    this.cells.delete(cellId);
    return [...cell.assignments.values()].filter((assignment) => !assignment.accepted);
  }

  /** Places nothing on the cell until then. */
  avoid(cellId: string, untilMs: number): void {
    const cell = this.cells.get(cellId);
    if (cell === undefined) return;
    this.setAvoided(cell, untilMs);
    this.touch(cell, cell.startingContainers);
  }

  /** Ends what is over by `nowMs`. */
  expire(nowMs: number): void {
    for (const cell of this.avoided) if (cell.avoidedUntilMs <= nowMs) this.avoid(cell.id, 0);
  }

  private setAvoided(cell: LedgerCell, untilMs: number): void {
    cell.avoidedUntilMs = untilMs;
    if (untilMs > 0) this.avoided.add(cell);
    else this.avoided.delete(cell);
  }

  /** Its resources are no longer to be charged: the cell shows it, or it is off. */
  private settle(cell: LedgerCell, assignment: Assignment): void {
    assignment.held = true;
    cell.discharge(assignment);
    const { subject } = assignment.work;
    if (subject.kind === 'lrp' && cell.tree !== undefined) this.processes.remove(subject.processGuid, cell);
    if (assignment.accepted) cell.assignments.delete(assignment.workId);
  }

  /** Lets a cell take part in placement, with all that it holds. An evacuating one takes no part, nor do its instances count. */
  private join(cell: LedgerCell): void {
    this.failures.clear();
    if (cell.evacuating) return;
    this.index.insert(cell);
    this.admitted++;
    this.starting += cell.startingContainers;
    for (const held of cell.held.values()) this.countInstance(cell, held, 1);
    for (const { work, held } of cell.assignments.values()) {
      if (!held && work.subject.kind === 'lrp') this.processes.add(work.subject.processGuid, cell);
    }
  }

  private leave(cell: LedgerCell): void {
    this.failures.clear();
    if (cell.tree === undefined) return;
    for (const held of cell.held.values()) this.countInstance(cell, held, -1);
    for (const { work, held } of cell.assignments.values()) {
      if (!held && work.subject.kind === 'lrp') this.processes.remove(work.subject.processGuid, cell);
    }
    this.index.remove(cell);
    this.admitted--;
    this.starting -= cell.startingContainers;
  }

  private countInstance(cell: LedgerCell, held: Held, by: 1 | -1): void {
    if (cell.tree === undefined || held.processGuid === '') return;
    if (by === 1) this.processes.add(held.processGuid, cell);
    else this.processes.remove(held.processGuid, cell);
  }

  private touch(cell: LedgerCell, startingBefore: number): void {
    if (this.failures.size > 0) this.failures.clear();
    this.index.touch(cell);
    if (cell.tree !== undefined) this.starting += cell.startingContainers - startingBefore;
  }
}
