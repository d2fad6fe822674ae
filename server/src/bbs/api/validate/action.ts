import type { Duration } from '@rivera/gen/google/protobuf/duration';
import type {
  Action,
  Check,
  CheckDefinition,
  DownloadAction,
  EnvironmentVariable,
} from '@rivera/gen/rivera/recipe/v1/action';
import { checkText, type Violations } from './violations.js';

const MAX_DEPTH = 32;
const MAX_ACTIONS = 1_000;
const MAX_CHECKS = 100;
const MAX_ARGS = 10_000;
const MAX_TIMEOUT_SECONDS = 10 * 365 * 86_400;

/** What the image may say instead of a run action. */
export interface ImageSays {
  /** Its program: in the main action of work in an image of a registry. */
  path: boolean;
  /** Its user: in all actions of such work. */
  user: boolean;
}

const NOTHING: ImageSays = { path: false, user: false };

/** Checks an action and all below it. */
export function checkAction(
  violations: Violations,
  field: string,
  action: Action | undefined,
  image: ImageSays = NOTHING,
): void {
  visit(violations, field, action, 1, { count: 0, image });
}

function visit(
  violations: Violations,
  field: string,
  action: Action | undefined,
  depth: number,
  budget: { count: number; readonly image: ImageSays },
): void {
  const member = action?.action;
  if (member === undefined) return violations.add(field, 'must have exactly one action set');
  if (depth > MAX_DEPTH) return violations.add(field, `is nested deeper than ${MAX_DEPTH} levels`);
  if (++budget.count > MAX_ACTIONS) {
    if (budget.count === MAX_ACTIONS + 1) violations.add(field, `has more than ${MAX_ACTIONS} actions`);
    return;
  }
  const below = `${field}.${snake(member.$case)}`;
  switch (member.$case) {
    case 'runAction': {
      const { path, user, dir, args, env, resourceLimits } = member.value;
      checkUnlessOfImage(violations, `${below}.path`, path, budget.image.path);
      checkUnlessOfImage(violations, `${below}.user`, user, budget.image.user);
      checkText(violations, `${below}.dir`, dir);
      violations.check(args.length <= MAX_ARGS, `${below}.args`, `must have at most ${MAX_ARGS} entries`);
      for (const [i, arg] of args.entries()) checkText(violations, `${below}.args[${i}]`, arg);
      checkEnvironment(violations, `${below}.env`, env);
      violations.check(resourceLimits?.nofile !== 0, `${below}.resource_limits.nofile`, 'must be more than 0');
      return;
    }
    case 'downloadAction':
      checkRequired(violations, `${below}.user`, member.value.user);
      return checkDownload(violations, below, member.value);
    case 'uploadAction': {
      const { from, to, user } = member.value;
      checkRequired(violations, `${below}.from`, from);
      checkRequired(violations, `${below}.user`, user);
      return checkHttpUrl(violations, `${below}.to`, to);
    }
    case 'timeoutAction':
      checkPositiveDuration(violations, `${below}.timeout`, member.value.timeout);
      return visit(violations, `${below}.action`, member.value.action, depth + 1, budget);
    case 'emitProgressAction':
    case 'tryAction':
      return visit(violations, `${below}.action`, member.value.action, depth + 1, budget);
    case 'parallelAction':
    case 'serialAction':
    case 'codependentAction': {
      const { actions } = member.value;
      violations.check(actions.length > 0, `${below}.actions`, 'must have at least one action');
      for (const [i, inner] of actions.entries()) {
        if (budget.count > MAX_ACTIONS) return;
        visit(violations, `${below}.actions[${i}]`, inner, depth + 1, budget);
      }
      return;
    }
  }
}

export function checkEnvironment(violations: Violations, field: string, env: readonly EnvironmentVariable[]): void {
  for (const [i, { name, value }] of env.entries()) {
    violations.check(name.trim() !== '', `${field}[${i}].name`, 'must not be blank');
    violations.check(!name.includes('='), `${field}[${i}].name`, 'must not contain "="');
    checkText(violations, `${field}[${i}].name`, name);
    checkText(violations, `${field}[${i}].value`, value);
  }
}

/** What a download action and a cached dependency have in common. */
export function checkDownload(
  violations: Violations,
  field: string,
  download: Pick<DownloadAction, 'from' | 'to' | 'checksumAlgorithm' | 'checksumValue'>,
): void {
  checkHttpUrl(violations, `${field}.from`, download.from);
  checkRequired(violations, `${field}.to`, download.to);
  const { checksumAlgorithm: algorithm, checksumValue: value } = download;
  if (algorithm === '' && value === '') return;
  violations.check(value !== '', `${field}.checksum_value`, 'is required with checksum_algorithm');
  violations.check(algorithm !== '', `${field}.checksum_algorithm`, 'is required with checksum_value');
  const known = ['', 'md5', 'sha1', 'sha256'].includes(algorithm.toLowerCase());
  violations.check(known, `${field}.checksum_algorithm`, 'must be md5, sha1 or sha256');
}

export function checkHttpUrl(violations: Violations, field: string, url: string): void {
  if (!violations.check(url !== '', field, 'is required')) return;
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  const http = parsed?.protocol === 'http:' || parsed?.protocol === 'https:';
  violations.check(http, field, 'must be an http or https URL');
}

export function checkDefinition(violations: Violations, field: string, definition: CheckDefinition | undefined): void {
  for (const [name, checks] of [
    ['checks', definition?.checks ?? []],
    ['readiness_checks', definition?.readinessChecks ?? []],
  ] as const) {
    violations.check(checks.length <= MAX_CHECKS, `${field}.${name}`, `must have at most ${MAX_CHECKS} entries`);
  }
  for (const [i, check] of (definition?.checks ?? []).entries()) checkCheck(violations, `${field}.checks[${i}]`, check);
  for (const [i, check] of (definition?.readinessChecks ?? []).entries()) {
    checkCheck(violations, `${field}.readiness_checks[${i}]`, check);
  }
}

function checkCheck(violations: Violations, field: string, check: Check): void {
  const { probe } = check;
  if (probe === undefined) return violations.add(field, 'must have tcp_check or http_check set');
  const { port } = probe.value;
  violations.check(port >= 1 && port <= 65_535, `${field}.${snake(probe.$case)}.port`, 'must be 1..65535');
  if (check.interval) checkPositiveDuration(violations, `${field}.interval`, check.interval);
  if (check.timeout) checkPositiveDuration(violations, `${field}.timeout`, check.timeout);
}

export function checkPositiveDuration(violations: Violations, field: string, duration: Duration | undefined): void {
  const { seconds, nanos } = duration ?? { seconds: 0, nanos: 0 };
  const positive = seconds > 0 || (seconds === 0 && nanos > 0);
  if (!violations.check(positive, field, 'must be more than 0')) return;
  const inRange = seconds <= MAX_TIMEOUT_SECONDS && nanos >= 0 && nanos < 1e9;
  violations.check(inRange, field, 'must be at most ten years, with nanos of 0..999,999,999');
}

function checkUnlessOfImage(violations: Violations, field: string, text: string, ofImage: boolean): void {
  if (ofImage) checkText(violations, field, text);
  else checkRequired(violations, field, text);
}

function checkRequired(violations: Violations, field: string, text: string): void {
  violations.check(text !== '', field, 'is required');
  checkText(violations, field, text);
}

function snake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
