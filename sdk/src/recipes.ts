import type { Duration } from '@rivera/gen/google/protobuf/duration';
import type { DownloadAction, RunAction, UploadAction } from '@rivera/gen/rivera/recipe/v1/action';
import { Action, Check, type EnvironmentVariable } from '@rivera/gen/rivera/recipe/v1/action';
import type { Input } from './input.js';

/** Variables as a record, or as the API has them where their order matters. */
export type Environment = Readonly<Record<string, string>> | readonly EnvironmentVariable[];

/** A process: `path` and `user` are needed. */
export type RunRecipe = Omit<Input<RunAction>, 'path' | 'user' | 'env'> & {
  path: string;
  /** User name or "uid:gid". */
  user: string;
  env?: Environment | undefined;
};
/** An archive to fetch. */
export type DownloadRecipe = Input<DownloadAction> & { from: string; to: string; user: string };
/** A file to send. */
export type UploadRecipe = Input<UploadAction> & { from: string; to: string; user: string };
/** Where the log lines of inner actions come from, unless they say so themselves. */
export interface LogSource {
  logSource?: string | undefined;
}
/** Lines around an action; empty: none. */
export interface ProgressRecipe extends LogSource {
  startMessage?: string | undefined;
  successMessage?: string | undefined;
  failureMessagePrefix?: string | undefined;
}

/** Environment variables of a container or process. */
export function environment(variables: Environment): EnvironmentVariable[] {
  if (Array.isArray(variables)) return [...variables];
  return Object.entries(variables).map(([name, value]) => ({ name, value: String(value) }));
}

/** A length of time. */
export function duration(ms: number): Duration {
  const seconds = Math.trunc(ms / 1000);
  return { seconds, nanos: Math.round((ms - seconds * 1000) * 1e6) };
}

/** Runs a process and waits for it. */
export function run({ env = [], ...process }: RunRecipe): Action {
  return action({ $case: 'runAction', value: { ...process, env: environment(env) } });
}

/** Fetches a tar, tgz or zip archive and unpacks it. */
export function download(recipe: DownloadRecipe): Action {
  return action({ $case: 'downloadAction', value: recipe });
}

/** Sends one file of the container to a URL by POST. */
export function upload(recipe: UploadRecipe): Action {
  return action({ $case: 'uploadAction', value: recipe });
}

/** One after the other; the first failure ends it. */
export function serial(actions: readonly Action[], { logSource }: LogSource = {}): Action {
  return action({ $case: 'serialAction', value: { actions: [...actions], logSource } });
}

/** Starts all, waits for all; fails with all their errors. */
export function parallel(actions: readonly Action[], { logSource }: LogSource = {}): Action {
  return action({ $case: 'parallelAction', value: { actions: [...actions], logSource } });
}

/** Starts all; the first that ends, cleanly or not, cancels the rest, and that is an error. */
export function codependent(actions: readonly Action[], { logSource }: LogSource = {}): Action {
  return action({ $case: 'codependentAction', value: { actions: [...actions], logSource } });
}

/** Interrupts the inner action after `ms`, which is more than 0. */
export function timeout(inner: Action, ms: number, { logSource }: LogSource = {}): Action {
  return action({ $case: 'timeoutAction', value: { action: inner, timeout: duration(ms), logSource } });
}

/** Succeeds whatever the inner action does. */
export function tryAction(inner: Action, { logSource }: LogSource = {}): Action {
  return action({ $case: 'tryAction', value: { action: inner, logSource } });
}

/** Writes lines into the log before and after the inner action. */
export function emitProgress(inner: Action, messages: ProgressRecipe = {}): Action {
  return action({ $case: 'emitProgressAction', value: { action: inner, ...messages } });
}

/** How often and how patiently a check probes, in milliseconds; absent: the cell's defaults. */
export interface CheckTiming {
  intervalMs?: number | undefined;
  timeoutMs?: number | undefined;
  failureThreshold?: number | undefined;
}

/** Healthy while the container's port accepts connections. */
export function tcpCheck(port: number, timing: CheckTiming = {}): Check {
  return Check.fromPartial({ probe: { $case: 'tcpCheck', value: { port } }, ...timed(timing) });
}

/** Healthy while GET answers 200. */
export function httpCheck(port: number, path = '/', timing: CheckTiming = {}): Check {
  return Check.fromPartial({ probe: { $case: 'httpCheck', value: { port, path } }, ...timed(timing) });
}

function timed({ intervalMs, timeoutMs, failureThreshold }: CheckTiming) {
  return {
    interval: intervalMs === undefined ? undefined : duration(intervalMs),
    timeout: timeoutMs === undefined ? undefined : duration(timeoutMs),
    failureThreshold: failureThreshold ?? 0,
  };
}

function action(inner: NonNullable<Input<Action>['action']>): Action {
  return Action.fromPartial({ action: inner });
}
