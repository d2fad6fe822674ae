import type { ExecRequest, ExecResponse } from '@rivera/gen/rivera/garden/v1/garden_service';
import { RiveraError } from '@rivera/kit/errors';
import type { CallContext } from '@rivera/kit/grpc/host';
import { converse, execSpec } from '../rep/exec.js';
import type { Park } from './containers.js';
import { toRiveraError } from './errors.js';

/** Runs a process for a person, as the cell's own exec does; the container is named by its handle. */
export async function* exec(
  { park, cellId }: { park: Park; cellId: string },
  requests: AsyncIterable<ExecRequest>,
  context: CallContext,
): AsyncIterable<ExecResponse> {
  const inputs = requests[Symbol.asyncIterator]();
  const first = (await inputs.next()).value as ExecRequest | undefined;
  if (first?.input?.input?.$case !== 'start') throw new RiveraError('INVALID_REQUEST', 'the first message starts');
  const start = first.input.input.value;
  const target = start.target?.target;
  if (target?.$case !== 'containerGuid') {
    throw new RiveraError('INVALID_REQUEST', 'a container is named by its handle', {
      violations: [{ field: 'input.start.target', description: 'is a container_guid, which is the handle' }],
    });
  }
  const container = park.find(target.value);
  const process = await container.exec(execSpec(start)).catch((error: unknown) => {
    throw toRiveraError(error, target.value);
  });
  const started = { containerGuid: container.handle, cellId };
  yield* converse({ process, inputs, started }, context);
}
