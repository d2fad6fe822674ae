import { RiveraError } from '@rivera/kit/errors';
import type { Logger } from '@rivera/kit/log';
import type { Effect } from '../core/draft.js';
import { deleteTask, resolveTask } from '../core/task.js';
import { owesCallback, postponeCallback } from '../core/task-callback.js';
import type { Engine } from '../engine/engine.js';
import { type CallbackTls, deliver } from './deliver.js';
import { whyNotDelivered } from './undelivered.js';

export interface CallbackOptions {
  readonly tls?: CallbackTls;
  readonly concurrency: number;
  readonly timeoutMs: number;
}

/**
 * Tells clients that their Tasks have ended. The queue is the Tasks themselves: COMPLETED with a time of the next attempt, so it
 * survives everything; here are only the deliveries under way. A 2xx answer counts as delivered; everything else is tried again
 * with growing pauses until the Task's retention is over, and then the Task is a dead letter.
 */
export class CallbackWorker {
  private readonly waiting = new Set<string>();
  private readonly busy = new Map<string, string>();
  private readonly stop = new AbortController();

  constructor(
    private readonly engine: Engine,
    private readonly options: CallbackOptions,
    private readonly log: Logger,
  ) {}

  dispatch(effects: readonly Effect[]): void {
    for (const effect of effects) {
      if (effect.kind === 'callback' && !this.busy.has(effect.taskGuid)) this.waiting.add(effect.taskGuid);
    }
    this.fill();
  }

  close(): void {
    this.waiting.clear();
    this.stop.abort();
  }

  private fill(): void {
    for (const guid of this.waiting) {
      if (this.busy.size >= this.options.concurrency || this.stop.signal.aborted) return;
      const host = hostOf(this.engine.state.tasks.get(guid)?.callbackUrl ?? '');
      // One receiver that hangs must not keep the others waiting.
      if (this.underWayTo(host) >= Math.ceil(this.options.concurrency / 4)) continue;
      this.waiting.delete(guid);
      this.busy.set(guid, host);
      void this.attempt(guid)
        .catch((error: unknown) => this.log.warn({ err: error, task: guid }, 'a callback could not be handled'))
        .finally(() => {
          this.busy.delete(guid);
          this.fill();
        });
    }
  }

  private underWayTo(host: string): number {
    let count = 0;
    for (const other of this.busy.values()) if (other === host) count++;
    return count;
  }

  private async attempt(guid: string): Promise<void> {
    const found = this.engine.state.tasks.get(guid);
    // It was tried meanwhile, and its pause is not over, or it was given up.
    if (found === undefined || !owesCallback(found) || found.nextCallbackAtMs > this.engine.now()) return;
    let task: ReturnType<typeof resolveTask>;
    try {
      task = await this.engine.execute((draft) => resolveTask(draft, guid));
    } catch (error) {
      // Somebody else is taking the result, or has.
      if (error instanceof RiveraError && ['INVALID_STATE_TRANSITION', 'TASK_NOT_FOUND'].includes(error.reason)) return;
      throw error;
    }
    const undelivered = await this.send(task);
    await this.engine.execute((draft) =>
      undelivered === undefined ? deleteTask(draft, guid) : postponeCallback(draft, guid, undelivered),
    );
  }

  /** @returns why it was not delivered; undefined when it was */
  private async send(task: Parameters<typeof deliver>[0]): Promise<string | undefined> {
    const { tls, timeoutMs } = this.options;
    try {
      const status = await deliver(task, { ...(tls && { tls }), timeoutMs, signal: this.stop.signal });
      if (status >= 200 && status < 300) return undefined;
      this.log.warn({ task: task.guid, status }, 'a callback was refused: it is tried again later');
      return `HTTP ${status}`;
    } catch (error) {
      this.log.warn({ task: task.guid, err: error }, 'a callback was not delivered: it is tried again later');
      return this.stop.signal.aborted
        ? 'the server stopped before an answer came'
        : whyNotDelivered(error, { timeoutMs });
    }
  }
}

function hostOf(url: string): string {
  return URL.canParse(url) ? new URL(url).host : '';
}
