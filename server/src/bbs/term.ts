import type { Cell } from '@rivera/gen/rivera/bbs/v1/cell';
import type { Clock } from '@rivera/kit/clock';
import { RiveraError } from '@rivera/kit/errors';
import type { Logger } from '@rivera/kit/log';
import { cellToProto } from './api/to-proto.js';
import { type CallbackOptions, CallbackWorker } from './callbacks/callback-worker.js';
import { Converger, type ConvergerOptions } from './converger.js';
import type { CellRow } from './core/model.js';
import type { Engine } from './engine/engine.js';
import type { Journal } from './journal/journal.js';
import { PayloadCache } from './payload-cache.js';
import { PlacementHub } from './placement/placement-hub.js';
import { SessionRegistry } from './session/registry.js';
import { ChangeLog } from './watch/change-log.js';
import { PROCESS_TIME, type WatchTime } from './watch/watch.js';

export interface TermOptions {
  readonly engine: Engine;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly log: Logger;
  readonly callbacks: CallbackOptions;
  readonly converger: ConvergerOptions;
  /** Payloads kept in the heap. */
  readonly payloadCacheBytes: number;
  /** Changes kept for watchers that resume. */
  readonly changeLogCapacity: number;
  /** Default the process's. */
  readonly watchTime?: WatchTime;
}

/** One time of leading: the engine and everything that acts on what it made durable. It ends as a whole. */
export class BbsTerm {
  readonly engine: Engine;
  readonly log: Logger;
  readonly changeLog: ChangeLog;
  readonly watchTime: WatchTime;
  readonly sessions = new SessionRegistry();
  readonly placement: PlacementHub;
  readonly runInfos: PayloadCache;
  readonly taskDefinitions: PayloadCache;
  readonly converger: Converger;
  private readonly callbacks: CallbackWorker;

  constructor(options: TermOptions) {
    const { engine, journal, log } = options;
    this.engine = engine;
    this.log = log;
    this.changeLog = new ChangeLog(engine.durableRevision, options.changeLogCapacity);
    this.watchTime = options.watchTime ?? PROCESS_TIME;
    this.placement = new PlacementHub(engine, log);
    this.callbacks = new CallbackWorker(engine, options.callbacks, log);
    this.converger = new Converger(engine, options.clock, log, options.converger);
    const half = Math.floor(options.payloadCacheBytes / 2);
    this.runInfos = new PayloadCache(half, (guids) => reading(journal.readRunInfos(guids)));
    this.taskDefinitions = new PayloadCache(half, (guids) => reading(journal.readTaskDefinitions(guids)));
    engine.onDurable((commits) => {
      for (const { payloads, changes } of commits) {
        for (const change of changes) {
          if (change.kind === 'domain' && change.after !== undefined) this.converger.vouched(change.after.domain);
          if (change.kind === 'cell' && change.after === undefined) this.converger.forget(change.before?.cellId ?? '');
        }
        for (const { kind, guid, payload } of payloads) {
          const cache = kind === 'run-info' ? this.runInfos : this.taskDefinitions;
          if (payload === undefined) cache.delete(guid);
          else cache.put(guid, payload);
        }
      }
      this.changeLog.append(commits);
      this.placement.dispatch(commits);
      const effects = commits.flatMap((commit) => commit.effects);
      if (effects.length === 0) return;
      this.sessions.dispatch(effects);
      this.callbacks.dispatch(effects);
    });
  }

  start(): void {
    this.converger.start();
  }

  /** A cell as the API shows it. */
  cell(row: CellRow): Cell {
    const { state } = this.engine;
    return cellToProto(row, {
      lastSeenMs: this.converger.lastSeenMs(row.cellId),
      lrpInstances: state.lrpsOnCell(row.cellId).size,
      tasks: state.tasksOnCell(row.cellId).size,
    });
  }

  /** Ends everything; cells, watchers and the auctioneer learn why and look for the new leader. */
  close(reason: Error): void {
    this.converger.close();
    this.callbacks.close();
    this.sessions.closeAll(reason);
    this.placement.close(reason);
    this.engine.close(reason);
  }
}

/** What a failing journal means to whoever wanted to read. */
async function reading<T>(read: Promise<T>): Promise<T> {
  try {
    return await read;
  } catch (error) {
    throw new RiveraError('DATABASE_UNAVAILABLE', 'the database does not answer: try again', {
      cause: error,
      retryDelayMs: 500,
    });
  }
}

/** Gives handlers the current term. @throws NOT_LEADER while this server stands by */
export type CurrentTerm = () => BbsTerm;
