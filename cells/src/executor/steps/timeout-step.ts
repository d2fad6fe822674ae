import { durationText } from '../duration-text.js';
import { failed, type Step, type StepContext, type StepResult, type StepRun } from './step.js';

/** After a restart, how long a step whose time went by meanwhile has to show that it had ended before. */
const LATE_MS = 1000;

/** Ends the inner step when its time is over. The time runs on while no agent does. */
export class TimeoutStep implements Step {
  constructor(
    private readonly id: string,
    private readonly step: Step,
    private readonly timeoutMs: number,
    private readonly context: Pick<StepContext, 'memory' | 'lifetime'>,
  ) {}

  async run({ signal, ready }: StepRun): Promise<StepResult> {
    const { memory, lifetime } = this.context;
    const { steady } = lifetime;
    const controller = new AbortController();
    const forward = (): void => controller.abort(signal.reason);
    signal.addEventListener('abort', forward, { once: true });
    if (signal.aborted) forward();

    let expired = memory.get(`timeout.expired:${this.id}`) === true;
    let cancelTimer = (): void => {};
    if (expired) controller.abort();
    else if (!signal.aborted) {
      const startedMs = memory.get(`timeout.started:${this.id}`);
      if (typeof startedMs !== 'number') await lifetime.alive(memory.set(`timeout.started:${this.id}`, steady.now()));
      const leftMs =
        typeof startedMs === 'number' ? Math.max(startedMs + this.timeoutMs - steady.now(), LATE_MS) : this.timeoutMs;
      cancelTimer = lifetime.timer(leftMs, () => {
        expired = true;
        // Kept before the inner step is told to end: after a restart its end must not look like a failure of its own.
        void lifetime.alive(memory.set(`timeout.expired:${this.id}`, true)).then(
          () => controller.abort(),
          () => controller.abort(),
        );
      });
    }
    const failure = await this.step.run({ signal: controller.signal, ready });
    cancelTimer();
    signal.removeEventListener('abort', forward);
    if (!expired) return failure;
    const inner = failure?.kind === 'failed' ? `; ${failure.text}` : '';
    return failed(`exceeded ${durationText(this.timeoutMs)} timeout${inner}`);
  }
}
