import { type ErrorReason, RiveraError } from '@rivera/kit/errors';
import { GardenError, type GardenErrorKind } from '../garden/garden.js';

/** Each error of a garden as its callers see it (spec cell §43, with a status for each). */
const REASONS: Readonly<Record<GardenErrorKind, ErrorReason>> = {
  'not-found': 'CONTAINER_NOT_FOUND',
  'handle-in-use': 'CONTAINER_EXISTS',
  'unknown-rootfs': 'ROOT_FS_NOT_FOUND',
  'image-failed': 'IMAGE_FAILED',
  unsupported: 'NOT_SUPPORTED',
  'create-failed': 'CONTAINER_NOT_MADE',
  'destroy-failed': 'CONTAINER_NOT_DESTROYED',
  'no-ports': 'NO_PORTS',
  'process-exists': 'PROCESS_EXISTS',
  'process-failed': 'EXEC_FAILED',
  'no-stdin': 'NO_STDIN',
  'path-not-found': 'FILE_NOT_FOUND',
  'stream-failed': 'INVALID_REQUEST',
  'connect-failed': 'CONNECT_FAILED',
  'property-not-found': 'PROPERTY_NOT_FOUND',
  invalid: 'INVALID_REQUEST',
  'limit-failed': 'LIMIT_REFUSED',
  unavailable: 'RUNTIME_UNAVAILABLE',
  closed: 'SHUTTING_DOWN',
};

/** Names the garden's own kind of error, which is finer than the reasons. */
const KIND = 'garden_error';

/** What callers of the service see of an error below it; others pass unchanged. */
export function toRiveraError(error: unknown, handle?: string): unknown {
  if (!(error instanceof GardenError)) return error;
  return new RiveraError(REASONS[error.kind], error.message, {
    metadata: { [KIND]: error.kind },
    ...(handle === undefined ? {} : { resource: { type: 'container', name: handle } }),
    cause: error,
  });
}

/** The garden's error that a call ended with; one that the garden never saw, such as a field that breaks a rule, is `otherwise`. */
export function toGardenError(error: unknown, otherwise: GardenErrorKind): GardenError {
  if (error instanceof GardenError) return error;
  if (!(error instanceof RiveraError)) return new GardenError(otherwise, String(error), { cause: error });
  const told = error.metadata[KIND];
  return new GardenError(isKind(told) ? told : kindOf(error, otherwise), error.message, { cause: error });
}

function kindOf({ reason }: RiveraError, otherwise: GardenErrorKind): GardenErrorKind {
  switch (reason) {
    case 'CONTAINER_NOT_FOUND':
      return 'not-found';
    case 'SHUTTING_DOWN':
      return 'closed';
    case 'UNAVAILABLE':
    case 'DEADLINE_EXCEEDED':
      return 'unavailable';
    default:
      return otherwise;
  }
}

function isKind(kind: string | undefined): kind is GardenErrorKind {
  return kind !== undefined && Object.hasOwn(REASONS, kind);
}
