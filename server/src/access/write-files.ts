import type { WriteFilesRequest } from '@rivera/gen/rivera/access/v1/access_service';
import type {
  WriteFilesRequest as CellRequest,
  RepServiceClient,
  WriteFilesStart,
} from '@rivera/gen/rivera/rep/v1/rep_service';
import { fromStatus, RiveraError } from '@rivera/kit/errors';
import { MessageWriter } from '@rivera/kit/grpc/writer';

/**
 * Passes a tar stream on to a cell, at the cell's pace. The cell's answer counts as soon as it comes: who is refused learns so
 * without sending the rest. @throws RiveraError
 */
export async function writeFiles(
  cell: RepServiceClient,
  start: WriteFilesStart,
  incoming: AsyncIterator<WriteFilesRequest>,
  signal: AbortSignal,
): Promise<void> {
  if (signal.aborted) throw signal.reason;
  let settle: { resolve(): void; reject(error: Error): void } | undefined;
  const answer = new Promise<void>((resolve, reject) => {
    settle = { resolve, reject };
  });
  const call = cell.writeFiles((error) => (error ? settle?.reject(fromStatus(error)) : settle?.resolve()));
  const writer = new MessageWriter<CellRequest>(call, () => new RiveraError('CANCELLED', 'the cell has answered'));
  call.once('status', () => writer.stop());
  const cancel = (): void => call.cancel();
  signal.addEventListener('abort', cancel, { once: true });
  const feed = async (): Promise<void> => {
    const take = (message: CellRequest['message']) =>
      writer.write({ message }).then(
        () => true,
        // It takes no more, so its answer is on the way.
        () => false,
      );
    let wanted = await take({ $case: 'start', value: start });
    while (wanted) {
      const next = await incoming.next();
      if (next.done) {
        if (!call.writableEnded) call.end();
        return;
      }
      wanted = await take({ $case: 'data', value: dataOf(next.value) });
    }
  };
  try {
    await Promise.race([answer, feed().then(() => answer)]);
  } finally {
    signal.removeEventListener('abort', cancel);
    call.cancel();
    await incoming.return?.();
  }
}

function dataOf({ message }: WriteFilesRequest): Buffer {
  if (message?.$case === 'data') return message.value;
  throw new RiveraError('INVALID_REQUEST', 'after the first message comes only data');
}
