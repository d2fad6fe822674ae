import type { Clock } from '@rivera/kit/clock';
import { RiveraError } from '@rivera/kit/errors';
import type { GrpcHost } from '@rivera/kit/grpc/host';
import type { Logger } from '@rivera/kit/log';
import type { Candidate } from '../locket/election.js';
import type { CallbackTls } from './callbacks/deliver.js';
import { type BbsConfig, callbackTimeoutMs, policyOf } from './config.js';
import { type ConvergerObserver, DEFAULT_CONVERGER_OPTIONS } from './converger.js';
import { type CommitReport, Engine } from './engine/engine.js';
import { Following, HandingOver } from './handing-over.js';
import { type Journal, JournalError } from './journal/journal.js';
import { addBbsServices } from './services.js';
import { BbsTerm } from './term.js';
import type { WatchTime } from './watch/watch.js';

export interface BbsRoleOptions {
  readonly config: BbsConfig;
  readonly journal: Journal;
  readonly host: Pick<GrpcHost, 'add' | 'setServing'>;
  readonly clock: Clock;
  readonly log: Logger;
  /** For the lease `bbs`; started after this role and closed after it. */
  readonly candidate: Pick<
    Candidate,
    'onAcquired' | 'onLost' | 'onLeaderEnds' | 'announceEnd' | 'holderAddress' | 'epoch' | 'resign'
  >;
  readonly callbackTls?: CallbackTls;
  readonly observer?: BbsObserver;
  /** Names for modification tags; default at random. */
  readonly newEpoch?: () => string;
  /** Default the process's. */
  readonly watchTime?: WatchTime;
}

/** Hears of what those who measure want to know; must not throw. */
export interface BbsObserver extends ConvergerObserver {
  /** A term has begun; nothing was changed in it yet. */
  began(term: BbsTerm): void;
  committed(report: CommitReport): void;
}

/** What this server does as a BBS: it leads; it has the lease and reads its state; it waits for the lease; it is closing. */
export type BbsStanding = 'leading' | 'opening' | 'standing-by' | 'closed';

const REOPEN_MS = 500;
/** What was accepted may take so long to become durable when this server closes. */
const CLOSE_MS = 2_000;

/**
 * The BBS of one server: it stands by until it wins the lease, then leads for a term. A term that fails for another reason than
 * a lost lease is begun again, with everything loaded anew.
 */
export class BbsRole {
  private readonly services: string[];
  private current: BbsTerm | undefined;
  private opening: Promise<void> = Promise.resolve();
  /** Epoch of the lease while it is held. */
  private epoch: number | undefined;
  private closed = false;
  private readonly following: Following;
  private handingOver: HandingOver | undefined;

  constructor(private readonly options: BbsRoleOptions) {
    this.following = new Following(options, policyOf(options.config));
    this.services = addBbsServices(options.host, () => this.term());
    this.setServing(false);
    options.candidate.onAcquired(({ epoch }) => this.lead(epoch));
    options.candidate.onLeaderEnds(() => {
      if (!this.closed && this.epoch === undefined) this.following.prepare();
    });
    options.candidate.onLost(() => this.standBy(new RiveraError('NOT_LEADER', 'this server has lost its lease')));
  }

  /** The current term. @throws NOT_LEADER with the leader's address when it is known */
  term(): BbsTerm {
    if (this.current !== undefined) return this.current;
    const leader = this.options.candidate.holderAddress();
    throw new RiveraError(
      'NOT_LEADER',
      leader === undefined ? 'no server leads at the moment: try again' : `this server stands by; ${leader} leads`,
      { retryDelayMs: 250, ...(leader !== undefined && { metadata: { leader_address: leader } }) },
    );
  }

  get leading(): boolean {
    return this.current !== undefined;
  }

  /** The current term, if this server leads. */
  get leadingTerm(): BbsTerm | undefined {
    return this.current;
  }

  get standing(): BbsStanding {
    if (this.closed) return 'closed';
    if (this.current !== undefined) return 'leading';
    return this.epoch === undefined ? 'standing-by' : 'opening';
  }

  /**
   * Before `close`: a leader goes on serving until a server that stands by has read its state, so that hardly anybody notices the
   * change. Where there is none this takes a second.
   */
  async handOver(): Promise<void> {
    const { current, epoch } = this;
    if (current === undefined || epoch === undefined || this.handingOver !== undefined) return;
    this.handingOver = new HandingOver(this.options, epoch);
    await this.handingOver.untilPrepared(() => this.options.candidate.announceEnd());
  }

