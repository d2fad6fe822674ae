import type { BidDelta, CellBid, HeldWork, Resources } from '@rivera/gen/rivera/auction/v1/bid_service';
import type { CellTree, TreeCell } from './cell-tree.js';
import { type JudgedCell, memoryOn } from './failure.js';
import { type Offer, offerOf } from './filters.js';
import type { Place } from './process-index.js';
import { type Amounts, inverseOf, lrpBase, type ScoreWeights, taskBase } from './score.js';
import { lrpKey, type PlaceableWork, taskKey } from './work.js';

/** Work handed to a cell, until both its answer and its state are known. */
export interface Assignment {
  readonly workId: string;
  readonly work: PlaceableWork;
  readonly cellId: string;
  readonly handedOutAtMs: number;
  /** The cell's answer said so. */
  accepted: boolean;
  /** The cell's state shows it, and so covers its resources. */
  held: boolean;
}

/** One piece of work in a cell's state. */
export interface Held {
  /** As in {@link PlaceableWork.key}. */
  readonly key: string;
  /** '' for a Task. */
  readonly processGuid: string;
}

/**
 * A cell in the ledger: what it last said, minus what it was handed and does not show yet. All numbers that placement looks at
 * are derived in {@link recompute}, from whole numbers, so that equal cells have equal scores to the last bit.
 */
export class LedgerCell implements TreeCell, Place, JudgedCell {
  readonly id: string;
  readonly zone: string;
  readonly offer: Offer;
  readonly total: Amounts;
  readonly inverse: { readonly memory: number; readonly disk: number; readonly containers: number };
  readonly proxyMemoryMb: number;
  /** Ordinal that the cell gave. */
  readonly reportedIndex: number;
  /** By identity: an LRP's slot can be there twice, once draining. */
  readonly held = new Map<string, Held>();
  readonly assignments = new Map<string, Assignment>();

  /** Of the last state or delta that was taken over. */
  sequence: number;
  /** A delta was missed; those that follow say nothing until the full state comes. */
  incomplete = false;
  evacuating: boolean;
  avoidedUntilMs = 0;
  /** Dense among the cells of its zone; written by the index. */
  index = 0;
  /** Where it is searched; undefined while it takes no part in placement. Written by the index. */
  tree: CellTree<LedgerCell> | undefined;
  position = 0;

  /** Effective: minus what is handed out. */
  free: Amounts;
  startingContainers = 0;
  lrpBase = 0;
  taskBase = 0;

  private reported: Amounts;
  private reportedStarting: number;
  private chargedMemoryMb = 0;
  private chargedDiskMb = 0;
  private charged = 0;
  private tasks = 0;

  constructor(bid: CellBid) {
    this.id = bid.cellId;
    this.zone = bid.zone;
    this.offer = offerOf(bid);
    this.total = amountsOf(bid.total);
    this.inverse = {
      memory: inverseOf(this.total.memoryMb),
      disk: inverseOf(this.total.diskMb),
      containers: inverseOf(this.total.containers),
    };
    this.proxyMemoryMb = bid.proxyMemoryMb;
    this.reportedIndex = bid.cellIndex;
    this.sequence = bid.sequence;
    this.evacuating = bid.evacuating;
    this.reported = this.withinTotal(amountsOf(bid.available));
    this.reportedStarting = Math.max(0, bid.startingContainers);
    this.free = this.reported;
    for (const item of bid.held) this.hold(item);
  }

  get avoided(): boolean {
    return this.avoidedUntilMs > 0;
  }

  get closed(): boolean {
    return this.avoidedUntilMs > 0 || this.evacuating;
  }

  get freeMemoryMb(): number {
    return this.free.memoryMb;
  }

  get freeDiskMb(): number {
    return this.free.diskMb;
  }

  get freeContainers(): number {
    return this.free.containers;
  }

