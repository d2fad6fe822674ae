import { status } from '@grpc/grpc-js';
import type { RiveraError } from '../errors.js';

/**
 * Whether a call may be repeated.
 * - `repeatable`: reads, and writes that have the same effect and answer however often they arrive.
 * - `once`: repeated only when the attempt certainly had no effect.
 */
export type Safety = 'repeatable' | 'once';

/**
 * What is known of a failed attempt.
 * - `refused`: it had no effect and may succeed elsewhere or later.
 * - `unknown`: it may have had its effect.
 * - `final`: the server decided.
 */
export type Fate = 'refused' | 'unknown' | 'final';

const REFUSALS: ReadonlySet<string> = new Set([
  'NOT_LEADER',
  'DATABASE_UNAVAILABLE',
  'TOO_MANY_REQUESTS',
  'WATCHER_TOO_SLOW',
]);

/** Judges an error of an attempt that neither the caller nor the call's own deadline ended. */
export function fateOf(error: RiveraError): Fate {
  if (REFUSALS.has(error.reason)) return 'refused';
  if (error.reason === 'OUTCOME_UNKNOWN') return 'unknown';
  switch (error.code) {
    case status.UNAVAILABLE:
      // grpc-js's words for an attempt that never found a connection. Should they change, the answer is only more careful.
      return error.reason === '' && /no connection established/i.test(error.message) ? 'refused' : 'unknown';
    case status.DEADLINE_EXCEEDED:
      return 'unknown';
    case status.CANCELLED:
    case status.INTERNAL:
      // Without a reason these do not come from Rivera's code but from a connection that broke, or a server that was killed.
      return error.reason === '' ? 'unknown' : 'final';
    case status.RESOURCE_EXHAUSTED:
      return error.retryDelayMs === undefined ? 'final' : 'refused';
    default:
      return 'final';
  }
}

/** A living server says that somebody will serve soon: worth more attempts, which outlast the default deadline and most elections. */
const PASSING: ReadonlySet<string> = new Set(['NOT_LEADER', 'DATABASE_UNAVAILABLE', 'SHUTTING_DOWN']);
const PASSING_ATTEMPTS = 12;

export function isPassing(error: RiveraError): boolean {
  return PASSING.has(error.reason);
}

const FIRST_BACKOFF_MS = 100;
const LONGEST_BACKOFF_MS = 2_000;

/** The wait before attempt `attempt + 1`: doubles, half of it by chance, and never shorter than the server asks for. */
export function backoffMs(attempt: number, random: number, error?: RiveraError): number {
  const step = Math.min(LONGEST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** Math.min(attempt - 1, 16));
  return Math.max(step * (0.5 + random / 2), error?.retryDelayMs ?? 0);
}

/** Redirects to a leader that one call follows at once, without counting them as attempts. */
export const MAX_REDIRECTS = 4;

/** A call after a failed attempt. */
export interface Situation {
  readonly safety: Safety;
  readonly fate: Fate;
  readonly error: RiveraError;
  /** Whether this attempt or an earlier one met a server that says that somebody will serve soon; others may be gone meanwhile. */
  readonly passing: boolean;
  /** Attempts made, redirects not counted; at least 1. */
  readonly attempt: number;
  readonly maxAttempts: number;
  /** Redirects followed so far. */
  readonly redirects: number;
  /** Whether the failure named a leader that was not asked yet. */
  readonly leaderKnown: boolean;
  readonly remainingMs: number;
  /** Uniform in [0, 1). */
  readonly random: number;
}

/** What to do next. */
export type Decision = { do: 'give up' } | { do: 'redirect' } | { do: 'retry'; afterMs: number };

/** Decides after a failed attempt. */
export function decide(s: Situation): Decision {
  if (s.fate === 'final' || (s.fate === 'unknown' && s.safety === 'once')) return { do: 'give up' };
  if (s.leaderKnown && s.redirects < MAX_REDIRECTS) return { do: 'redirect' };
  const maxAttempts = s.maxAttempts > 1 && s.passing ? Math.max(s.maxAttempts, PASSING_ATTEMPTS) : s.maxAttempts;
  if (s.attempt >= maxAttempts) return { do: 'give up' };
  const afterMs = backoffMs(s.attempt, s.random, s.error);
  return afterMs < s.remainingMs ? { do: 'retry', afterMs } : { do: 'give up' };
}
