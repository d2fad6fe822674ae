import type { Action, Check } from '@rivera/gen/rivera/recipe/v1/action';
import type { CheckKind } from '../counters.js';
import { durationMs } from '../duration-text.js';
import type { Slots } from '../slots.js';
import { buildStep } from '../steps/build.js';
import type { StepContext } from '../steps/step.js';
import { ForgetfulMemory } from '../steps/step-memory.js';
import { MonitorRunStep } from './monitor-run-step.js';
import { isValidCheck, type Prober } from './prober.js';

/** One thing that is asked again and again about a container's health. */
export interface HealthCheck {
  /** Undefined when healthy, else why not. Rejects when the signal aborts. */
  attempt(signal: AbortSignal): Promise<string | undefined>;
  kind: CheckKind;
  /** Between attempts while healthy. */
  intervalMs: number;
  /** Failures in a row that count as failed. */
  failureThreshold: number;
}

/** How health is looked after on this cell. */
export interface HealthSettings {
  healthyIntervalMs: number;
  unhealthyIntervalMs: number;
  /** Of a probe whose definition says nothing. */
  defaultTimeoutMs: number;
}

/** Checks that connect to the container. Those that say nothing sensible are left out. */
export function networkChecks(
  checks: readonly Check[],
  { prober, address, settings, slots }: { prober: Prober; address: string; settings: HealthSettings; slots: Slots },
): HealthCheck[] {
  return checks.filter(isValidCheck).map((check) => {
    const timeoutMs = durationMs(check.timeout) || settings.defaultTimeoutMs;
    return {
      kind: check.probe?.$case === 'httpCheck' ? 'http' : 'tcp',
      attempt: (signal) => slots.run(signal, () => prober.probe(check, { address, timeoutMs }, signal)),
      intervalMs: durationMs(check.interval) || settings.healthyIntervalMs,
      failureThreshold: Math.max(check.failureThreshold, 1),
    };
  });
}

/** The check that runs an action in the container. */
export function monitorCheck(
  monitor: Action,
  context: StepContext,
  { settings, slots }: { settings: HealthSettings; slots: Slots },
): HealthCheck {
  return {
    kind: 'monitor',
    attempt: (signal) =>
      slots.run(signal, async () => {
        // Made anew for each run: a monitor is to be run many times, and leaves no trace that a restart would have to find.
        const fresh = { ...context, memory: new ForgetfulMemory() };
        const step = buildStep(
          monitor,
          { id: 'monitor', logSource: '' },
          fresh,
          (_id, action, logSource) => new MonitorRunStep(action, logSource, fresh),
        );
        const failure = await step.run({ signal, ready: () => {} });
        signal.throwIfAborted();
        return failure?.text;
      }),
    intervalMs: settings.healthyIntervalMs,
    failureThreshold: 1,
  };
}
