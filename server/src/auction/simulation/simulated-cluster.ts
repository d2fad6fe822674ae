import { CellBid, type HeldWork } from '@rivera/gen/rivera/auction/v1/bid_service';
import type { Failure } from '../failure.js';
import { Ledger } from '../ledger.js';
import type { LedgerCell } from '../ledger-cell.js';
import { decide, type PlacementLimits } from '../placement.js';
import type { Amounts, ScoreWeights } from '../score.js';
import type { PlaceableWork } from '../work.js';

/** What the pretended cells offer and simulated work asks for. */
export const SIMULATED_ROOT_FS = 'preloaded:base';

/** Cells that only the ledger knows. */
export interface ClusterShape {
  readonly cells: number;
  readonly zoneOf: (cell: number) => string;
  /** What each of them has. */
  readonly total: Amounts;
  readonly settings: ScoreWeights & PlacementLimits;
  /** Instances that the cell has before, each of a process of its own. */
  readonly heldBy?: (cell: number) => number;
  /** What each of those takes; default 1 MiB of both. */
  readonly heldSize?: { readonly memoryMb: number; readonly diskMb: number };
}

/** What became of one cell. */
export interface SimulatedCell {
  readonly id: string;
  readonly zone: string;
  /** Instances that it had before. */
  readonly before: number;
  /** Pieces of work that it was given. */
  readonly placed: number;
}

/**
 * The real ledger and the real rules over cells that don't exist: what is placed stays starting for ever, as in a burst. No
 * streams and no time, so that a figure or a picture is about placement alone.
 */
export class SimulatedCluster {
  private readonly ledger: Ledger;
  private readonly settings: ClusterShape['settings'];
  private handedOut = 0;

  constructor(shape: ClusterShape) {
    this.settings = shape.settings;
    this.ledger = new Ledger(shape.settings);
    for (let cell = 0; cell < shape.cells; cell++) this.ledger.put(bidOf(shape, cell));
  }

  /** Hands the work to the best cell. @returns why no cell took it; undefined: one did */
  place(work: PlaceableWork): Failure | undefined {
    const decision = decide<LedgerCell>(this.ledger, work, this.settings);
    if (decision.kind === 'failed') return decision.failure;
    this.ledger.reserve(decision.cell, work, String(this.handedOut++), 0);
    return undefined;
  }

  /** In order of number. */
  cells(): SimulatedCell[] {
    return this.ledger
      .list()
      .map(({ id, zone, held, assignments }) => ({ id, zone, before: held.size, placed: assignments.size }));
  }
}

/** What a cell has before anything is placed. */
export function bidOf({ cells, zoneOf, total, heldBy, heldSize }: ClusterShape, cell: number): CellBid {
  const held = heldBy?.(cell) ?? 0;
  const { memoryMb, diskMb } = heldSize ?? { memoryMb: 1, diskMb: 1 };
  return CellBid.fromPartial({
    // As long as the longest, so that the order of ids is that of numbers.
    cellId: `cell-${String(cell + 1).padStart(String(cells).length, '0')}`,
    sequence: 1,
    zone: zoneOf(cell),
    cellIndex: cell,
    total,
    available: {
      memoryMb: total.memoryMb - held * memoryMb,
      diskMb: total.diskMb - held * diskMb,
      containers: total.containers - held,
    },
    rootFsProviders: [{ name: 'preloaded', properties: ['base'] }],
    held: Array.from({ length: held }, (_, n) => heldInstance(`before-${cell}-${n}`)),
  });
}

function heldInstance(processGuid: string): HeldWork {
  return { workId: '', work: { $case: 'lrp', value: { processGuid, index: 0, instanceGuid: processGuid } } };
}
