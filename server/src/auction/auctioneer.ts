import type { BidDelta, CellBid, WorkAnswer, WorkItem } from '@rivera/gen/rivera/auction/v1/bid_service';
import type { PlacementResult, WorkBatch } from '@rivera/gen/rivera/bbs/v1/placement_service';
import type { Clock } from '@rivera/kit/clock';
import { RiveraError } from '@rivera/kit/errors';
import { failpoint } from '@rivera/kit/failpoint';
import type { Logger } from '@rivera/kit/log';
import { Avoidance } from './avoidance.js';
import type { AuctionConfig } from './config.js';
import type { Failure } from './failure.js';
import { Ledger, type LedgerChange } from './ledger.js';
import type { Assignment, LedgerCell } from './ledger-cell.js';
import { Outstanding } from './outstanding.js';
import { decide } from './placement.js';
import { Settling } from './settling.js';
import { invalidity, keyOf, lrpWork, type PlaceableWork, taskWork, toWorkItem, toWorkKey } from './work.js';
import { WorkQueue } from './work-queue.js';

/** How to reach a connected cell. */
export interface CellPort {
  readonly cellId: string;
  work(item: WorkItem): void;
  /** Asks for the full state. */
  resend(): void;
  end(error?: RiveraError): void;
  /** Assignments that surely never reached the cell. */
  unsent(): ReadonlySet<string>;
}

export interface AuctioneerOptions {
  /** Of the lease. */
  readonly epoch: number;
  /** Ids of assignments, never the same twice. */
  readonly newWorkId: () => string;
  /** Whether the lease is certainly held at this moment: nothing is handed out otherwise. */
  readonly holdsLease: () => boolean;
  readonly config: AuctionConfig;
  readonly clock: Clock;
  readonly log: Logger;
  /** Takes what became of work, on its way to the BBS. */
  readonly report: (results: PlacementResult[]) => void;
  /** Runs something soon, after I/O had its turn; the returned function cancels. Default: setImmediate. */
  readonly schedule?: (fn: () => void) => () => void;
  /** A clock for slices, in milliseconds. Default: performance.now. */
  readonly elapsedMs?: () => number;
}

/** Part of the cells that is not at fault when all of it is silent at once, unless it is just a few. */
const MASS_SILENCE = 0.25;
const FEWEST_FOR_MASS_SILENCE = 4;
/** How often timeouts are looked after. */
const HOUSEKEEPING_MS = 500;
/** Placements between two looks at the time. */
const PLACEMENTS_PER_LOOK = 16;
const LONGEST_REASON = 256;

/**
 * One term of the active auctioneer, from taking the lease to losing it. Everything happens between two awaits of somebody else:
 * offers, bids, deltas and answers change queue and ledger at once, and {@link run} places what waits, a slice at a time.
 */
export class Auctioneer {
  private readonly ledger: Ledger;
  private readonly queue = new WorkQueue();
  private readonly outstanding = new Outstanding();
  private readonly settling: Settling<PlaceableWork>;
  private readonly avoidance: Avoidance;
  private readonly ports = new Map<string, CellPort>();
  private readonly startedAtMs: number;
  private results: PlacementResult[] = [];
  private arrivals = 0;
  private roomWanted: (() => void)[] = [];
  private cancelRun: (() => void) | undefined;
  private cancelGate: (() => void) | undefined;
  private cancelHousekeeping: (() => void) | undefined;
  private closed = false;

  constructor(private readonly options: AuctioneerOptions) {
    this.ledger = new Ledger(options.config);
    this.settling = new Settling(options.config.settleMs);
    this.avoidance = new Avoidance(options.config);
    this.startedAtMs = options.clock.now();
    this.keepHouse();
  }

  get epoch(): number {
    return this.options.epoch;
  }

  /** Work that waits for a cell. */
  get queued(): number {
    return this.queue.size + this.settling.waiting;
  }

  /** Cells in order of id. */
  cells(): LedgerCell[] {
    return this.ledger.list();
  }

