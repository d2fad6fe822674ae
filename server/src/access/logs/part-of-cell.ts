import type { LogFilter } from '@rivera/gen/rivera/rep/v1/container';
import type { ReadLogsResponse } from '@rivera/gen/rivera/rep/v1/rep_service';
import type { Clock } from '@rivera/kit/clock';
import { RiveraError } from '@rivera/kit/errors';
import { serverStream } from '@rivera/kit/grpc/dial';
import type { CellClients } from '../cell-clients.js';
import { fromCell } from '../cell-errors.js';
import type { CellAddress } from '../directory.js';
import type { Places } from './places.js';

/** What reading from a cell takes. */
export interface CellReading {
  readonly clients: CellClients;
  readonly streams: Places;
  readonly clock: Clock;
}

/**
 * One stream of one cell's lines.
 * @param silenceMs how long the cell may say nothing; default for ever
 * @throws RiveraError, as `fromCell` has it; the signal's reason once that is aborted
 */
export async function* partOfCell(
  { clients, streams, clock }: CellReading,
  { cellId, address }: CellAddress,
  filter: LogFilter,
  signal: AbortSignal,
  silenceMs?: number,
): AsyncGenerator<ReadLogsResponse, void> {
  const leave = streams.tryTake();
  if (leave === undefined) throw new RiveraError('TOO_MANY_REQUESTS', 'too many logs are read at the moment');
  const stop = new AbortController();
  const abort = (): void => stop.abort(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  if (signal.aborted) abort();
  let cancelTimer = (): void => undefined;
  const listen = (): void => {
    if (silenceMs === undefined) return;
    cancelTimer();
    const silent = new RiveraError('CELL_UNREACHABLE', `cell "${cellId}" did not answer within ${silenceMs} ms`);
    cancelTimer = clock.setTimer(silenceMs, () => stop.abort(silent));
  };
  try {
    const client = clients.get(cellId, address);
    listen();
    for await (const part of serverStream(() => client.readLogs({ filter }), stop.signal)) {
      yield part;
      listen();
    }
  } catch (error) {
    throw stop.signal.aborted ? stop.signal.reason : fromCell(cellId, error);
  } finally {
    cancelTimer();
    signal.removeEventListener('abort', abort);
    leave();
  }
}
