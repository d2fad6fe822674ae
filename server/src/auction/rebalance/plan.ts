import { BidDelta, type CellBid, type HeldWork } from '@rivera/gen/rivera/auction/v1/bid_service';
import type { WorkRequirements } from '@rivera/gen/rivera/bbs/v1/placement';
import { LrpAuction } from '@rivera/gen/rivera/bbs/v1/placement_service';
import { memoryOn } from '../failure.js';
import { Ledger } from '../ledger.js';
import type { LedgerCell } from '../ledger-cell.js';
import { decide } from '../placement.js';
import { lrpWork, type PlaceableWork } from '../work.js';

/** A running instance that may be replaced by one elsewhere. */
export interface MovableInstance {
  readonly processGuid: string;
  readonly index: number;
  readonly instanceGuid: string;
  readonly cellId: string;
  readonly domain: string;
  readonly requirements: WorkRequirements;
}

/** A cluster at one moment. */
export interface RebalanceSnapshot {
  /** Cells as they would bid, with all that they hold; those that take no work are `evacuating`. */
  readonly bids: readonly CellBid[];
  readonly movable: readonly MovableInstance[];
}

export interface Move {
  readonly instance: MovableInstance;
  /** Where the auction would place the replacement. */
  readonly to: string;
}

/** Loads are fractions: only differences above the noise of sums count. */
const NOISE = 1e-9;
/** Processes of one cell that are asked about before the cell is left as it is. */
const PROCESSES_ASKED = 64;
/** What is starting plays no part: one instance moves at a time. */
const SETTINGS = { binPackFirstFitWeight: 0, startingContainerWeight: 0, startingContainerCountMaximum: 0 };

/**
 * The moves that make loads more equal, those that help most first. Of the fullest cell that instance goes first whose move evens
 * loads out most. A replacement goes where the auction puts it, while the old instance is still there; so what the auction
 * would put into a fuller place, a fuller zone or beside more instances of its process is not moved. No move makes the
 * fullest cell fuller or the emptiest emptier, and none is there that gains nothing: a cluster that is even has no plan.
 */
export function planRebalance(snapshot: RebalanceSnapshot, maxMoves = Number.POSITIVE_INFINITY): Move[] {
  const planner = new Planner(snapshot);
  const moves: Move[] = [];
  while (moves.length < maxMoves) {
    const move = planner.next();
    if (move === undefined) break;
    moves.push(move);
  }
  return moves;
}

/** A move that is possible now. */
interface Candidate {
  readonly instance: MovableInstance;
  readonly work: PlaceableWork;
  readonly from: LedgerCell;
  readonly to: LedgerCell;
  /** By how much the sum of the squares of all loads falls. */
  readonly gain: number;
}

class Planner {
  private readonly ledger = new Ledger(SETTINGS);
  private readonly cells: LedgerCell[];
  /** Cell → process → its instances there that have not moved. */
  private readonly movable = new Map<string, Map<string, MovableInstance[]>>();
  /** Cells from which nothing more can be moved. */
  private readonly settled = new Set<LedgerCell>();

  constructor({ bids, movable }: RebalanceSnapshot) {
    for (const bid of bids) this.ledger.put({ ...bid, startingContainers: 0 });
    this.cells = this.ledger.list().filter((cell) => !cell.closed);
    for (const instance of movable) {
      const { cellId, processGuid } = instance;
      const processes = this.movable.get(cellId) ?? new Map<string, MovableInstance[]>();
      this.movable.set(cellId, processes);
      const instances = processes.get(processGuid);
      if (instances === undefined) processes.set(processGuid, [instance]);
      else instances.push(instance);
    }
  }

  next(): Move | undefined {
    for (;;) {
      const source = this.fullest();
      if (source === undefined) return undefined;
      const best = this.bestFrom(source);
      if (best === undefined) {
        this.settled.add(source);
        continue;
      }
      this.apply(best);
      return { instance: best.instance, to: best.to.id };
    }
  }

