import type { WriteFilesRequest } from '@rivera/gen/rivera/access/v1/access_service';
import type { RepServiceClient, WriteFilesStart } from '@rivera/gen/rivera/rep/v1/rep_service';
import { fromStatus } from '@rivera/kit/errors';

/** Passes a tar stream on to a cell, at the cell's pace. @throws RiveraError */
export async function writeFiles(
  cell: RepServiceClient,
  start: WriteFilesStart,
  incoming: AsyncIterator<WriteFilesRequest>,
  signal: AbortSignal,
): Promise<void> {
  let settle: { resolve(): void; reject(error: Error): void } | undefined;
  const answered = new Promise<void>((resolve, reject) => {
    settle = { resolve, reject };
  });
  answered.catch(() => undefined);
  const stream = cell.writeFiles((error) => (error ? settle?.reject(fromStatus(error)) : settle?.resolve()));
  const cancel = () => stream.cancel();
  signal.addEventListener('abort', cancel, { once: true });
  try {
    stream.write({ message: { $case: 'start', value: start } });
    let over = false;
    const ended = answered.finally(() => {
      over = true;
    });
    for (let next = await incoming.next(); !next.done && !over; next = await incoming.next()) {
      const { message } = next.value;
      if (message?.$case !== 'data') continue;
      const roomLeft = stream.write({ message: { $case: 'data', value: message.value } });
      if (!roomLeft) await Promise.race([new Promise((resolve) => stream.once('drain', resolve)), ended]);
    }
    stream.end();
    await answered;
  } finally {
    signal.removeEventListener('abort', cancel);
  }
}
