import type { GardenServiceClient } from '@rivera/gen/rivera/garden/v1/garden_service';
import type { UnaryMethod } from '@rivera/kit/grpc/dial';
import { GardenError, type GardenErrorKind } from '../../garden/garden.js';
import { toGardenError } from '../errors.js';

/** One call to the service, with the garden's errors. */
export type Ask = <Q, R>(
  method: UnaryMethod<Q, R>,
  request: Q,
  o: { otherwise: GardenErrorKind; deadlineMs?: number; signal?: AbortSignal },
) => Promise<R>;

/** What everything of a remote garden needs. */
export interface Remote {
  readonly client: GardenServiceClient;
  readonly ask: Ask;
  /** Aborted with the garden's own error when it is closed. */
  readonly closing: AbortSignal;
}

/** What a call ended with, as the garden's error; a garden that was closed says so, whatever its calls ended with. */
export function told({ closing }: Remote, error: unknown, otherwise: GardenErrorKind): GardenError {
  return closing.aborted && closing.reason instanceof GardenError ? closing.reason : toGardenError(error, otherwise);
}
