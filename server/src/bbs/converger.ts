import type { Clock } from '@rivera/kit/clock';
import type { Logger } from '@rivera/kit/log';
import { auditProcess, auditTask, lookAtDue } from './core/converge.js';
import type { RowChange } from './core/draft.js';
import { dueKey } from './core/state.js';
import type { Engine } from './engine/engine.js';
import { MassStopGuard, type MassStopNumbers } from './mass-stop.js';
import { Pace } from './pace.js';

export interface ConvergerOptions {
  /** How often due things are looked at. */
  readonly tickMs: number;
  /** How often everything is compared with what is desired. */
  readonly auditIntervalMs: number;
  /** Looks between two breaths of the event loop. */
  readonly slice: number;
  readonly massStop: MassStopNumbers;
  /** For those who measure; must not throw. */
  readonly observer?: ConvergerObserver;
}

/** Hears of what the converger did. */
export interface ConvergerObserver {
  /** A pass over what was due has ended. */
  ticked(report: { readonly due: number; readonly ms: number }): void;
  /** A comparison of everything has ended. */
  audited(report: AuditReport): void;
}

/** What a comparison of everything found. */
export interface AuditReport {
  /** Rows that had to be mended. */
  readonly mended: number;
  /** Among them instances that were desired and did not exist. */
  readonly missing: number;
  /** Among them instances that were told to stop, or removed, as nobody desires them. */
  readonly extra: number;
  /** Unwanted instances that were left alone, as there are too many at once. */
  readonly held: number;
  readonly durationMs: number;
}

const AGAIN_MS = 1_000;
/** A tick may be so late without anybody having been held up. */
const LATE_MS = 1_000;

export const DEFAULT_CONVERGER_OPTIONS: ConvergerOptions = {
  tickMs: 250,
  auditIntervalMs: 30_000,
  slice: 500,
  massStop: { graceMs: 60_000, fraction: 0.25, minimumInstances: 20 },
};

/**
 * Drives what time alone brings about. Due things come from an index, so a tick costs what is due; the audit looks at everything,
 * in slices, and is expected to find nothing.
 */
export class Converger {
  private readonly lastSeen = new Map<string, number>();
  /** Cells that could say what they like: this server does not read it for now. With the sessions that stand like that. */
  private readonly unheard = new Map<string, number>();
  private readonly cancels = new Set<() => void>();
  private closed = false;
  /** When this program was last seen to go on. */
  private awakeAtMs: number;
  private readonly massStop: MassStopGuard;
  /** Rows that the last audit had to mend, and how long it took. */
  lastAudit: { mended: number; durationMs: number } | undefined;

  constructor(
    private readonly engine: Engine,
    private readonly clock: Clock,
    private readonly log: Logger,
    private readonly options: ConvergerOptions = DEFAULT_CONVERGER_OPTIONS,
  ) {
    this.massStop = new MassStopGuard(options.massStop, log);
    // A new leader knows nothing of heartbeats: every cell has one time to live to come back before it is judged.
    const now = engine.now();
    this.awakeAtMs = now;
    for (const row of engine.state.cells.values()) {
      this.lastSeen.set(row.cellId, now);
      const patienceMs = row.missing ? engine.state.policy.forgetCellMs : engine.state.policy.presenceTtlMs;
      engine.state.due.set(dueKey.cell(row.cellId), now + patienceMs);
    }
  }

  start(): void {
    this.repeat(this.options.tickMs, () => this.tick());
    this.repeat(this.options.auditIntervalMs, () => this.audit());
  }

  /** The cell was heard of. */
  seen(cellId: string): void {
    this.lastSeen.set(cellId, this.engine.now());
  }

  /**
   * What a session says is not read for now, as too much of it is not durable yet: that is no silence of the cell.
   * @returns how to say that it is read again
   */
  deafTo(cellId: string): () => void {
    this.unheard.set(cellId, (this.unheard.get(cellId) ?? 0) + 1);
    return () => {
      const others = (this.unheard.get(cellId) ?? 1) - 1;
      if (others > 0) this.unheard.set(cellId, others);
      else this.unheard.delete(cellId);
      this.seen(cellId);
    };
  }

  /** The cell is forgotten. */
  forget(cellId: string): void {
    this.lastSeen.delete(cellId);
  }

  /** A client says that what is desired in the domain is complete. */
  vouched(domain: string): void {
    this.massStop.vouched(domain, this.engine.now());
  }

