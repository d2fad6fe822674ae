import { ManualClock } from '@rivera/kit/clock';
import { silentLogger } from '@rivera/kit/log';
import { cellArrived } from '../core/cell.js';
import { desireLrp, type NewDesiredLrp } from '../core/desired-lrp.js';
import type { ActualLrpRow, DesiredLrpRow, TaskRow } from '../core/model.js';
import { DEFAULT_POLICY, type Policy } from '../core/policy.js';
import { desireTask, type NewTask } from '../core/task.js';
import { newLrp, newTask, presence } from '../core/testing.js';
import { JournalError } from '../journal/journal.js';
import { MemoryDatabase, MemoryJournal } from '../journal/memory-journal.js';
import type { Commit } from './batch.js';
import { DEFAULT_ENGINE_LIMITS, Engine, type EngineLimits } from './engine.js';

export interface EngineBenchOptions {
  readonly policy?: Partial<Policy>;
  readonly limits?: Partial<EngineLimits>;
  readonly epoch?: number;
  /** Those of an earlier engine, whose successor this one is. */
  readonly database?: MemoryDatabase;
  readonly clock?: ManualClock;
}

/** The real engine on a journal in memory, for specifications of what stands around it. Time moves by hand. */
export class EngineBench {
  /** What became durable, in order. */
  readonly commits: Commit[] = [];
  private readonly watchers = new Set<() => void>();

  private constructor(
    readonly engine: Engine,
    readonly journal: MemoryJournal,
    readonly database: MemoryDatabase,
    readonly clock: ManualClock,
  ) {
    engine.onDurable((commits) => {
      this.commits.push(...commits);
      for (const look of [...this.watchers]) look();
    });
  }

  static async open(options: EngineBenchOptions = {}): Promise<EngineBench> {
    const { database = new MemoryDatabase(), clock = new ManualClock(1_000_000), epoch = 1 } = options;
    const journal = new MemoryJournal(database);
    const policy = { ...DEFAULT_POLICY, ...options.policy };
    const limits = { ...DEFAULT_ENGINE_LIMITS, ...options.limits };
    const engine = await Engine.open({ journal, epoch, policy, clock, log: silentLogger, limits });
    return new EngineBench(engine, journal, database, clock);
  }

  /** Resolves once it holds after a durable change, or holds already. */
  until(holds: () => boolean): Promise<void> {
    if (holds()) return Promise.resolve();
    return new Promise((resolve) => {
      const look = () => {
        if (!holds()) return;
        this.watchers.delete(look);
        resolve();
      };
      this.watchers.add(look);
    });
  }

  /** Keeps what is committed from now on before a closed gate. */
  closeGate(): Gate {
    const gate = new Gate();
    this.database.faults = { beforeCommit: () => gate.pass() };
    return gate;
  }

  /** Until `faults` are set anew nothing can be committed, and nothing read. */
  loseDatabase(): void {
    const away = () => {
      throw new JournalError('unavailable', 'connection refused');
    };
    this.database.faults = { beforeCommit: away, onRead: away };
  }

  lrp(processGuid: string, instances = 1, extra: Partial<NewDesiredLrp> = {}): Promise<DesiredLrpRow> {
    return this.engine.execute((draft) => desireLrp(draft, { ...newLrp(processGuid, instances), ...extra }));
  }

  task(guid: string, extra: Partial<NewTask> = {}): Promise<TaskRow> {
    return this.engine.execute((draft) => desireTask(draft, { ...newTask(guid), ...extra }));
  }

  async cell(cellId: string): Promise<void> {
    await this.engine.execute((draft) => cellArrived(draft, presence(cellId), 'i1'));
  }

  slot(processGuid: string, index = 0): ActualLrpRow | undefined {
    return this.engine.state.slot(processGuid, index).ordinary;
  }

  close(): void {
    this.engine.close();
  }
}

/** Whoever passes waits until it is opened. */
export class Gate {
  /** Resolves when somebody stands before it. */
  readonly reached: Promise<void>;
  private arrive = () => {};
  private readonly opened: Promise<void>;
  open: () => void = () => {};

  constructor() {
    this.reached = new Promise((resolve) => {
      this.arrive = resolve;
    });
    this.opened = new Promise((resolve) => {
      this.open = resolve;
    });
  }

  pass(): Promise<void> {
    this.arrive();
    return this.opened;
  }
}

/**
 * Turns of the event loop, which take as long as they take: afterwards everything has run that waits neither for time nor for a
 * gate, on however slow a machine.
 */
export async function turns(count = 25): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
}
