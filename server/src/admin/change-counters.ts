import { ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import type { Counter, MetricsRegistry } from '@rivera/kit/metrics';
import type { Effect, RowChange } from '../bbs/core/draft.js';
import type { ActualLrpRow, TaskRow } from '../bbs/core/model.js';
import { BBS_METRICS } from './bbs-catalogue.js';
import { nameOf } from './census.js';

/** Counts what happened, over all terms of this server, from the changes that became durable. */
export class ChangeCounters {
  private readonly transitions: Counter<typeof BBS_METRICS.transitions>;
  private readonly taskRuns: Counter<typeof BBS_METRICS.taskRuns>;
  private readonly callbacks: Counter<typeof BBS_METRICS.callbacks>;
  private readonly effects: Counter<typeof BBS_METRICS.effects>;

  constructor(registry: MetricsRegistry) {
    this.transitions = registry.counter(BBS_METRICS.transitions);
    this.taskRuns = registry.counter(BBS_METRICS.taskRuns);
    this.callbacks = registry.counter(BBS_METRICS.callbacks);
    this.effects = registry.counter(BBS_METRICS.effects);
  }

  take(change: RowChange): void {
    if (change.kind === 'actual-lrp') this.takeLrp(change.before, change.after);
    else if (change.kind === 'task') this.takeTask(change.before, change.after);
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
    if (before?.state !== TaskState.RESOLVING || before.callbackUrl === '') return;
    if (after === undefined) this.callbacks.add(1, { outcome: 'delivered' });
    else if (after.callbackAttempts > before.callbackAttempts) this.callbacks.add(1, { outcome: 'failed' });
  }
}
