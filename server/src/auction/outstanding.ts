import type { Assignment } from './ledger-cell.js';

/** Work that a cell was handed and has not answered for. */
export interface Pending {
  readonly assignment: Assignment;
  /** The BBS took it back meanwhile: nobody else gets it. */
  withdrawn: boolean;
  /** The cell was disconnected after it was sent; it may or may not have it. */
  lost: boolean;
}

/** All unanswered work, by key and in the order in which it was handed out. */
export class Outstanding {
  private readonly byKey = new Map<string, Pending>();
  private readonly lostByCell = new Map<string, Set<string>>();
  /** Accepted, but not yet in the cell's state: by work id, in order of time. */
  private readonly unshown = new Map<string, { assignment: Assignment; sinceMs: number }>();

  get size(): number {
    return this.byKey.size;
  }

  add(assignment: Assignment): void {
    this.byKey.set(assignment.work.key, { assignment, withdrawn: false, lost: false });
  }

  get(key: string): Pending | undefined {
    return this.byKey.get(key);
  }

  /** Ends it, if it is still this assignment that the key waits for. */
  take(assignment: Assignment): Pending | undefined {
    const { key } = assignment.work;
    const pending = this.byKey.get(key);
    if (pending?.assignment !== assignment) return undefined;
    this.byKey.delete(key);
    const lost = this.lostByCell.get(assignment.cellId);
    lost?.delete(key);
    if (lost?.size === 0) this.lostByCell.delete(assignment.cellId);
    return pending;
  }

  /** The cell went away with it. */
  lose(assignment: Assignment): void {
    const { key } = assignment.work;
    const pending = this.byKey.get(key);
    if (pending?.assignment !== assignment) return;
    pending.lost = true;
    const keys = this.lostByCell.get(assignment.cellId) ?? new Set();
    this.lostByCell.set(assignment.cellId, keys.add(key));
  }

  /** What a cell went away with. */
  lostBy(cellId: string): Assignment[] {
    return [...(this.lostByCell.get(cellId) ?? [])].flatMap((key) => this.byKey.get(key)?.assignment ?? []);
  }

  /** Accepted work must turn up in the cell's state. */
  expectShown(assignment: Assignment, nowMs: number): void {
    if (!assignment.held) this.unshown.set(assignment.workId, { assignment, sinceMs: nowMs });
  }

  /** Unanswered since `sinceMs` or longer; they stay until taken. */
  unansweredSince(sinceMs: number): Pending[] {
    const late: Pending[] = [];
    for (const pending of this.byKey.values()) {
      if (pending.assignment.handedOutAtMs > sinceMs) break;
      late.push(pending);
    }
    return late;
  }

  /** Takes those that were accepted at `sinceMs` or before and have not turned up. */
  takeUnshown(sinceMs: number): Assignment[] {
    const late: Assignment[] = [];
    for (const [workId, entry] of this.unshown) {
      if (entry.sinceMs > sinceMs) break;
      this.unshown.delete(workId);
      if (!entry.assignment.held) late.push(entry.assignment);
    }
    return late;
  }
}
