import { Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { Any } from '@rivera/gen/google/protobuf/any';
import { BadRequest, ErrorInfo, ResourceInfo, RetryInfo } from '@rivera/gen/google/rpc/error_details';
import { Status } from '@rivera/gen/google/rpc/status';
import { type ErrorReason, isErrorReason } from './registry.js';
import { type ErrorDetails, RiveraError, type Violation } from './rivera-error.js';

/** The trailer in which gRPC libraries of every language look for google.rpc.Status. */
const DETAILS_KEY = 'grpc-status-details-bin';
const DOMAIN = 'rivera';

/**
 * Other languages' clients give trailers 8 KiB by default, and drop the whole call when they are larger.
 * Text is sent twice (once percent-encoded), details once in base64.
 */
const MAX_TEXT_BYTES = 768;
const MAX_DETAIL_BYTES = 1536;
/** What protobuf adds to two texts of an entry, at most. */
const ENTRY_BYTES = 8;

export interface StatusWithDetails {
  code: number;
  details: string;
  metadata: Metadata;
}

/** The status that the caller sees. What is not a RiveraError is a bug, and its text stays in this process. */
export function toStatus(error: unknown): StatusWithDetails {
  const known = error instanceof RiveraError ? error : new RiveraError('INTERNAL', 'internal error');
  const text = bounded(known.message, MAX_TEXT_BYTES);
  const metadata = new Metadata();
  metadata.set(
    DETAILS_KEY,
    Buffer.from(Status.encode(Status.create({ code: known.code, message: text, details: detailsOf(known) })).finish()),
  );
  return { code: known.code, details: text, metadata };
}

function detailsOf(error: RiveraError): Any[] {
  const budget = { bytes: MAX_DETAIL_BYTES };
  const metadata: Record<string, string> = {};
  for (const [key, value] of Object.entries(error.metadata)) {
    if (spend(budget, key, value)) metadata[key] = wellFormed(value);
  }
  const details = [any('ErrorInfo', ErrorInfo.encode({ reason: error.reason, domain: DOMAIN, metadata }).finish())];
  if (error.retryDelayMs !== undefined) {
    const seconds = Math.trunc(error.retryDelayMs / 1000);
    const nanos = Math.round((error.retryDelayMs - seconds * 1000) * 1e6);
    details.push(any('RetryInfo', RetryInfo.encode({ retryDelay: { seconds, nanos } }).finish()));
  }
  if (error.resource) {
    const { type, name } = error.resource;
    const resource = {
      resourceType: bounded(type, 64),
      resourceName: bounded(name, 256),
      owner: '',
      description: '',
    };
    details.push(any('ResourceInfo', ResourceInfo.encode(resource).finish()));
  }
  if (error.violations.length > 0) {
    const fieldViolations = boundedViolations(error.violations, budget);
    details.push(any('BadRequest', BadRequest.encode({ fieldViolations }).finish()));
  }
  return details;
}

function boundedViolations(violations: readonly Violation[], budget: { bytes: number }): Violation[] {
  const kept: Violation[] = [];
  for (const { field, description } of violations) {
    if (!spend(budget, field, description)) {
      kept.push({ field: '', description: `and ${violations.length - kept.length} more` });
      break;
    }
    kept.push({ field: wellFormed(field), description: wellFormed(description) });
  }
  return kept;
}

/** What a client makes of a call's error: the error that the server threw, or the nearest there is. */
export function fromStatus(error: unknown): RiveraError {
  if (error instanceof RiveraError) return error;
  if (!isServiceError(error)) {
    return new RiveraError('INTERNAL', error instanceof Error ? error.message : String(error), { cause: error });
  }
  const sent = readDetails(error.metadata);
  const reason = sent.reason !== undefined && isErrorReason(sent.reason) ? sent.reason : reasonOf(error);
  const metadata =
    sent.reason !== undefined && sent.reason !== reason ? { ...sent.metadata, reason: sent.reason } : sent.metadata;
  return new RiveraError(reason, error.details || error.message, {
    code: error.code,
    metadata: metadata ?? {},
    violations: sent.violations ?? [],
    ...(sent.retryDelayMs === undefined ? {} : { retryDelayMs: sent.retryDelayMs }),
    ...(sent.resource === undefined ? {} : { resource: sent.resource }),
    cause: error,
  });
}

interface SentDetails extends ErrorDetails {
  readonly reason?: string;
}

/** Details that can't be read are as good as none: the status code still stands. */
function readDetails(metadata: Metadata | undefined): SentDetails {
  const [trailer] = metadata?.get(DETAILS_KEY) ?? [];
  if (!Buffer.isBuffer(trailer)) return {};
  try {
    return Object.assign({}, ...Status.decode(trailer).details.map(read));
  } catch {
    return {};
  }
}

function read(detail: Any): SentDetails {
  switch (detail.typeUrl.slice(detail.typeUrl.lastIndexOf('/') + 1)) {
    case 'google.rpc.ErrorInfo': {
      const { domain, reason, metadata } = ErrorInfo.decode(detail.value);
      return domain === DOMAIN ? { reason, metadata } : {};
    }
    case 'google.rpc.RetryInfo': {
      const { retryDelay } = RetryInfo.decode(detail.value);
      return retryDelay ? { retryDelayMs: retryDelay.seconds * 1000 + retryDelay.nanos / 1e6 } : {};
    }
    case 'google.rpc.ResourceInfo': {
      const { resourceType, resourceName } = ResourceInfo.decode(detail.value);
      return { resource: { type: resourceType, name: resourceName } };
    }
    case 'google.rpc.BadRequest': {
      const { fieldViolations } = BadRequest.decode(detail.value);
      return { violations: fieldViolations.map(({ field, description }) => ({ field, description })) };
    }
    default:
      return {};
  }
}

const REASON_OF_CODE: { readonly [code: number]: ErrorReason } = {
  [status.CANCELLED]: 'CANCELLED',
  [status.INVALID_ARGUMENT]: 'INVALID_REQUEST',
  [status.DEADLINE_EXCEEDED]: 'DEADLINE_EXCEEDED',
  [status.PERMISSION_DENIED]: 'PERMISSION_DENIED',
  [status.RESOURCE_EXHAUSTED]: 'TOO_MANY_REQUESTS',
  [status.UNIMPLEMENTED]: 'UNIMPLEMENTED',
  [status.UNAVAILABLE]: 'UNAVAILABLE',
  [status.UNAUTHENTICATED]: 'UNAUTHENTICATED',
};

/** For statuses that gRPC itself made: they carry no details. */
function reasonOf(error: ServiceError): ErrorReason {
  if (error.code === status.RESOURCE_EXHAUSTED && /larger than/i.test(error.details)) return 'MESSAGE_TOO_LARGE';
  return REASON_OF_CODE[error.code] ?? 'INTERNAL';
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && 'code' in error && typeof error.code === 'number' && 'details' in error;
}

function any(type: string, value: Uint8Array): Any {
  return Any.create({ typeUrl: `type.googleapis.com/google.rpc.${type}`, value: Buffer.from(value) });
}

function spend(budget: { bytes: number }, ...texts: string[]): boolean {
  budget.bytes -= texts.reduce((sum, text) => sum + Buffer.byteLength(text), ENTRY_BYTES);
  return budget.bytes >= 0;
}

function bounded(text: string, maxBytes: number): string {
  const whole = Buffer.from(text);
  if (whole.length <= maxBytes) return wellFormed(text);
  const cut = '… (cut)';
  let end = maxBytes - Buffer.byteLength(cut);
  // A UTF-8 character starts with anything but 10xxxxxx.
  while (end > 0 && ((whole[end] ?? 0) & 0xc0) === 0x80) end--;
  return whole.toString('utf8', 0, end) + cut;
}

/** grpc-js percent-encodes with encodeURI, which throws on half a surrogate pair. */
function wellFormed(text: string): string {
  return Buffer.from(text).toString('utf8');
}
