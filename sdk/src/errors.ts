import { status as StatusCode } from '@grpc/grpc-js';

/** One broken rule of a request. */
export interface FieldViolation {
  /** Path of the field, e.g. `desired_lrp.container.root_fs`. */
  readonly field: string;
  /** The rule that was broken. */
  readonly description: string;
}

/** What a failed call knows about its failure. */
export interface ErrorFacts {
  /** gRPC status code, 1..16. */
  code: number;
  message: string;
  reason?: string;
  metadata?: Readonly<Record<string, string>>;
  violations?: readonly FieldViolation[];
  resource?: { type: string; name: string } | undefined;
  retryDelayMs?: number | undefined;
  cause?: unknown;
}

const RETRYABLE_CODES: ReadonlySet<number> = new Set([StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED]);
/** Reasons of other codes that pass with time. */
const RETRYABLE_REASONS: ReadonlySet<string> = new Set([
  'TOO_MANY_REQUESTS',
  'WATCHER_TOO_SLOW',
  'LOCK_HELD',
  'CONTAINER_NOT_READY',
  'TOO_MANY_CONTAINERS',
  'NO_PORTS',
  'IMAGE_FAILED',
  'LIMIT_REFUSED',
]);

/** Every failure of a call is one of the subclasses of this. */
export class RiveraError extends Error {
  override readonly name: string = 'RiveraError';
  /** gRPC status code, 1..16. */
  readonly code: number;
  /** Its name, e.g. `NOT_FOUND`. */
  readonly codeName: string;
  /** Why, for programs, e.g. `TASK_NOT_FOUND`; empty when the failure did not come from a Rivera server. */
  readonly reason: string;
  /** Facts about this occurrence. */
  readonly metadata: Readonly<Record<string, string>>;
  /** All violations of an invalid request. */
  readonly violations: readonly FieldViolation[];
  /** The record it is about, when the server names one. */
  readonly resource: { readonly type: string; readonly name: string } | undefined;
  /** Whether the same call may succeed later, unchanged. Says nothing about whether this one had an effect. */
  readonly retryable: boolean;
  /** The wait that the server asks for before the next attempt, in milliseconds. */
  readonly retryDelayMs: number | undefined;

  constructor(facts: ErrorFacts) {
    super(facts.message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.code = facts.code;
    this.codeName = StatusCode[facts.code] ?? `CODE_${facts.code}`;
    this.reason = facts.reason ?? '';
    this.metadata = facts.metadata ?? {};
    this.violations = facts.violations ?? [];
    this.resource = facts.resource;
    this.retryDelayMs = facts.retryDelayMs;
    this.retryable =
      facts.retryDelayMs !== undefined || RETRYABLE_CODES.has(facts.code) || RETRYABLE_REASONS.has(this.reason);
  }
}

type Facts = Omit<ErrorFacts, 'code'>;

/** There is no such record. */
export class NotFoundError extends RiveraError {
  override readonly name = 'NotFoundError';
  constructor(facts: Facts) {
    super({ ...facts, code: StatusCode.NOT_FOUND });
  }
}

/** A record of that name exists with other content. */
export class AlreadyExistsError extends RiveraError {
  override readonly name = 'AlreadyExistsError';
  constructor(facts: Facts) {
    super({ ...facts, code: StatusCode.ALREADY_EXISTS });
  }
}

/** The request breaks rules: `violations` lists them all. */
export class InvalidRequestError extends RiveraError {
  override readonly name = 'InvalidRequestError';
  constructor(facts: Facts) {
    super({ ...facts, code: StatusCode.INVALID_ARGUMENT });
  }
}

/** The record is not in a state that allows it. */
export class FailedPreconditionError extends RiveraError {
  override readonly name = 'FailedPreconditionError';
  constructor(facts: Facts) {
    super({ ...facts, code: StatusCode.FAILED_PRECONDITION });
  }
}

/** Somebody else changed the record first: read it again. */
export class AbortedError extends RiveraError {
  override readonly name = 'AbortedError';
  constructor(facts: Facts) {
    super({ ...facts, code: StatusCode.ABORTED });
  }
}

/** No server could answer. A write may or may not have had its effect. */
export class UnavailableError extends RiveraError {
  override readonly name = 'UnavailableError';
  constructor(facts: Facts) {
    super({ ...facts, code: StatusCode.UNAVAILABLE });
  }
}

/** Time was over before the answer came. A write may or may not have had its effect. */
export class DeadlineExceededError extends RiveraError {
  override readonly name = 'DeadlineExceededError';
  constructor(facts: Facts) {
    super({ ...facts, code: StatusCode.DEADLINE_EXCEEDED });
  }
}

/** The certificate's role does not allow it. */
export class PermissionDeniedError extends RiveraError {
  override readonly name = 'PermissionDeniedError';
  constructor(facts: Facts) {
    super({ ...facts, code: StatusCode.PERMISSION_DENIED });
  }
}

/** The server does not accept the certificate. */
export class UnauthenticatedError extends RiveraError {
  override readonly name = 'UnauthenticatedError';
  constructor(facts: Facts) {
    super({ ...facts, code: StatusCode.UNAUTHENTICATED });
  }
}

/** A bound was hit: message size, request rate, a watcher's queue. */
export class ResourceExhaustedError extends RiveraError {
  override readonly name = 'ResourceExhaustedError';
  constructor(facts: Facts) {
    super({ ...facts, code: StatusCode.RESOURCE_EXHAUSTED });
  }
}

/** A resume token is too old: start again with a snapshot. */
export class OutOfRangeError extends RiveraError {
  override readonly name = 'OutOfRangeError';
  constructor(facts: Facts) {
    super({ ...facts, code: StatusCode.OUT_OF_RANGE });
  }
}

/** The caller gave up (`cause` is the signal's reason), or the client was closed. */
export class CancelledError extends RiveraError {
  override readonly name = 'CancelledError';
  constructor(facts: Facts) {
    super({ ...facts, code: StatusCode.CANCELLED });
  }
}

/** The server, or the way to it, broke its promises. */
export class InternalError extends RiveraError {
  override readonly name = 'InternalError';
  constructor(facts: Facts) {
    super({ ...facts, code: StatusCode.INTERNAL });
  }
}
