import type { Logger } from '@rivera/kit/log';
import type { Gauge, MetricSpec, MetricsRegistry } from '@rivera/kit/metrics';
import type { BbsObserver } from '../bbs/bbs-role.js';
import type { AuditReport } from '../bbs/converger.js';
import type { Policy } from '../bbs/core/policy.js';
import type { Commit } from '../bbs/engine/batch.js';
import type { CommitReport } from '../bbs/engine/engine.js';
import type { PayloadCache } from '../bbs/payload-cache.js';
import type { BbsTerm } from '../bbs/term.js';
import { BBS_METRICS } from './bbs-catalogue.js';
import { Census } from './census.js';
import { ChangeCounters } from './change-counters.js';

/** Domains that are shown, at most. */
const MAX_DOMAINS = 1_000;

export interface BbsMetricsOptions {
  readonly registry: MetricsRegistry;
  readonly log: Logger;
  /** A transaction that takes longer is in the log, with what was in it. */
  readonly slowCommitMs: number;
  /** Clients that watch events at the moment. */
  readonly watchers: () => number;
}

/** Measures the BBS of a server over all its terms. */
export class BbsMetrics implements BbsObserver {
  private readonly terms;
  private readonly passes;
  private readonly passSeconds;
  private readonly lastPass;
  private readonly looks;
  private readonly mended;
  private readonly missing;
  private readonly extra;
  private readonly held;
  private readonly commits;
  private readonly commitRows;
  private readonly commitSeconds;
  private readonly commitRetries;
  private readonly slowCommits;
  private readonly changes: ChangeCounters;
  private current: { readonly term: BbsTerm; readonly census: Census } | undefined;

  constructor(private readonly options: BbsMetricsOptions) {
    const { registry } = options;
    this.terms = registry.counter(BBS_METRICS.terms);
    this.passes = registry.counter(BBS_METRICS.passes);
    this.passSeconds = registry.histogram(BBS_METRICS.passSeconds);
    this.lastPass = registry.gauge(BBS_METRICS.lastPass);
    this.looks = registry.counter(BBS_METRICS.looks);
    this.mended = registry.counter(BBS_METRICS.mended);
    this.missing = registry.gauge(BBS_METRICS.missing);
    this.extra = registry.gauge(BBS_METRICS.extra);
    this.held = registry.gauge(BBS_METRICS.held);
    this.commits = registry.counter(BBS_METRICS.commits);
    this.commitRows = registry.histogram(BBS_METRICS.commitRows);
    this.commitSeconds = registry.histogram(BBS_METRICS.commitSeconds);
    this.commitRetries = registry.counter(BBS_METRICS.commitRetries);
    this.slowCommits = registry.counter(BBS_METRICS.slowCommits);
    this.changes = new ChangeCounters(registry);
    this.forgetAudit();
    this.showState(registry);
    this.showCaches(registry);
  }

  began(term: BbsTerm): void {
    this.terms.add(1);
    const census = new Census(term.engine.state);
    this.current = { term, census };
    const { policy } = term.engine.state;
    term.engine.onDurable((commits) => this.take(commits, census, policy));
    term.engine.signal.addEventListener('abort', () => this.ended(term), { once: true });
  }

  committed({ batch, commands, rows, ms, retries }: CommitReport): void {
    this.commits.add(1);
    this.commitRows.observe(rows);
    this.commitSeconds.observe(ms / 1000);
    this.commitRetries.add(retries);
    if (ms < this.options.slowCommitMs) return;
    this.slowCommits.add(1);
    const { revision, tasks, taskDefinitions, desiredLrps, runInfos, actualLrps, domains, cells } = batch;
    const written = {
      tasks: tasks.size,
      taskDefinitions: taskDefinitions.size,
      desiredLrps: desiredLrps.size,
      runInfos: runInfos.size,
      actualLrps: actualLrps.size,
      domains: domains.size,
      cells: cells.size,
    };
    this.options.log.warn({ ms: Math.round(ms), retries, revision, commands, rows, written }, 'a commit was slow');
  }

  ticked({ due, ms }: { readonly due: number; readonly ms: number }): void {
    this.looks.add(due);
    this.passed('due', ms);
  }

  audited({ mended, missing, extra, held, durationMs }: AuditReport): void {
    this.mended.add(mended);
    this.missing.set(missing);
    this.extra.set(extra);
    this.held.set(held);
    this.passed('audit', durationMs);
  }

  private passed(kind: 'due' | 'audit', ms: number): void {
    this.passes.add(1, { kind });
    this.passSeconds.observe(ms / 1000, { kind });
    this.lastPass.set(ms / 1000, { kind });
  }