  lastSeenMs(cellId: string): number {
    return this.unheard.has(cellId) ? this.engine.now() : (this.lastSeen.get(cellId) ?? 0);
  }

  close(): void {
    this.closed = true;
    for (const cancel of this.cancels) cancel();
    this.cancels.clear();
  }

  /** Looks at everything that is due now. */
  async tick(): Promise<void> {
    await this.forgiveLateness(this.options.tickMs);
    const startedAtMs = performance.now();
    let due = 0;
    for (;;) {
      const keys = this.engine.state.due.take(this.engine.now(), this.options.slice);
      this.look(keys);
      due += keys.length;
      if (keys.length < this.options.slice || this.closed) break;
      await breath();
      await this.forgiveLateness(0);
    }
    this.awakeAtMs = this.engine.now();
    this.options.observer?.ticked({ due, ms: performance.now() - startedAtMs });
  }

  /**
   * When this program was held up, or the clock leapt, cells were not silent: nobody listened. What they sent meanwhile is read first,
   * and all have so much longer. A long tick is none: between its slices they are heard.
   */
  private async forgiveLateness(expectedMs: number): Promise<void> {
    const lateMs = this.engine.now() - this.awakeAtMs - expectedMs;
    this.awakeAtMs = this.engine.now();
    if (lateMs <= LATE_MS) return;
    this.log.warn({ lateMs }, 'this server was held up: cells have so much longer to be heard of');
    for (const [cellId, seenMs] of this.lastSeen) this.lastSeen.set(cellId, seenMs + lateMs);
    await breath();
    this.awakeAtMs = this.engine.now();
  }

  /** What could not be looked at is due again soon: a database that is away must not make anything be forgotten. */
  private look(keys: readonly string[]): void {
    for (const [i, key] of keys.entries()) {
      try {
        this.engine.apply((draft) => lookAtDue(draft, key, (cellId) => this.lastSeenMs(cellId)));
      } catch (error) {
        for (const left of keys.slice(i)) this.engine.state.due.set(left, this.engine.now() + AGAIN_MS);
        throw error;
      }
    }
  }

  /** Compares everything with what is desired; returns how many rows it had to mend. */
  async audit(): Promise<number> {
    const startedAtMs = this.clock.now();
    let mended = 0;
    let missing = 0;
    let extra = 0;
    const { state } = this.engine;
    const pace = new Pace(this.options.slice);
    const mayStop = await this.massStop.look(state, this.engine.now(), pace);
    const processGuids = new Set([...state.desiredLrps.keys(), ...state.slotOrder.after('')]);
    for (const processGuid of processGuids) {
      mended += this.engine.apply((draft) => {
        const found = auditProcess(draft, processGuid, mayStop);
        if (found === 0) return 0;
        missing += draft.changes.filter(isNewInstance).length;
        extra += draft.changes.filter(isUnwantedInstance).length;
        return found;
      });
      const pause = pace.step();
      if (pause !== undefined) await pause;
      if (this.closed) return mended;
    }
    for (const guid of [...state.tasks.keys()]) {
      mended += this.engine.apply((draft) => auditTask(draft, guid));
      const pause = pace.step();
      if (pause !== undefined) await pause;
      if (this.closed) return mended;
    }
    this.lastAudit = { mended, durationMs: this.clock.now() - startedAtMs };
    this.options.observer?.audited({ ...this.lastAudit, missing, extra, held: this.massStop.held });
    if (mended > 0) this.log.warn(this.lastAudit, 'the audit had to mend rows');
    return mended;
  }

  private repeat(intervalMs: number, look: () => Promise<unknown>): void {
    const again = () => {
      const cancel = this.clock.setTimer(intervalMs, () => {
        this.cancels.delete(cancel);
        void look()
          .catch((error: unknown) => {
            if (!this.closed) this.log.warn({ err: error }, 'a pass was cut short: the next one goes on');
          })
          .finally(() => {
            if (!this.closed) again();
          });
      });
      this.cancels.add(cancel);
    };
    again();
  }
}

function isNewInstance(change: RowChange): boolean {
  return change.kind === 'actual-lrp' && change.before === undefined;
}

function isUnwantedInstance(change: RowChange): boolean {
  if (change.kind !== 'actual-lrp' || change.before === undefined) return false;
  return change.after === undefined || (change.after.retired && !change.before.retired);
}

function breath(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
