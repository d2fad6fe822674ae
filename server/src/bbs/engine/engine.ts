import { randomBytes } from 'node:crypto';
import { TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import type { Clock } from '@rivera/kit/clock';
import { RiveraError } from '@rivera/kit/errors';
import { failpoint, failpointsArmed } from '@rivera/kit/failpoint';
import type { Logger } from '@rivera/kit/log';
import { Draft, type RowChange } from '../core/draft.js';
import type { Policy } from '../core/policy.js';
import { State } from '../core/state.js';
import { unstorable } from '../core/storable.js';
import { type Journal, type JournalBatch, JournalError } from '../journal/journal.js';
import { type Commit, toJournalBatch } from './batch.js';
import { addRows, type PreparedState } from './prepared-state.js';

/** Bounds of an engine. */
export interface EngineLimits {
  /** Changed rows in one transaction. */
  readonly maxBatchRows: number;
  /** Changed rows that may wait for their transaction; beyond, commands are refused. */
  readonly maxWaitingRows: number;
  /** When the oldest waiting change is older than this, commands are refused instead of queued. */
  readonly maxCommitDelayMs: number;
  /** First wait before a failed transaction is repeated; doubles up to a second. */
  readonly retryMs: number;
}

export const DEFAULT_ENGINE_LIMITS: EngineLimits = {
  maxBatchRows: 8_192,
  maxWaitingRows: 500_000,
  maxCommitDelayMs: 5_000,
  retryMs: 50,
};

/** One transaction that has become durable. */
export interface CommitReport {
  readonly batch: JournalBatch;
  /** Commands in it. */
  readonly commands: number;
  /** Rows that they changed; of each row only the last image is written. */
  readonly rows: number;
  /** From the first attempt to the answer. */
  readonly ms: number;
  /** Attempts that failed before. */
  readonly retries: number;
}

export interface EngineOptions {
  readonly journal: Journal;
  /** Of the lease under which this engine writes. */
  readonly epoch: number;
  readonly policy: Policy;
  readonly clock: Clock;
  readonly log: Logger;
  readonly limits?: EngineLimits;
  /** Names for modification tags; replaced by deterministic ones in simulations. */
  readonly newEpoch?: () => string;
  /** Hears of each transaction, for those who measure; must not throw. */
  readonly onCommit?: (report: CommitReport) => void;
}

interface Waiter {
  readonly revision: number;
  readonly promise: Promise<void>;
  resolve(): void;
  reject(error: Error): void;
}

/**
 * The one writer. A command changes memory at once; what it changed is committed to the journal with everything else that
 * waits. Nothing leaves here (answers, events, effects) before it is durable, and reads wait for what they saw.
 *
 * Memory is a cache of the journal: when a batch can't be committed the engine is over, and another one loads anew.
 */
export class Engine {
  readonly state: State;
  /** Whether nearly all of it had been read before this term began. */
  readonly readAhead: boolean;
  private readonly waiting: Commit[] = [];
  private waitingRows = 0;
  private waitingSinceMs = 0;
  private readonly waiters: Waiter[] = [];
  private readonly listeners = new Set<(commits: readonly Commit[]) => void>();
  private appliedRevision = 0;
  private durableRevisionValue = 0;
  private lastWallMs: number;
  private nowMs: number;
  private committing = false;
  private flushScheduled = false;
  /** What everybody is told once this engine can't go on. */
  private failure: { readonly error: RiveraError; readonly waiting: Promise<never> } | undefined;
  private reportEnd: (reason: Error) => void = () => {};
  private readonly end = new AbortController();
  /** Resolves with the reason when this engine can't go on; never rejects. */
  readonly over: Promise<Error>;

  private constructor(
    private readonly options: EngineOptions,
    private readonly limits: EngineLimits,
    from: { readonly state: State; readonly revision: number; readonly readAhead: boolean },
  ) {
    this.state = from.state;
    this.readAhead = from.readAhead;
    this.appliedRevision = from.revision;
    this.durableRevisionValue = from.revision;
    this.lastWallMs = options.clock.now();
    this.nowMs = this.lastWallMs;
    this.over = new Promise((resolve) => {
      this.reportEnd = resolve;
    });
  }

  /** Aborted when this engine can't go on. */
  get signal(): AbortSignal {
    return this.end.signal;
  }

  /** Begins a term and loads everything, or what changed since it was read ahead. @throws JournalError */
  static async open(options: EngineOptions, prepared?: PreparedState): Promise<Engine> {
    const { journal } = options;
    const { revision } = await journal.open(options.epoch);
    const caughtUp = await prepared?.catchUp(journal, revision);
    const state = caughtUp ?? (await loaded(journal, options.policy));
    state.unreadableLrps = journal.quarantined().processGuids;
    const from = { state, revision, readAhead: caughtUp !== undefined };
    return new Engine(options, options.limits ?? DEFAULT_ENGINE_LIMITS, from);
  }

  get epoch(): number {
    return this.options.epoch;
  }

  /** Everything up to here is durable. */
  get durableRevision(): number {
    return this.durableRevisionValue;
  }

  /** Changed rows that wait for their transaction. */
  get backlogRows(): number {
    return this.waitingRows;
  }

  /** How long the oldest of them has waited. */
  get backlogAgeMs(): number {
    return this.waitingRows === 0 ? 0 : Math.max(0, this.options.clock.now() - this.waitingSinceMs);
  }

  /** Called with commits in order, once they are durable. Returns how to unsubscribe. */
  onDurable(listener: (commits: readonly Commit[]) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /**
   * Applies a command to memory. What it returns or throws may leave the process only after `durable()`.
   * @throws what the command throws, with nothing applied; UNAVAILABLE when the database can't keep up or the engine is over
   */
  apply<T>(decide: (draft: Draft) => T): T {
    this.requireOpen();
    const now = this.now();
    const draft = new Draft(this.state, { now, newEpoch: this.options.newEpoch ?? countedEpoch });
    let result: T;
    try {
      result = decide(draft);
      requireStorable(draft.changes);
    } catch (error) {
      draft.rollback();
      throw error;
    }
    const { changes, payloads, effects } = draft;
    if (changes.length > 0 || effects.length > 0) {
      if (changes.length > 0) this.appliedRevision++;
      this.enqueue({ revision: this.appliedRevision, timeMs: now, changes, payloads, effects });
    }
    return result;
  }

  /** Applies a command and waits until its outcome, whatever it is, rests on durable state. */
  async execute<T>(decide: (draft: Draft) => T): Promise<T> {
    this.requireOpen();
    let result: T;
    try {
      result = this.apply(decide);
    } catch (error) {
      await this.durable();
      throw error;
    }
    await this.durable();
    return result;
  }

  /** Looks at the state now, and returns once what it saw is durable. */
  async read<T>(look: (state: State, now: number) => T): Promise<{ result: T; revision: number }> {
    this.requireOpen();
    const revision = this.appliedRevision;
    const result = look(this.state, this.now());
    await this.durable();
    return { result, revision };
  }

  /** Resolves when everything applied so far is durable. @throws OUTCOME_UNKNOWN when that can't be known any more */
  durable(): Promise<void> {
    if (this.failure !== undefined) return this.failure.waiting;
    if (this.appliedRevision === this.durableRevisionValue) return Promise.resolve();
    const last = this.waiters[this.waiters.length - 1];
    if (last?.revision === this.appliedRevision) return last.promise;
    let resolve = () => {};
    let reject: (error: Error) => void = () => {};
    const promise = new Promise<void>((res, rej) => {
      resolve = res;
      reject = rej;
    });
    promise.catch(() => {});
    this.waiters.push({ revision: this.appliedRevision, promise, resolve, reject });
    return promise;
  }

  /** The engine's time never goes back: when the clock is set back, it goes on from where it was. */
  now(): number {
    const wallMs = this.options.clock.now();
    this.nowMs += Math.max(0, wallMs - this.lastWallMs);
    this.lastWallMs = wallMs;
    return this.nowMs;
  }

  /** Ends the engine: what is not durable is given up, and everybody who waits learns that. */
  close(reason: Error = new RiveraError('NOT_LEADER', 'this server no longer leads')): void {
    if (this.failure !== undefined) return;
    const error =
      reason instanceof RiveraError
        ? reason
        : new RiveraError('NOT_LEADER', 'this server reads its state anew: try again', { cause: reason });
    const waiting = Promise.reject(error);
    // Whoever asks after the end gets it; nobody has to.
    waiting.catch(() => {});
    this.failure = { error, waiting };
    this.waiting.length = 0;
    this.waitingRows = 0;
    const unknown = new RiveraError('OUTCOME_UNKNOWN', `the outcome is unknown: ${error.message}`, { cause: reason });
    for (const waiter of this.waiters.splice(0)) waiter.reject(unknown);
    this.listeners.clear();
    this.end.abort(error);
    this.reportEnd(reason);
  }

  private requireOpen(): void {
    if (this.failure !== undefined) throw this.failure.error;
    if (this.waitingRows === 0) return;
    const delayMs = this.options.clock.now() - this.waitingSinceMs;
    if (delayMs > this.limits.maxCommitDelayMs) {
      throw new RiveraError(
        'DATABASE_UNAVAILABLE',
        `the database has not answered for ${delayMs} ms: try again later`,
        {
          retryDelayMs: 1000,
        },
      );
    }
    if (this.waitingRows > this.limits.maxWaitingRows) {
      throw new RiveraError('TOO_MANY_REQUESTS', 'too many changes wait for the database: try again later', {
        retryDelayMs: 250,
      });
    }
  }

  private enqueue(commit: Commit): void {
    if (commit.changes.length === 0 && this.waiting.length === 0 && !this.committing) {
      this.publish([commit]);
      return;
    }
    if (this.waitingRows === 0) this.waitingSinceMs = this.options.clock.now();
    this.waiting.push(commit);
    this.waitingRows += commit.changes.length;
    if (this.committing || this.flushScheduled) return;
    this.flushScheduled = true;
    setImmediate(() => {
      this.flushScheduled = false;
      void this.flush();
    });
  }

  private async flush(): Promise<void> {
    if (this.committing) return;
    this.committing = true;
    try {
      while (this.waiting.length > 0 && this.failure === undefined) await this.commitSome();
    } catch (error) {
      this.options.log.error({ err: error }, 'a batch could not be committed: this engine is over');
      this.close(error instanceof Error ? error : new Error(String(error)));
    } finally {
      this.committing = false;
    }
  }

  private async commitSome(): Promise<void> {
    const commits = this.takeBatch();
    const revision = (commits[commits.length - 1] as Commit).revision;
    if (revision > this.durableRevisionValue) {
      passTaskPoints('before', commits);
      const batch = toJournalBatch(this.options.epoch, this.durableRevisionValue, commits);
      const startedAtMs = performance.now();
      const retries = await this.commitWithRetries(batch);
      passTaskPoints('after', commits);
      if (this.failure === undefined) {
        const rows = commits.reduce((sum, commit) => sum + commit.changes.length, 0);
        const ms = performance.now() - startedAtMs;
        this.options.onCommit?.({ batch, commands: commits.length, rows, ms, retries });
      }
    }
    if (this.failure !== undefined) return;
    this.durableRevisionValue = revision;
    for (const commit of commits) this.waitingRows -= commit.changes.length;
    this.waitingSinceMs = this.options.clock.now();
    while (this.waiters.length > 0 && (this.waiters[0] as Waiter).revision <= revision) this.waiters.shift()?.resolve();
    this.publish(commits);
  }

  private takeBatch(): Commit[] {
    let rows = 0;
    let count = 0;
    while (count < this.waiting.length && (count === 0 || rows < this.limits.maxBatchRows)) {
      rows += (this.waiting[count] as Commit).changes.length;
      count++;
    }
    return this.waiting.splice(0, count);
  }

  /** Repeats while the journal only is out of reach; the lease decides how long, by closing this engine. @returns failed attempts */
  private async commitWithRetries(batch: JournalBatch): Promise<number> {
    let retries = 0;
    for (let waitMs = this.limits.retryMs; this.failure === undefined; waitMs = Math.min(1000, waitMs * 2)) {
      try {
        await this.options.journal.commit(batch);
        return retries;
      } catch (error) {
        if (!(error instanceof JournalError) || error.kind !== 'unavailable' || this.failure !== undefined) throw error;
        this.options.log.warn({ err: error, waitMs }, 'the database is unavailable: the batch is tried again');
        retries++;
        await this.options.clock.sleep(waitMs);
      }
    }
    return retries;
  }

  /** A listener that fails would miss what is durable for ever: the next engine tells everybody everything anew. */
  private publish(commits: readonly Commit[]): void {
    for (const listener of this.listeners) {
      try {
        listener(commits);
      } catch (error) {
        this.options.log.error({ err: error }, 'a listener failed on durable commits: this engine is over');
        this.close(error instanceof Error ? error : new Error(String(error)));
      }
    }
  }
}

async function loaded(journal: Journal, policy: Policy): Promise<State> {
  const state = new State(policy);
  for await (const rows of journal.load()) addRows(state, rows);
  return state;
}

/** @throws INVALID_REQUEST for a change that no database could hold */
function requireStorable(changes: readonly RowChange[]): void {
  for (const change of changes) {
    const reason = unstorable(change);
    if (reason !== undefined) throw new RiveraError('INVALID_REQUEST', reason);
  }
}

/** Names that never repeat: one random part per process, and a count. */
const processPart = randomBytes(6).toString('hex');
let epochs = 0;

function countedEpoch(): string {
  return `${processPart}-${(++epochs).toString(36)}`;
}

/** Fail points around the commit of a Task's change of state, e.g. `bbs.before-task-RUNNING`. */
function passTaskPoints(when: 'before' | 'after', commits: readonly Commit[]): void {
  if (!failpointsArmed) return;
  for (const { changes } of commits) {
    for (const change of changes) {
      if (change.kind === 'task' && change.after) failpoint(`bbs.${when}-task-${TaskState[change.after.state]}`);
    }
  }
}