  /** A listener of the engine must not fail: it would take the term with it. */
  private take(commits: readonly Commit[], census: Census, policy: Policy): void {
    try {
      for (const { changes, effects, timeMs } of commits) {
        for (const change of changes) {
          census.take(change);
          this.changes.take(change, { timeMs, policy });
        }
        for (const effect of effects) this.changes.takeEffect(effect);
      }
    } catch (error) {
      this.options.log.error({ err: error }, 'the metrics of the BBS are wrong from now on');
    }
  }

  private ended(term: BbsTerm): void {
    if (this.current?.term !== term) return;
    this.current = undefined;
    this.forgetAudit();
  }

  /** What the latest audit found is known of a term only. */
  private forgetAudit(): void {
    this.missing.replace([]);
    this.extra.replace([]);
    this.held.replace([]);
  }

  private showState(registry: MetricsRegistry): void {
    /** Of the term, if there is one: a server that stands by knows nothing, which is not 0. */
    const shown = <S extends MetricSpec & { readonly kind: 'gauge' }>(
      spec: S,
      look: (of: { term: BbsTerm; census: Census }) => Parameters<Gauge<S>['replace']>[0],
    ): void => {
      const gauge = registry.gauge(spec);
      registry.onCollect(() => gauge.replace(this.current === undefined ? [] : look(this.current)));
    };
    const { watchers } = this.options;
    shown(BBS_METRICS.revision, ({ term }) => [[term.engine.durableRevision]]);
    shown(BBS_METRICS.instances, ({ census }) => census.instances());
    shown(BBS_METRICS.desired, ({ census }) => [[census.desiredLrps]]);
    shown(BBS_METRICS.desiredInstances, ({ census }) => [[census.desiredInstances]]);
    shown(BBS_METRICS.crashing, ({ census }) => [[census.crashing]]);
    shown(BBS_METRICS.tasks, ({ census }) => census.tasksByState());
    shown(BBS_METRICS.callbacksWaiting, ({ census }) => [[census.callbacksWaiting]]);
    shown(BBS_METRICS.deadLetters, ({ census }) => [[census.deadLetters]]);
    shown(BBS_METRICS.cells, ({ term }) => cellsByState(term));
    shown(BBS_METRICS.absentCells, ({ term }) => [[missingCellsWithWork(term)]]);
    shown(BBS_METRICS.domains, ({ term }) => freshDomains(term));
    shown(BBS_METRICS.due, ({ term }) => [[term.engine.state.due.size]]);
    shown(BBS_METRICS.backlogRows, ({ term }) => [[term.engine.backlogRows]]);
    shown(BBS_METRICS.backlogAge, ({ term }) => [[term.engine.backlogAgeMs / 1000]]);
    shown(BBS_METRICS.sessions, ({ term }) => [[term.sessions.size]]);
    shown(BBS_METRICS.watchers, () => [[watchers()]]);
    shown(BBS_METRICS.auctioneer, ({ term }) => [[term.placement.connected ? 1 : 0]]);
  }

  private showCaches(registry: MetricsRegistry): void {
    const hits = registry.counter(BBS_METRICS.cacheHits);
    const misses = registry.counter(BBS_METRICS.cacheMisses);
    const bytes = registry.gauge(BBS_METRICS.cacheBytes);
    /** Each term has caches of its own; what was told of them is taken off. */
    const told = new WeakMap<PayloadCache, { hits: number; misses: number }>();
    registry.onCollect(() => {
      const term = this.current?.term;
      if (term === undefined) return bytes.replace([]);
      for (const [payload, cache] of [
        ['run-info', term.runInfos],
        ['task-definition', term.taskDefinitions],
      ] as const) {
        const before = told.get(cache) ?? { hits: 0, misses: 0 };
        hits.add(cache.counts.hits - before.hits, { payload });
        misses.add(cache.counts.misses - before.misses, { payload });
        bytes.set(cache.keptBytes, { payload });
        told.set(cache, { ...cache.counts });
      }
    });
  }
}

function cellsByState({ engine }: BbsTerm): [number, { state: string }][] {
  const counts = { present: 0, evacuating: 0, silent: 0, missing: 0 };
  for (const { missing, silent, evacuating } of engine.state.cells.values()) {
    counts[missing ? 'missing' : silent ? 'silent' : evacuating ? 'evacuating' : 'present']++;
  }
  return Object.entries(counts).map(([state, count]) => [count, { state }]);
}

function missingCellsWithWork({ engine: { state } }: BbsTerm): number {
  let count = 0;
  for (const { cellId, missing } of state.cells.values()) if (missing && state.lrpsOnCell(cellId).size > 0) count++;
  return count;
}

function* freshDomains({ engine }: BbsTerm): Generator<[number, { domain: string }]> {
  const now = engine.now();
  let shown = 0;
  for (const domain of engine.state.domains.keys()) {
    if (!engine.state.isFresh(domain, now)) continue;
    if (++shown > MAX_DOMAINS) return;
    yield [1, { domain }];
  }
}
