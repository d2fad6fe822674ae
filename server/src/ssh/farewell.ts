import { RiveraError } from '@rivera/kit/errors';

/** What a lost process, or one that never ran, is to the client (spec access §4.2). */
export const LOST = 255;

/** Whether the container is gone that a login led into: nothing can be done over its connection any more. */
export function isGone(error: unknown): boolean {
  return (
    error instanceof RiveraError && (error.reason === 'CONTAINER_NOT_FOUND' || error.reason === 'CONTAINER_NOT_READY')
  );
}

/** Why something in a container ended or did not begin, for the person who had begun it. */
export function whyLost(error: unknown, cellId: string): string {
  if (!(error instanceof RiveraError)) return error instanceof Error ? error.message : String(error);
  switch (error.reason) {
    case 'UNAVAILABLE':
    case 'CELL_UNREACHABLE':
      return `contact with cell ${cellId} was lost: log in again`;
    case 'SHUTTING_DOWN':
      return `the agent of cell ${cellId} was stopped: log in again`;
    case 'CONTAINER_NOT_FOUND':
      return 'the instance is gone: log in again to reach the one after it';
    default:
      return error.message;
  }
}