  /** Takes in what the BBS says of work. What is known already is dropped, what is on its way to a cell waits for the outcome. */
  offer(batch: WorkBatch): void {
    if (this.closed) return;
    for (const key of batch.withdrawn) this.withdraw(keyOf(key));
    const arrival = () => this.arrivals++;
    for (const auction of batch.lrps) for (const work of lrpWork(auction, arrival)) this.admit(work);
    for (const auction of batch.tasks) {
      const work = taskWork(auction, arrival);
      if (work !== undefined) this.admit(work);
    }
    this.kick();
  }

  /** Resolves when more work may be offered. */
  async room(): Promise<void> {
    while (!this.closed && this.queued >= this.options.config.maxQueued) {
      await new Promise<void>((resolve) => this.roomWanted.push(resolve));
    }
  }

  /** A cell is there, or is there again: the older stream ends. */
  connect(port: CellPort, bid: CellBid): void {
    const { cellId } = port;
    const older = this.ports.get(cellId);
    if (older !== undefined) {
      older.end(new RiveraError('SESSION_REPLACED', `cell "${cellId}" has opened a newer stream`));
      this.disconnect(older);
    }
    this.ports.set(cellId, port);
    this.takeIn(this.ledger.put(bid));
    this.ledger.avoid(cellId, this.avoidance.until(cellId, this.options.clock.now()));
    for (const assignment of this.outstanding.lostBy(cellId)) {
      if (this.ledger.holds(cellId, assignment.work.key)) this.accepted(assignment);
      else this.placeAgain(assignment);
    }
    this.options.log.info({ cell: cellId, zone: bid.zone, held: bid.held.length }, 'cell bids');
    this.flush();
    this.kick();
  }

  /** The cell sent its full state again. */
  restate(port: CellPort, bid: CellBid): void {
    if (!this.isCurrent(port)) return;
    this.takeIn(this.ledger.put(bid));
    this.kick();
  }

  change(port: CellPort, delta: BidDelta): void {
    if (!this.isCurrent(port)) return;
    const { cellId } = port;
    const change = this.ledger.apply(cellId, delta);
    if (change.gap) {
      this.options.log.warn(
        { cell: cellId, sequence: delta.sequence },
        'a delta is missing, asking for the full state',
      );
      port.resend();
    }
    this.takeIn(change);
    this.kick();
  }

  answer(port: CellPort, answers: readonly WorkAnswer[]): void {
    if (!this.isCurrent(port)) return;
    failpoint('auction.work-answered');
    const { cellId } = port;
    let took = 0;
    let refused = 0;
    for (const { workId, accepted, reason } of answers) {
      const assignment = accepted ? this.ledger.accept(cellId, workId) : this.ledger.withdraw(cellId, workId);
      if (assignment === undefined) continue;
      if (accepted) {
        took++;
        this.accepted(assignment);
      } else {
        refused++;
        this.refused(assignment, reason);
      }
    }
    if (took > 0) this.avoidance.clear(cellId);
    else if (refused > 0) this.strike(cellId, 'it refused all work of an answer');
    this.flush();
    this.kick();
  }

  /** The cell's stream is over. Nothing happens when a newer one has replaced it. */
  disconnect(port: CellPort): void {
    if (!this.isCurrent(port)) return;
    const { cellId } = port;
    this.ports.delete(cellId);
    const unsent = port.unsent();
    let lost = 0;
    for (const assignment of this.ledger.remove(cellId)) {
      if (assignment.held) this.accepted(assignment);
      else if (unsent.has(assignment.workId)) this.placeAgain(assignment);
      else {
        this.outstanding.lose(assignment);
        lost++;
      }
    }
    if (lost > 0) this.strike(cellId, 'it went away with unanswered work');
    this.options.log.info({ cell: cellId, unanswered: lost }, 'cell is gone');
    this.flush();
    this.kick();
  }

