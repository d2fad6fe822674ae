import { RiveraError } from '@rivera/kit/errors';
import type { Logger } from '@rivera/kit/log';
import type { Effect } from '../core/draft.js';
import { deleteTask, postponeCallback, resolveTask } from '../core/task.js';
import type { Engine } from '../engine/engine.js';
import { type CallbackTls, deliver } from './deliver.js';

export interface CallbackOptions {
  readonly tls?: CallbackTls;
  readonly concurrency: number;
  readonly timeoutMs: number;
}

/**
 * Tells clients that their Tasks have ended. The queue is the Tasks themselves: COMPLETED with a time of the next attempt, so it
 * survives everything; here are only the deliveries under way. A 2xx answer counts as delivered; everything else is tried again
 * with growing pauses until the Task's retention is over.
 */
export class CallbackWorker {
  private readonly waiting: string[] = [];
  private readonly busy = new Set<string>();
  private readonly stop = new AbortController();

  constructor(
    private readonly engine: Engine,
    private readonly options: CallbackOptions,
    private readonly log: Logger,
  ) {}

  dispatch(effects: readonly Effect[]): void {
    for (const effect of effects) {
      if (effect.kind === 'callback' && !this.busy.has(effect.taskGuid)) this.waiting.push(effect.taskGuid);
    }
    this.fill();
  }

  close(): void {
    this.waiting.length = 0;
    this.stop.abort();
  }

  private fill(): void {
    while (this.busy.size < this.options.concurrency && !this.stop.signal.aborted) {
      const guid = this.waiting.shift();
      if (guid === undefined) return;
      if (this.busy.has(guid)) continue;
      this.busy.add(guid);
      void this.attempt(guid)
        .catch((error: unknown) => this.log.warn({ err: error, task: guid }, 'a callback could not be handled'))
        .finally(() => {
          this.busy.delete(guid);
          this.fill();
        });
    }
  }

  private async attempt(guid: string): Promise<void> {
    let task: ReturnType<typeof resolveTask>;
    try {
      task = await this.engine.execute((draft) => resolveTask(draft, guid));
    } catch (error) {
      // Somebody else is taking the result, or has.
      if (error instanceof RiveraError && ['INVALID_STATE_TRANSITION', 'TASK_NOT_FOUND'].includes(error.reason)) return;
      throw error;
    }
    const delivered = await this.send(task);
    await this.engine.execute((draft) => (delivered ? deleteTask(draft, guid) : postponeCallback(draft, guid)));
  }

  private async send(task: Parameters<typeof deliver>[0]): Promise<boolean> {
    try {
      const { tls, timeoutMs } = this.options;
      const status = await deliver(task, { ...(tls && { tls }), timeoutMs, signal: this.stop.signal });
      if (status >= 200 && status < 300) return true;
      this.log.warn({ task: task.guid, status }, 'a callback was refused: it is tried again later');
    } catch (error) {
      this.log.warn({ task: task.guid, err: error }, 'a callback was not delivered: it is tried again later');
    }
    return false;
  }
}
