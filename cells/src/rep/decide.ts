import { status } from '@grpc/grpc-js';
import type { ContainerRecord, RunResult } from '../executor/executor.js';

/**
 * What a cell does next about one piece of work. Pure: a container and what the BBS is known to think of it go in, one
 * step comes out. A step is taken, then its outcome changes what is known, then this is asked again.
 *
 * Instances of LRPs (spec cell §10; a row per container state, a column per standing)
 *
 * | container            | unknown                | presumed               | claimed  | running             | released |
 * |----------------------|------------------------|------------------------|----------|---------------------|----------|
 * | none                 | forget                 | remove                 | remove   | remove              | forget   |
 * | reserved             | claim, with definition | claim, with definition | wait ¹ ³ | wait ¹ ³            | delete   |
 * | initializing/created | claim                  | claim                  | wait ³   | wait ³              | delete   |
 * | running              | announce               | announce               | announce | announce if changed | delete   |
 * | completed, stopped   | remove                 | remove                 | remove   | remove              | delete   |
 * | completed            | crash                  | crash                  | crash    | crash               | delete   |
 *
 * ¹ The run is under way. If it was refused: remove; if the definition can't be run: crash with the cause.
 *
 * Executions of Tasks (spec cell §12)
 *
 * | container                    | unknown                | presumed               | started                         | released |
 * |------------------------------|------------------------|------------------------|---------------------------------|----------|
 * | none                         | forget                 | complete as failed     | complete as failed              | forget   |
 * | reserved                     | start, with definition | start, with definition | wait ² ³                        | delete   |
 * | initializing/created/running | start, with definition | start, with definition | wait ³                          | delete   |
 * | completed                    | reject                 | start, with definition | reject if retryable or complete | delete   |
 *
 * ² The run is under way. If it was refused, or the definition can't be run: complete as failed.
 *
 * ³ If it is to be repeated: claim, announce or start again, without a definition. While this cell was silent the BBS may have
 * given up what it had acknowledged. It changes nothing where it has not; its refusal releases the container; its
 * acceptance runs nothing, as only the answer to a first claim or start does.
 *
 * A reservation that expired has run nothing: its Task is rejected, whatever its standing.
 *
 * `presumed` is the standing of containers that an earlier life of the agent left behind: their claim or start was
 * acknowledged then, or there would be no container. Announcing it anew is harmless and brings back what memory held:
 * the name of a Task's result file comes with the definition. Draining needs no table here: see the README.
 */

/** What the BBS is known to think of an instance. */
export type LrpStanding = 'unknown' | 'presumed' | 'claimed' | 'running' | 'released';

/** What the BBS is known to think of an execution. */
export type TaskStanding = 'unknown' | 'presumed' | 'started' | 'released';

/** Why a container that may run does not. */
export interface RunFailure {
  /** `definition`: it can't be turned into a recipe. `refused`: the executor would not. */
  kind: 'definition' | 'refused';
  reason: string;
}

/** What is known of an instance. */
export interface KnownLrp {
  standing: LrpStanding;
  /** Whether its standing was acknowledged on an earlier session only, and is to be confirmed on this one. */
  repeat?: boolean | undefined;
  /** The record that the BBS answered the last announcement of. */
  announced?: ContainerRecord | undefined;
  runFailure?: RunFailure | undefined;
}

/** What is known of an execution. */
export interface KnownTask {
  standing: TaskStanding;
  /** As of an instance. */
  repeat?: boolean | undefined;
  runFailure?: RunFailure | undefined;
}

export type LrpStep =
  | { do: 'wait' }
  | { do: 'claim'; includeDefinition: boolean }
  | { do: 'announce' }
  | { do: 'crash'; reason: string }
  | { do: 'remove' }
  | { do: 'delete' }
  | { do: 'forget' };

export type TaskStep =
  | { do: 'wait' }
  | { do: 'start'; includeDefinition: boolean }
  | { do: 'reject'; reason: string }
  /** Without a run: the container has none. */
  | { do: 'complete'; failure: string; result?: RunResult }
  | { do: 'delete' }
  | { do: 'forget' };

/** Reasons that clients match on (spec cell §12, §27). */
export const REASON = {
  noContainer: 'task container does not exist',
  runRefused: 'failed to run container',
  noResult: 'failed to fetch result',
  /** Of the executor, for a reservation that was not run in time. */
  expired: 'expired container',
  /** A rejection needs a reason; this is for those that have none. */
  notStarted: 'task was not started',
} as const;

/** The next step for an instance. */
export function decideLrp(container: ContainerRecord | undefined, known: KnownLrp): LrpStep {
  if (container === undefined) {
    return known.standing === 'unknown' || known.standing === 'released' ? { do: 'forget' } : { do: 'remove' };
  }
  if (known.standing === 'released') return { do: 'delete' };
  switch (container.state) {
    case 'reserved':
      if (known.runFailure?.kind === 'definition') return { do: 'crash', reason: known.runFailure.reason };
      if (known.runFailure?.kind === 'refused') return { do: 'remove' };
      if (isFirst(known.standing)) return { do: 'claim', includeDefinition: true };
      return known.repeat ? { do: 'claim', includeDefinition: false } : { do: 'wait' };
    case 'initializing':
    case 'created':
      return isFirst(known.standing) || known.repeat ? { do: 'claim', includeDefinition: false } : { do: 'wait' };
    case 'running':
      return known.repeat || differs(container, known.announced) ? { do: 'announce' } : { do: 'wait' };
    case 'completed':
      if (container.result?.stopped) return { do: 'remove' };
      // A clean exit is a crash too: an LRP is meant to stay.
      return { do: 'crash', reason: container.result?.failureReason ?? '' };
  }
}