  /** Ends the term: all streams of cells end with the error. */
  close(error: RiveraError): void {
    this.closed = true;
    this.cancelRun?.();
    this.cancelGate?.();
    this.cancelHousekeeping?.();
    for (const port of this.ports.values()) port.end(error);
    this.ports.clear();
    for (const resolve of this.roomWanted.splice(0)) resolve();
  }

  /** Whatever a stream says that was replaced is void. */
  private isCurrent(port: CellPort): boolean {
    return this.ports.get(port.cellId) === port;
  }

  private admit(work: PlaceableWork): void {
    const wrong = invalidity(work);
    if (wrong !== undefined) {
      this.options.log.warn({ work: work.key, reason: wrong }, 'the BBS offered work that nobody can do; dropped');
      return;
    }
    if (this.outstanding.get(work.key) !== undefined || this.settling.has(work.key)) this.settling.hold(work.key, work);
    else this.queue.push(work);
  }

  private withdraw(key: string | undefined): void {
    if (key === undefined) return;
    this.queue.take(key);
    this.settling.drop(key);
    const pending = this.outstanding.get(key);
    if (pending !== undefined) pending.withdrawn = true;
  }

  private takeIn(change: LedgerChange): void {
    const nowMs = this.options.clock.now();
    for (const key of change.appeared) {
      if (this.outstanding.get(key) !== undefined) continue;
      this.settling.start(key, nowMs);
      const waiting = this.queue.take(key);
      if (waiting !== undefined) this.settling.hold(key, waiting);
    }
    for (const key of change.gone)
      if (this.outstanding.get(key) === undefined) this.enqueue(this.settling.release(key));
  }

  /** A cell has it. */
  private accepted(assignment: Assignment): void {
    const nowMs = this.options.clock.now();
    const { work, cellId } = assignment;
    const pending = this.outstanding.take(assignment);
    this.outstanding.expectShown(assignment, nowMs);
    if (pending === undefined) return;
    this.results.push({ key: toWorkKey(work.subject), outcome: { $case: 'placed', value: { cellId } } });
    if (pending.withdrawn) this.enqueue(this.settling.release(work.key));
    else this.settling.start(work.key, nowMs);
  }

  /** The cell said no: somebody else is asked at once, a few times. */
  private refused(assignment: Assignment, reason: string): void {
    const text = (reason || 'the cell gave no reason').slice(0, LONGEST_REASON);
    this.options.log.info({ cell: assignment.cellId, work: assignment.work.key, reason: text }, 'cell refused work');
    const refusals = [...assignment.work.refusals, { cellId: assignment.cellId, reason: text }];
    this.placeAgain(assignment, { ...assignment.work, refusals });
  }

  private placeAgain(assignment: Assignment, work = assignment.work): void {
    const pending = this.outstanding.take(assignment);
    if (pending === undefined) return;
    const newer = this.settling.release(work.key);
    if (pending.withdrawn) this.enqueue(newer);
    else if (work.refusals.length < this.options.config.placementAttempts) this.enqueue(work);
    else this.fail(work, this.ledger.explain(work));
  }

  private strike(cellId: string, why: string): void {
    const untilMs = this.avoidance.strike(cellId, this.options.clock.now());
    if (untilMs === undefined) return;
    this.options.log.warn({ cell: cellId, until: new Date(untilMs).toISOString(), why }, 'cell is avoided for a while');
    this.ledger.avoid(cellId, untilMs);
  }

  /** So many at once are not at fault: this program, the network or the database was slow, and to avoid them would leave nobody. */
  private judge(silent: ReadonlySet<string>): void {
    if (silent.size >= FEWEST_FOR_MASS_SILENCE && silent.size > this.ports.size * MASS_SILENCE) {
      const about = { silent: silent.size, cells: this.ports.size };
      this.options.log.warn(about, 'many cells do not answer in time, so it is held against none of them');
      return;
    }
    for (const cellId of silent) this.strike(cellId, 'it does not answer');
  }