  private fullest(): LedgerCell | undefined {
    let fullest: LedgerCell | undefined;
    for (const cell of this.cells) {
      if (!this.settled.has(cell) && (fullest === undefined || loadOf(cell) > loadOf(fullest))) fullest = cell;
    }
    return fullest;
  }

  private bestFrom(source: LedgerCell): Candidate | undefined {
    // Wherever something went, it would gain nothing: not worth a search.
    const emptiest = this.cells.reduce((least, cell) => Math.min(least, loadOf(cell)), Number.POSITIVE_INFINITY);
    if (loadOf(source) - emptiest <= NOISE) return undefined;
    let best: Candidate | undefined;
    let asked = 0;
    for (const [instance] of this.movable.get(source.id)?.values() ?? []) {
      const work = instance && workOf(instance);
      if (instance === undefined || work === undefined) continue;
      if (++asked > PROCESSES_ASKED) break;
      const candidate = this.candidate(instance, work, source);
      if (candidate !== undefined && (best === undefined || candidate.gain > best.gain)) best = candidate;
    }
    return best;
  }

  private candidate(instance: MovableInstance, work: PlaceableWork, from: LedgerCell): Candidate | undefined {
    const decision = decide<LedgerCell>(this.ledger, work, SETTINGS);
    if (decision.kind === 'failed' || decision.cell === from) return undefined;
    const to = decision.cell;
    const counts = this.ledger.process(instance.processGuid);
    if (counts === undefined || counts.on(to) + 1 > counts.on(from)) return undefined;
    if (to.zone !== from.zone && counts.inZone(to.zone) + 1 > counts.inZone(from.zone)) return undefined;
    const [fromBefore, toBefore] = [loadOf(from), loadOf(to)];
    const fromAfter = fromBefore - shareOf(work, from);
    const toAfter = toBefore + shareOf(work, to);
    if (toAfter >= fromBefore - NOISE || fromAfter < toBefore - NOISE) return undefined;
    const gain = fromBefore ** 2 + toBefore ** 2 - fromAfter ** 2 - toAfter ** 2;
    return gain > NOISE ? { instance, work, from, to, gain } : undefined;
  }

  private apply({ instance, work, from, to }: Candidate): void {
    const held = heldBy(instance);
    this.change(to, work, -1, { added: [held] });
    this.change(from, work, 1, { removed: [held] });
    const processes = this.movable.get(from.id);
    const rest = processes?.get(instance.processGuid)?.slice(1) ?? [];
    if (rest.length === 0) processes?.delete(instance.processGuid);
    else processes?.set(instance.processGuid, rest);
  }

  /** The cell tells of it as it would. */
  private change(cell: LedgerCell, work: PlaceableWork, by: 1 | -1, held: Partial<BidDelta>): void {
    const available = {
      memoryMb: cell.free.memoryMb + by * memoryOn(work, cell.proxyMemoryMb),
      diskMb: cell.free.diskMb + by * work.requirements.diskMb,
      containers: cell.free.containers + by,
    };
    this.ledger.apply(cell.id, BidDelta.fromPartial({ sequence: cell.sequence + 1, available, ...held }));
  }
}

/** The mean used fraction of its resources: its base score, as what is starting and packing count for nothing here. */
function loadOf(cell: LedgerCell): number {
  return cell.lrpBase;
}

/** What the work adds to a cell's load. */
function shareOf(work: PlaceableWork, { inverse, proxyMemoryMb }: LedgerCell): number {
  return (
    (memoryOn(work, proxyMemoryMb) * inverse.memory + work.requirements.diskMb * inverse.disk + inverse.containers) / 3
  );
}

function workOf({ processGuid, index, domain, requirements }: MovableInstance): PlaceableWork | undefined {
  return lrpWork(LrpAuction.fromPartial({ processGuid, domain, indices: [index], requirements }), () => 0)[0];
}

function heldBy({ processGuid, index, instanceGuid }: MovableInstance): HeldWork {
  return { workId: '', work: { $case: 'lrp', value: { processGuid, index, instanceGuid } } };
}
