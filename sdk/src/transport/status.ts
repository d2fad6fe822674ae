import { type Metadata, status as StatusCode } from '@grpc/grpc-js';
import type { Any } from '@rivera/gen/google/protobuf/any';
import { BadRequest, ErrorInfo, ResourceInfo, RetryInfo } from '@rivera/gen/google/rpc/error_details';
import { Status } from '@rivera/gen/google/rpc/status';
import {
  AbortedError,
  AlreadyExistsError,
  CancelledError,
  DeadlineExceededError,
  type ErrorFacts,
  FailedPreconditionError,
  InternalError,
  InvalidRequestError,
  NotFoundError,
  OutOfRangeError,
  PermissionDeniedError,
  ResourceExhaustedError,
  RiveraError,
  UnauthenticatedError,
  UnavailableError,
} from '../errors.js';

type Facts = Omit<ErrorFacts, 'code'>;

const CLASS_OF_CODE: Readonly<Record<number, new (facts: Facts) => RiveraError>> = {
  [StatusCode.CANCELLED]: CancelledError,
  [StatusCode.INVALID_ARGUMENT]: InvalidRequestError,
  [StatusCode.DEADLINE_EXCEEDED]: DeadlineExceededError,
  [StatusCode.NOT_FOUND]: NotFoundError,
  [StatusCode.ALREADY_EXISTS]: AlreadyExistsError,
  [StatusCode.PERMISSION_DENIED]: PermissionDeniedError,
  [StatusCode.RESOURCE_EXHAUSTED]: ResourceExhaustedError,
  [StatusCode.FAILED_PRECONDITION]: FailedPreconditionError,
  [StatusCode.ABORTED]: AbortedError,
  [StatusCode.OUT_OF_RANGE]: OutOfRangeError,
  [StatusCode.INTERNAL]: InternalError,
  [StatusCode.UNAVAILABLE]: UnavailableError,
  [StatusCode.UNAUTHENTICATED]: UnauthenticatedError,
};

/** Makes whatever a call failed with into a {@link RiveraError} of the right class, with the server's details. */
export function toRiveraError(error: unknown): RiveraError {
  if (error instanceof RiveraError) return error;
  if (!isServiceError(error)) {
    return new InternalError({ message: error instanceof Error ? error.message : String(error), cause: error });
  }
  const facts = { message: error.details || error.message, cause: error, ...readDetails(error.metadata) };
  return ofCode(error.code, facts);
}

/** Makes an error of a bare status, as streams send it for one of many items. */
export function errorFromStatus(code: number, message: string): RiveraError {
  return ofCode(code, { message });
}

function ofCode(code: number, facts: Facts): RiveraError {
  const known = CLASS_OF_CODE[code];
  return known ? new known(facts) : new RiveraError({ ...facts, code });
}

interface StatusError extends Error {
  code: number;
  details?: string;
  metadata?: Metadata;
}

function isServiceError(error: unknown): error is StatusError {
  return error instanceof Error && 'code' in error && typeof error.code === 'number' && 'details' in error;
}

/** Reads the trailer `grpc-status-details-bin`. Details that can't be decoded are left out: the status itself still stands. */
function readDetails(metadata: Metadata | undefined): Partial<Facts> {
  const trailer = metadata?.get('grpc-status-details-bin')[0];
  if (!Buffer.isBuffer(trailer)) return {};
  const facts: Partial<Facts> = {};
  try {
    for (const detail of Status.decode(trailer).details) addDetail(facts, detail);
  } catch {
    return facts;
  }
  return facts;
}

function addDetail(facts: Partial<Facts>, detail: Any): void {
  switch (detail.typeUrl.slice(detail.typeUrl.lastIndexOf('/') + 1)) {
    case 'google.rpc.ErrorInfo': {
      const info = ErrorInfo.decode(detail.value);
      facts.reason = info.reason;
      facts.metadata = info.metadata;
      break;
    }
    case 'google.rpc.RetryInfo': {
      const delay = RetryInfo.decode(detail.value).retryDelay;
      if (delay) facts.retryDelayMs = delay.seconds * 1000 + delay.nanos / 1e6;
      break;
    }
    case 'google.rpc.BadRequest':
      facts.violations = BadRequest.decode(detail.value).fieldViolations.map(({ field, description }) => ({
        field,
        description,
      }));
      break;
    case 'google.rpc.ResourceInfo': {
      const info = ResourceInfo.decode(detail.value);
      facts.resource = { type: info.resourceType, name: info.resourceName };
      break;
    }
  }
}
