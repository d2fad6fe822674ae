import { durationText } from '../duration-text.js';
import { CANCELLED, failed, type Step, type StepContext, type StepResult, type StepRun } from '../steps/step.js';
import type { HealthCheck } from './health-check.js';

/** What belongs to a container's health besides its checks. */
export interface LivenessOptions {
  checks: readonly HealthCheck[];
  /** `network`: probes at once, and failures are told with their kind. `action`: waits before each run. */
  style: 'network' | 'action';
  /** 0: the container may take for ever to become healthy. */
  startTimeoutMs: number;
  unhealthyIntervalMs: number;
  /** Source of failures. */
  healthSource: string;
}

/** Early probes come quickly, so that a program that starts fast isn't kept waiting for the whole interval. */
const FIRST_INTERVAL_MS = 100;

/**
 * First waits until all checks have passed once (then it is ready), afterwards until one has failed (spec cell §23). That the
 * container became healthy, and when the waiting began, is remembered across restarts of the agent.
 */
export class LivenessStep implements Step {
  constructor(
    private readonly options: LivenessOptions,
    private readonly context: Pick<StepContext, 'memory' | 'log' | 'lifetime' | 'counters'>,
  ) {}

  async run({ signal, ready }: StepRun): Promise<StepResult> {
    if (signal.aborted) return CANCELLED;
    const { memory, lifetime, log } = this.context;
    const main = log.defaultSource;
    try {
      if (memory.get('healthy') !== true) {
        const failure = await this.#startup(signal);
        if (failure) return failure;
        log.platform('Container became healthy', { source: main });
        await lifetime.alive(memory.set('healthy', true));
      }
      ready();
      const text = await this.#untilUnhealthy(signal);
      log.platform(text, { source: this.options.healthSource, stream: 'stderr' });
      log.platform('Container became unhealthy', { source: main, stream: 'stderr' });
      return failed(`Instance became unhealthy: ${text}`);
    } catch (error) {
      if (signal.aborted) return CANCELLED;
      throw error;
    }
  }

  async #startup(signal: AbortSignal): Promise<StepResult> {
    const { memory, lifetime, log } = this.context;
    const main = log.defaultSource;
    let beganMs = memory.get('startup.began');
    if (typeof beganMs !== 'number') {
      log.platform('Starting health monitoring of container', { source: main });
      beganMs = lifetime.steady.now();
      await lifetime.alive(memory.set('startup.began', beganMs));
    }
    const began = beganMs;
    const giveUp = new AbortController();
    const cut = AbortSignal.any([signal, giveUp.signal]);
    const failures = await Promise.all(
      this.options.checks.map((check) =>
        this.#untilHealthy(check, began, cut).then(
          (failure) => {
            // One that never passes is enough.
            if (failure !== undefined) giveUp.abort();
            return failure;
          },
          (error) => {
            if (!giveUp.signal.aborted || signal.aborted) throw error;
            return undefined;
          },
        ),
      ),
    );
    const texts = failures.filter((failure) => failure !== undefined);
    if (texts.length === 0) return undefined;
    const elapsed = durationText(lifetime.steady.now() - began);
    const text = texts.join('; ');
    log.platform(text, { source: this.options.healthSource, stream: 'stderr' });
    log.platform(`Failed after ${elapsed}: startup health check never passed.`, { source: main, stream: 'stderr' });
    return failed(`Instance never healthy after ${elapsed}: ${text}`);
  }

  /** Undefined when it passed, else why it did not in time. */
  async #untilHealthy(check: HealthCheck, beganMs: number, signal: AbortSignal): Promise<string | undefined> {
    const { lifetime } = this.context;
    const { style, startTimeoutMs, unhealthyIntervalMs } = this.options;
    let intervalMs = style === 'network' ? Math.min(FIRST_INTERVAL_MS, unhealthyIntervalMs) : unhealthyIntervalMs;
    if (style === 'action') await this.#pause(intervalMs, signal);
    for (let attempts = 1; ; attempts++) {
      const failure = await lifetime.alive(check.attempt(signal));
      if (failure === undefined) return undefined;
      const leftMs = startTimeoutMs > 0 ? beganMs + startTimeoutMs - lifetime.steady.now() : Number.POSITIVE_INFINITY;
      if (leftMs <= 0) {
        if (style === 'action') return failure;
        return `Timed out after ${durationText(startTimeoutMs)} (${attempts} attempts) waiting for startup check to succeed: ${failure}`;
      }
      await this.#pause(Math.min(intervalMs, leftMs), signal);
      intervalMs = Math.min(intervalMs * 2, unhealthyIntervalMs);
    }
  }

  /** Why the first check failed that did. */
  #untilUnhealthy(signal: AbortSignal): Promise<string> {
    const others = new AbortController();
    const cut = AbortSignal.any([signal, others.signal]);
    const watching = this.options.checks.map((check) => this.#watch(check, cut));
    return Promise.race(watching).finally(() => {
      others.abort();
      for (const one of watching) one.catch(() => {});
    });
  }

  async #watch(check: HealthCheck, signal: AbortSignal): Promise<string> {
    const { lifetime } = this.context;
    for (let failures = 0; ; ) {
      await this.#pause(check.intervalMs, signal);
      const failure = await lifetime.alive(check.attempt(signal));
      failures = failure === undefined ? 0 : failures + 1;
      if (failure !== undefined && failures >= check.failureThreshold) {
        this.context.counters.livenessFailures[check.kind]++;
        return this.options.style === 'network' ? `Liveness check unsuccessful: ${failure}` : failure;
      }
    }
  }

  async #pause(ms: number, signal: AbortSignal): Promise<void> {
    if (!(await this.context.lifetime.pause(ms, signal))) throw new Error('cancelled');
  }
}