  /** Commits what was accepted and ends all streams; whoever closes the candidate then lets another server lead. */
  async close(): Promise<void> {
    this.closed = true;
    this.epoch = undefined;
    const term = this.current;
    this.current = undefined;
    this.setServing(false);
    if (term !== undefined) {
      const enough = new AbortController();
      const patience = this.options.clock.sleep(CLOSE_MS, enough.signal).then(() => 'late' as const);
      const durable = term.engine.durable().then(() => 'durable' as const);
      const outcome = await Promise.race([durable, patience]).catch(() => 'late' as const);
      patience.catch(() => undefined);
      enough.abort();
      if (outcome === 'durable') await this.handingOver?.ended(term.changeLog);
      term.close(new RiveraError('SHUTTING_DOWN', 'this server is closing'));
    }
    await this.opening;
    this.following.forget();
    await this.options.journal.close();
  }

  private lead(epoch: number, afterMs = 0): void {
    if (this.closed) return;
    this.epoch = epoch;
    this.opening = this.opening.then(async () => {
      if (afterMs > 0) await this.options.clock.sleep(afterMs);
      await this.open(epoch);
    });
  }

  private async open(epoch: number): Promise<void> {
    const { journal, clock, log, config, observer, newEpoch } = this.options;
    const onCommit = observer && { onCommit: (report: CommitReport) => observer.committed(report) };
    while (this.epoch === epoch && this.current === undefined) {
      const startedAtMs = clock.now();
      try {
        const seams = { ...onCommit, ...(newEpoch && { newEpoch }) };
        const prepared = this.following.take();
        const options = { journal, epoch, policy: policyOf(config), clock, log, ...seams };
        const engine = await Engine.open(options, prepared);
        if (this.epoch !== epoch) return engine.close();
        this.begin(engine, epoch);
        const { tasks, desiredLrps, actualLrpCount } = engine.state;
        const { readAhead } = engine;
        const counts = { readAhead, tasks: tasks.size, desiredLrps: desiredLrps.size, actualLrps: actualLrpCount };
        log.info({ epoch, revision: engine.durableRevision, tookMs: clock.now() - startedAtMs, ...counts }, 'leading');
      } catch (error) {
        if (error instanceof JournalError && error.kind === 'fenced') {
          log.error({ reason: error.message, epoch }, 'this server can not begin a term: standing by');
          this.epoch = undefined;
          this.options.candidate.resign();
          return;
        }
        log.warn({ err: error, epoch }, 'the term could not begin: trying again');
        await clock.sleep(REOPEN_MS);
      }
    }
  }

  private begin(engine: Engine, epoch: number): void {
    const { journal, clock, log, config, callbackTls, observer, watchTime } = this.options;
    const term = new BbsTerm({
      engine,
      journal,
      clock,
      log,
      callbacks: {
        concurrency: config.callbackConcurrency,
        timeoutMs: callbackTimeoutMs(config),
        ...(callbackTls && { tls: callbackTls }),
      },
      converger: {
        ...DEFAULT_CONVERGER_OPTIONS,
        auditIntervalMs: config.auditInterval,
        massStop: {
          graceMs: config.massStop.grace,
          fraction: config.massStop.fraction,
          minimumInstances: config.massStop.minimumInstances,
        },
        ...(observer && { observer }),
      },
      payloadCacheBytes: config.payloadCache,
      changeLogCapacity: config.changeLogCapacity,
      ...(watchTime && { watchTime }),
    });
    this.current = term;
    observer?.began(term);
    term.start();
    this.setServing(true);
    void engine.over.then((reason) => {
      if (this.current !== term) return;
      this.standBy(reason);
      // Memory could not follow the database: the lease is still ours, so the next engine reads everything anew.
      if (this.epoch === epoch) this.lead(epoch, REOPEN_MS);
    });
  }

  private standBy(reason: Error): void {
    if (reason instanceof RiveraError && reason.reason === 'NOT_LEADER') this.epoch = undefined;
    const term = this.current;
    this.current = undefined;
    this.setServing(false);
    if (term === undefined) return;
    this.options.log.warn({ err: reason }, 'standing by');
    term.close(new RiveraError('NOT_LEADER', 'this server no longer leads', { cause: reason }));
  }

  private setServing(serving: boolean): void {
    for (const service of this.services) this.options.host.setServing(service, serving);
  }
}
