import { ERRORS, RiveraError } from '@rivera/kit/errors';

/**
 * What a cell's failure is to the caller. What the cell says for itself passes as it is; a cell that is not there, goes away or
 * breaks off in mid-stream is CELL_UNREACHABLE. Anything else is a bug, and its text stays here.
 */
export function fromCell(cellId: string, error: unknown): RiveraError {
  if (!(error instanceof RiveraError)) return new RiveraError('INTERNAL', 'internal error', { cause: error });
  if (error.reason === 'CELL_UNREACHABLE' || !isGone(error)) return error;
  return new RiveraError('CELL_UNREACHABLE', `cell "${cellId}" can not be reached: ${error.message}`, {
    metadata: { cell_id: cellId },
    resource: { type: 'cell', name: cellId },
    cause: error,
  });
}

/** A stream whose connection breaks in the middle may end with INTERNAL or CANCELLED, as grpc-js sees it. */
function isGone({ reason, code, message }: RiveraError): boolean {
  if (reason === 'UNAVAILABLE' || reason === 'SHUTTING_DOWN') return true;
  return (code === ERRORS.INTERNAL.code || code === ERRORS.CANCELLED.code) && message.includes('RST_STREAM');
}

/**
 * Asks something of a cell.
 * @throws RiveraError: the signal's reason once that is aborted, else what the cell's failure is to the caller
 */
export async function askingCell<T>(cellId: string, signal: AbortSignal, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    throw signal.aborted ? signal.reason : fromCell(cellId, error);
  }
}

/** As `askingCell`, for what comes piece by piece. */
export async function* readingCell<T>(
  cellId: string,
  signal: AbortSignal,
  read: () => AsyncIterable<T>,
): AsyncGenerator<T, void> {
  try {
    yield* read();
  } catch (error) {
    throw signal.aborted ? signal.reason : fromCell(cellId, error);
  }
}
