import type { Duration } from '@rivera/gen/google/protobuf/duration';
import type { RestartPolicy } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import type { ActualLrpRow } from './model.js';
import type { RestartNumbers } from './policy.js';

/** What follows from a crash. */
export interface RestartDecision {
  readonly crashCount: number;
  readonly restart: { kind: 'now' } | { kind: 'at'; atMs: number } | { kind: 'never' };
}

/** Crash policy of spec bbs §4.4. The count starts again after a long enough uptime, which readiness flips do not shorten. */
export function afterCrash(row: ActualLrpRow, now: number, numbers: RestartNumbers): RestartDecision {
  const healthyForLong = row.startedAtMs > 0 && now - row.startedAtMs > numbers.resetAfterMs;
  const crashCount = healthyForLong ? 1 : row.crashCount + 1;
  if (crashCount < numbers.immediateRestarts) return { crashCount, restart: { kind: 'now' } };
  if (numbers.giveUpAt > 0 && crashCount >= numbers.giveUpAt) return { crashCount, restart: { kind: 'never' } };
  return { crashCount, restart: { kind: 'at', atMs: now + backoffMs(crashCount, numbers) } };
}

function backoffMs(crashCount: number, numbers: RestartNumbers): number {
  const doublings = Math.max(0, crashCount - numbers.immediateRestarts);
  return Math.min(numbers.maximumBackoffMs, numbers.minimumBackoffMs * 2 ** Math.min(doublings, 30));
}

/** The platform's numbers with what an LRP sets for itself. */
export function restartNumbers(own: RestartPolicy | undefined, platform: RestartNumbers): RestartNumbers {
  if (own === undefined) return platform;
  return {
    resetAfterMs: durationMs(own.resetAfter) ?? platform.resetAfterMs,
    immediateRestarts: own.immediateRestarts ?? platform.immediateRestarts,
    minimumBackoffMs: durationMs(own.minimumBackoff) ?? platform.minimumBackoffMs,
    maximumBackoffMs: durationMs(own.maximumBackoff) ?? platform.maximumBackoffMs,
    giveUpAt: own.giveUpAt ?? platform.giveUpAt,
  };
}

function durationMs(duration: Duration | undefined): number | undefined {
  return duration === undefined ? undefined : duration.seconds * 1000 + Math.round(duration.nanos / 1e6);
}
