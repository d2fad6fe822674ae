import { CANCELLED, type Step, type StepContext, type StepResult, type StepRun } from '../steps/step.js';
import type { HealthCheck } from './health-check.js';

export interface ReadinessOptions {
  checks: readonly HealthCheck[];
  unhealthyIntervalMs: number;
  healthSource: string;
  /** How the container stands when this step starts. */
  initiallyReady: boolean;
  /** Told of every change. */
  changed(ready: boolean): void;
}

/** Decides whether the container should get traffic; never whether it lives. Ready at once. */
export class ReadinessStep implements Step {
  constructor(
    private readonly options: ReadinessOptions,
    private readonly context: Pick<StepContext, 'memory' | 'log' | 'lifetime'>,
  ) {}

  async run({ signal, ready }: StepRun): Promise<StepResult> {
    ready();
    if (signal.aborted) return CANCELLED;
    const { healthSource, changed } = this.options;
    const { log, memory, lifetime } = this.context;
    if (memory.get('readiness.began') !== true) {
      log.platform('Starting readiness health monitoring of container', { source: healthSource });
      await lifetime.alive(memory.set('readiness.began', true, { durable: false }));
    }
    try {
      for (let isReady = this.options.initiallyReady; ; isReady = !isReady) {
        if (!isReady) {
          await Promise.all(this.options.checks.map((check) => this.#untilPassed(check, signal)));
          log.platform('Container passed the readiness health check. Container marked ready and added to route pool.', {
            source: healthSource,
          });
          changed(true);
        } else {
          const text = await this.#untilFailed(signal);
          log.platform(`Readiness check unsuccessful: ${text}`, { source: healthSource, stream: 'stderr' });
          log.platform(
            'Container failed the readiness health check. Container marked not ready and removed from route pool.',
            { source: healthSource },
          );
          changed(false);
        }
      }
    } catch (error) {
      if (signal.aborted) return CANCELLED;
      throw error;
    }
  }

  async #untilPassed(check: HealthCheck, signal: AbortSignal): Promise<void> {
    while ((await this.context.lifetime.alive(check.attempt(signal))) !== undefined)
      await this.#pause(this.options.unhealthyIntervalMs, signal);
  }

  #untilFailed(signal: AbortSignal): Promise<string> {
    const others = new AbortController();
    const cut = AbortSignal.any([signal, others.signal]);
    const watching = this.options.checks.map((check) => this.#watch(check, cut));
    return Promise.race(watching).finally(() => {
      others.abort();
      for (const one of watching) one.catch(() => {});
    });
  }

  async #watch(check: HealthCheck, signal: AbortSignal): Promise<string> {
    for (let failures = 0; ; ) {
      await this.#pause(check.intervalMs, signal);
      const failure = await this.context.lifetime.alive(check.attempt(signal));
      failures = failure === undefined ? 0 : failures + 1;
      if (failure !== undefined && failures >= check.failureThreshold) return failure;
    }
  }

  async #pause(ms: number, signal: AbortSignal): Promise<void> {
    if (!(await this.context.lifetime.pause(ms, signal))) throw new Error('cancelled');
  }
}
