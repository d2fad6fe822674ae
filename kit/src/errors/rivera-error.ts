import { ERRORS, type ErrorReason } from './registry.js';

/** One broken rule of a request. */
export interface Violation {
  /** Path of the field, as in "desired_lrp.container.root_fs". */
  readonly field: string;
  readonly description: string;
}

export interface ErrorDetails {
  /** Facts about this occurrence, for programs. */
  readonly metadata?: Record<string, string>;
  readonly violations?: readonly Violation[];
  /** Shortest wait before the next attempt makes sense. */
  readonly retryDelayMs?: number;
  /** The record that the error is about. */
  readonly resource?: { readonly type: string; readonly name: string };
  /** gRPC status of an error that was made elsewhere; default: that of the reason. */
  readonly code?: number;
  /** For the log of this process; never sent. */
  readonly cause?: unknown;
}

/** An error that the other side of a call may see; its reason decides the gRPC status. */
export class RiveraError extends Error {
  override readonly name = 'RiveraError';
  readonly reason: ErrorReason;
  /** gRPC status code. */
  readonly code: number;
  readonly metadata: Readonly<Record<string, string>>;
  readonly violations: readonly Violation[];
  readonly retryDelayMs: number | undefined;
  readonly resource: { readonly type: string; readonly name: string } | undefined;

  constructor(reason: ErrorReason, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.reason = reason;
    this.code = details.code ?? ERRORS[reason].code;
    this.metadata = details.metadata ?? {};
    this.violations = details.violations ?? [];
    this.retryDelayMs = details.retryDelayMs;
    this.resource = details.resource;
  }

  /** The same request may succeed later. */
  get retryable(): boolean {
    return ERRORS[this.reason].retryable;
  }
}