  /** Takes over the numbers of a delta; the caller sees to what is added and removed. */
  report(delta: BidDelta): void {
    this.sequence = delta.sequence;
    this.evacuating = delta.evacuating;
    if (delta.available !== undefined) this.reported = this.withinTotal(amountsOf(delta.available));
    this.reportedStarting = Math.max(0, delta.startingContainers);
  }

  /** Notes that the cell has it. @returns undefined when that was known, or the message names no work */
  hold(item: HeldWork): Held | undefined {
    const identity = identityOf(item);
    if (identity === undefined || this.held.has(identity)) return undefined;
    const held = heldOf(item);
    if (held === undefined) return undefined;
    this.held.set(identity, held);
    if (held.processGuid === '') this.tasks++;
    return held;
  }

  /** Notes that the cell has it no longer. @returns undefined when it never had */
  release(item: HeldWork): Held | undefined {
    const identity = identityOf(item);
    const held = identity === undefined ? undefined : this.held.get(identity);
    if (identity === undefined || held === undefined) return undefined;
    this.held.delete(identity);
    if (held.processGuid === '') this.tasks--;
    return held;
  }

  /** The assignment that a piece of held work came from, if it is not confirmed yet. */
  assignmentOf(item: HeldWork): Assignment | undefined {
    const known = item.workId === '' ? undefined : this.assignments.get(item.workId);
    if (known !== undefined) return known;
    if (item.workId !== '' || this.assignments.size === 0) return undefined;
    const key = heldOf(item)?.key;
    for (const assignment of this.assignments.values()) if (assignment.work.key === key) return assignment;
    return undefined;
  }

  /** Counts an assignment's resources as taken, as long as the cell's own numbers don't. */
  charge(assignment: Assignment): void {
    this.count(assignment, 1);
  }

  /** The cell's own numbers cover it now, or it is off. */
  discharge(assignment: Assignment): void {
    this.count(assignment, -1);
  }

  recompute(weights: ScoreWeights): void {
    this.free = {
      memoryMb: this.reported.memoryMb - this.chargedMemoryMb,
      diskMb: this.reported.diskMb - this.chargedDiskMb,
      containers: this.reported.containers - this.charged,
    };
    this.startingContainers = this.reportedStarting + this.charged;
    const scored = {
      total: this.total,
      available: this.free,
      startingContainers: this.startingContainers,
      index: this.index,
    };
    this.lrpBase = lrpBase(scored, weights);
    this.taskBase = taskBase(scored, this.tasks, weights);
  }

  private count(assignment: Assignment, by: 1 | -1): void {
    const { requirements, subject } = assignment.work;
    this.chargedMemoryMb += by * memoryOn(assignment.work, this.proxyMemoryMb);
    this.chargedDiskMb += by * requirements.diskMb;
    this.charged += by;
    if (subject.kind === 'task') this.tasks += by;
  }

  /** A cell can't have more free than it has. */
  private withinTotal(available: Amounts): Amounts {
    return {
      memoryMb: Math.min(available.memoryMb, this.total.memoryMb),
      diskMb: Math.min(available.diskMb, this.total.diskMb),
      containers: Math.min(available.containers, this.total.containers),
    };
  }
}

function amountsOf(resources: Resources | undefined): Amounts {
  return {
    memoryMb: resources?.memoryMb ?? 0,
    diskMb: resources?.diskMb ?? 0,
    containers: resources?.containers ?? 0,
  };
}

function heldOf(item: HeldWork): Held | undefined {
  if (item.work?.$case === 'lrp') {
    const { processGuid, index } = item.work.value;
    return { key: lrpKey(processGuid, index), processGuid };
  }
  return item.work?.$case === 'taskGuid' ? { key: taskKey(item.work.value), processGuid: '' } : undefined;
}

function identityOf(item: HeldWork): string | undefined {
  if (item.work?.$case === 'lrp') {
    const { processGuid, index, instanceGuid } = item.work.value;
    return `${lrpKey(processGuid, index)}/${instanceGuid}`;
  }
  return item.work?.$case === 'taskGuid' ? taskKey(item.work.value) : undefined;
}
