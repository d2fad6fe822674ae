import type { ExecRequest, ExecResponse } from '@rivera/gen/rivera/access/v1/access_service';
import type { ExecStart } from '@rivera/gen/rivera/rep/v1/container';
import type { ExecRequest as CellRequest, RepServiceClient } from '@rivera/gen/rivera/rep/v1/rep_service';
import { type BidiStream, bidi } from '@rivera/kit/grpc/dial';

/**
 * Passes an exec through to a cell, each direction at the pace of its reader. The cell's stream never outlives the client's:
 * the process ends with it. @throws RiveraError
 */
export async function* exec(
  cell: RepServiceClient,
  start: ExecStart,
  incoming: AsyncIterator<ExecRequest>,
  signal: AbortSignal,
): AsyncGenerator<ExecResponse> {
  const stream = bidi(() => cell.exec(), signal);
  try {
    // It settles by itself: the responses tell how the stream ended, and the two lines below make it stop.
    const feeding = feed(stream, start, incoming);
    feeding.catch(() => stream.cancel());
    for await (const { output } of stream.responses) yield { output };
  } finally {
    stream.cancel();
    await incoming.return?.();
  }
}

/** Rejects when the client breaks off, or when the process has ended and wants no more. */
async function feed(
  stream: BidiStream<CellRequest, unknown>,
  start: ExecStart,
  incoming: AsyncIterator<ExecRequest>,
): Promise<void> {
  await stream.write({ input: { input: { $case: 'start', value: start } } });
  for (let next = await incoming.next(); !next.done; next = await incoming.next()) {
    await stream.write({ input: next.value.input });
  }
  stream.end();
}
