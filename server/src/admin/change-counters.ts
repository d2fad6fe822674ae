import { ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import type { Counter, MetricsRegistry } from '@rivera/kit/metrics';
import type { Effect, RowChange } from '../bbs/core/draft.js';
import type { ActualLrpRow, TaskRow } from '../bbs/core/model.js';
import type { Policy } from '../bbs/core/policy.js';
import { owesCallback } from '../bbs/core/task-callback.js';
import { BBS_METRICS } from './bbs-catalogue.js';
import { nameOf } from './census.js';

/** When a change was decided, and by which numbers. */
interface Moment {
  readonly timeMs: number;
  readonly policy: Policy;
}

/** Counts what happened, over all terms of this server, from the changes that became durable. */
export class ChangeCounters {
  private readonly transitions: Counter<typeof BBS_METRICS.transitions>;
  private readonly taskRuns: Counter<typeof BBS_METRICS.taskRuns>;
  private readonly callbacks: Counter<typeof BBS_METRICS.callbacks>;
  private readonly deadLetters: Counter<typeof BBS_METRICS.deadLetterChanges>;
  private readonly effects: Counter<typeof BBS_METRICS.effects>;

  constructor(registry: MetricsRegistry) {
    this.transitions = registry.counter(BBS_METRICS.transitions);
    this.taskRuns = registry.counter(BBS_METRICS.taskRuns);
    this.callbacks = registry.counter(BBS_METRICS.callbacks);
    this.deadLetters = registry.counter(BBS_METRICS.deadLetterChanges);
    this.effects = registry.counter(BBS_METRICS.effects);
  }

  take(change: RowChange, at: Moment): void {
    if (change.kind === 'actual-lrp') this.takeLrp(change.before, change.after);
    else if (change.kind === 'task') {
      this.takeTask(change.before, change.after);
      this.takeDeadLetter(change.before, change.after, at);
    }
  }

  takeEffect({ kind }: Effect): void {
    this.effects.add(1, { kind });
  }

  private takeLrp(before: ActualLrpRow | undefined, after: ActualLrpRow | undefined): void {
    if (after?.state !== before?.state) {
      this.transitions.add(1, { to: after === undefined ? 'removed' : nameOf(ActualLrpState[after.state]) });
    }
  }

  private takeTask(before: TaskRow | undefined, after: TaskRow | undefined): void {
    if (before?.state === TaskState.PENDING && after?.state === TaskState.RUNNING) {
      this.taskRuns.add(1, { cell: after.cellId, outcome: 'started' });
    }
    if (before?.state === TaskState.RUNNING && after?.state === TaskState.COMPLETED) {
      this.taskRuns.add(1, { cell: before.cellId, outcome: after.failed ? 'failed' : 'succeeded' });
    }
    if (before?.state !== TaskState.RESOLVING || !owesCallback(before)) return;
    if (after === undefined) this.callbacks.add(1, { outcome: 'delivered' });
    else if (after.callbackAttempts > before.callbackAttempts) this.callbacks.add(1, { outcome: 'failed' });
  }

  private takeDeadLetter(before: TaskRow | undefined, after: TaskRow | undefined, { timeMs, policy }: Moment): void {
    const since = before?.callbackGivenUpAtMs ?? 0;
    if (since === 0) {
      if ((after?.callbackGivenUpAtMs ?? 0) > 0) this.deadLetters.add(1, { change: 'given-up' });
    } else if (after === undefined) {
      const dismissed = before?.state === TaskState.RESOLVING;
      const expired = since + policy.deadLetterRetentionMs <= timeMs;
      this.deadLetters.add(1, { change: dismissed ? 'dismissed' : expired ? 'expired' : 'crowded-out' });
    } else if (after.callbackGivenUpAtMs === 0) this.deadLetters.add(1, { change: 'retried' });
  }
}