  private enqueue(work: PlaceableWork | undefined): void {
    if (work !== undefined) this.queue.push(work);
  }

  private fail(work: PlaceableWork, failure: Failure): void {
    this.results.push({ key: toWorkKey(work.subject), outcome: { $case: 'notPlaced', value: failure } });
  }

  /** Places what waits until the slice is over. */
  private run(): void {
    const { config, holdsLease, elapsedMs = () => performance.now() } = this.options;
    // Whoever keeps the lease will end this term, or be sure again; housekeeping asks.
    if (!holdsLease()) return;
    const until = elapsedMs() + config.sliceMs;
    for (let n = 1; ; n++) {
      const work = this.queue.pop();
      if (work === undefined) break;
      this.place(work);
      if (n % PLACEMENTS_PER_LOOK === 0 && elapsedMs() >= until) break;
    }
    this.flush();
    this.kick();
  }

  private place(work: PlaceableWork): void {
    const { clock, config, newWorkId } = this.options;
    const decision = decide<LedgerCell>(this.ledger, work, config);
    if (decision.kind === 'failed') {
      this.fail(work, decision.failure);
      return;
    }
    const workId = newWorkId();
    const assignment = this.ledger.reserve(decision.cell, work, workId, clock.now());
    this.outstanding.add(assignment);
    failpoint('auction.work-placed');
    this.ports.get(decision.cell.id)?.work(toWorkItem(work, workId));
  }

  /** After whatever may have changed the queue: lets more in where there is room, and has what waits placed. */
  private kick(): void {
    if (this.queued < this.options.config.maxQueued) for (const resolve of this.roomWanted.splice(0)) resolve();
    if (this.closed || this.cancelRun !== undefined || this.queue.size === 0) return;
    const waitMs = this.opensAtMs() - this.options.clock.now();
    if (waitMs > 0) {
      this.cancelGate?.();
      this.cancelGate = this.options.clock.setTimer(waitMs, () => this.kick());
      return;
    }
    this.cancelRun = (this.options.schedule ?? soon)(() => {
      this.cancelRun = undefined;
      this.run();
    });
  }

  /** A new auctioneer waits a moment for cells to dial in, and longer while there is none at all. */
  private opensAtMs(): number {
    const { gatherMs, noCellGraceMs } = this.options.config;
    return this.startedAtMs + (this.ports.size === 0 ? Math.max(gatherMs, noCellGraceMs) : gatherMs);
  }

  private flush(): void {
    if (this.results.length === 0) return;
    const results = this.results;
    this.results = [];
    this.options.report(results);
  }

  private keepHouse(): void {
    this.cancelHousekeeping = this.options.clock.setTimer(HOUSEKEEPING_MS, () => {
      this.expire(this.options.clock.now());
      this.keepHouse();
    });
  }

  private expire(nowMs: number): void {
    const { answerTimeoutMs, settleMs } = this.options.config;
    this.ledger.expire(nowMs);
    const silent = new Set<string>();
    for (const { assignment, lost } of this.outstanding.unansweredSince(nowMs - answerTimeoutMs)) {
      if (assignment.held) {
        this.accepted(assignment);
        continue;
      }
      // Whether the cell has it is unknown, so it is not placed elsewhere now: the BBS knows best, and offers it again.
      this.outstanding.take(assignment);
      if (!lost) silent.add(assignment.cellId);
      this.ledger.withdraw(assignment.cellId, assignment.workId);
      this.enqueue(this.settling.release(assignment.work.key));
    }
    this.judge(silent);
    for (const assignment of this.outstanding.takeUnshown(nowMs - settleMs)) {
      this.ledger.withdraw(assignment.cellId, assignment.workId);
    }
    for (const work of this.settling.expire(nowMs)) this.enqueue(work);
    this.flush();
    this.kick();
  }
}

function soon(fn: () => void): () => void {
  const immediate = setImmediate(fn);
  return () => clearImmediate(immediate);
}