/** The next step for an execution. */
export function decideTask(container: ContainerRecord | undefined, known: KnownTask): TaskStep {
  if (container === undefined) {
    const held = known.standing === 'presumed' || known.standing === 'started';
    return held ? { do: 'complete', failure: REASON.noContainer } : { do: 'forget' };
  }
  if (known.standing === 'released') return { do: 'delete' };
  switch (container.state) {
    case 'reserved':
      if (known.runFailure?.kind === 'definition') return { do: 'complete', failure: known.runFailure.reason };
      if (known.runFailure?.kind === 'refused') return { do: 'complete', failure: REASON.runRefused };
      return decideTaskStart(known);
    case 'initializing':
    case 'created':
    case 'running':
      return decideTaskStart(known);
    case 'completed':
      return decideCompletedTask(container.result, known.standing);
  }
}

function decideTaskStart({ standing, repeat }: KnownTask): TaskStep {
  if (isFirst(standing)) return { do: 'start', includeDefinition: true };
  return repeat ? { do: 'start', includeDefinition: false } : { do: 'wait' };
}

function decideCompletedTask(result: RunResult | undefined, standing: TaskStanding): TaskStep {
  const ended = result ?? { failed: true, failureReason: '', retryable: false, stopped: false };
  // A container that was never asked for, or waited in vain for the answer, has run no code: somebody else may have the Task.
  const neverRan = standing === 'unknown' || ended.failureReason === REASON.expired;
  if (standing === 'presumed' && !neverRan) return { do: 'start', includeDefinition: true };
  if (neverRan || (ended.failed && ended.retryable)) {
    return { do: 'reject', reason: ended.failureReason || REASON.notStarted };
  }
  return { do: 'complete', failure: ended.failed ? ended.failureReason : '', result: ended };
}

/** Whether a claim or start is the first of this life of the agent, so that its answer brings what is to be run. */
export function isFirst(standing: LrpStanding | TaskStanding): boolean {
  return standing === 'unknown' || standing === 'presumed';
}

/** Whether the BBS should hear of a running instance again. Records are immutable, so equal parts are mostly the same. */
function differs(now: ContainerRecord, announced: ContainerRecord | undefined): boolean {
  if (now === announced) return false;
  if (announced === undefined || now.routable !== announced.routable) return true;
  return (
    (now.network !== announced.network && JSON.stringify(now.network) !== JSON.stringify(announced.network)) ||
    (now.internalRoutes !== announced.internalRoutes &&
      now.internalRoutes.join() !== announced.internalRoutes.join()) ||
    (now.metricTags !== announced.metricTags && !sameTags(now.metricTags, announced.metricTags))
  );
}

function sameTags(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): boolean {
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => a[name] === b[name]);
}

/** What an answer of the BBS means. */
export type Verdict = 'accepted' | 'refused' | 'malformed' | 'again';

/**
 * Sorts answers by gRPC status: what a later attempt may get (a database that is away, an outcome nobody knows) from
 * what the BBS has decided, and that from what the cell said wrongly.
 */
export function judge(code: number): Verdict {
  switch (code) {
    case status.OK:
      return 'accepted';
    case status.CANCELLED:
    case status.UNKNOWN:
    case status.DEADLINE_EXCEEDED:
    case status.RESOURCE_EXHAUSTED:
    case status.ABORTED:
    case status.INTERNAL:
    case status.UNAVAILABLE:
      return 'again';
    case status.INVALID_ARGUMENT:
      return 'malformed';
    default:
      return 'refused';
  }
}

/** An instance's standing after a step was answered. A malformed announcement leaves the container alone (spec cell §10). */
export function lrpStandingAfter(
  step: 'claim' | 'announce' | 'crash' | 'remove',
  verdict: Verdict,
  before: LrpStanding,
): LrpStanding {
  if (before === 'released' || verdict === 'again') return before;
  switch (step) {
    case 'claim':
      return verdict === 'accepted' ? 'claimed' : 'released';
    case 'announce':
      if (verdict === 'malformed') return before;
      return verdict === 'refused' ? 'released' : 'running';
    case 'crash':
    case 'remove':
      return 'released';
  }
}

/** An execution's standing after a step was answered. */
export function taskStandingAfter(
  step: 'start' | 'reject' | 'complete',
  answer: { verdict: Verdict; shouldStart: boolean },
  before: TaskStanding,
): TaskStanding {
  if (before === 'released' || answer.verdict === 'again') return before;
  switch (step) {
    case 'start':
      return answer.verdict === 'accepted' && answer.shouldStart ? 'started' : 'released';
    case 'reject':
    case 'complete':
      return 'released';
  }
}
