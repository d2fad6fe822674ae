import { randomUUID } from 'node:crypto';
import { constants } from 'node:os';
import type { ProcessInput, ProcessOutput } from '@rivera/gen/rivera/garden/v1/container';
import type {
  AttachRequest,
  AttachResponse,
  RunRequest,
  RunResponse,
} from '@rivera/gen/rivera/garden/v1/garden_service';
import { RiveraError } from '@rivera/kit/errors';
import type { CallContext } from '@rivera/kit/grpc/host';
import type { GardenProcess } from '../garden/garden.js';
import { batches } from './batches.js';
import { isManaged, managedError, type Park } from './containers.js';
import { toRiveraError } from './errors.js';
import { exitTo, pieceTo, processFrom } from './messages.js';
import { requireHandle, requireProcess, requireWindowSize } from './validate.js';

/** Bytes of standard input in one message. */
const MAX_STDIN_BYTES = 1024 * 1024;

/** Runs a process and stays with it. A client that goes away detaches; the process goes on. */
export async function* run(
  park: Park,
  requests: AsyncIterable<RunRequest>,
  context: CallContext,
): AsyncIterable<RunResponse> {
  const messages = requests[Symbol.asyncIterator]();
  const first = (await messages.next()).value as RunRequest | undefined;
  if (first?.message?.$case !== 'start') throw new RiveraError('INVALID_REQUEST', 'the first message starts');
  const { handle, process: spec } = first.message.value;
  requireHandle(handle, 'start.handle');
  if (!spec) throw required('start.process');
  requireProcess(spec);
  const container = park.own(handle);
  const process = await container.run(processFrom(spec, spec.id || randomUUID())).catch((error: unknown) => {
    throw toRiveraError(error, handle);
  });
  for await (const output of converse({ process, inputs: inputsOf(messages), output: true }, context)) yield { output };
}

/** Meets a process that was run. */
export async function* attach(
  park: Park,
  requests: AsyncIterable<AttachRequest>,
  context: CallContext,
): AsyncIterable<AttachResponse> {
  const messages = requests[Symbol.asyncIterator]();
  const first = (await messages.next()).value as AttachRequest | undefined;
  if (first?.message?.$case !== 'start') throw new RiveraError('INVALID_REQUEST', 'the first message starts');
  const { handle, processId, withoutOutput } = first.message.value;
  requireHandle(handle, 'start.handle');
  const container = park.find(handle);
  const process = container.attach(processId);
  if (!process) {
    throw new RiveraError('PROCESS_NOT_FOUND', `unknown process: ${processId.slice(0, 128)}`, {
      resource: { type: 'process', name: processId },
    });
  }
  // What the cell runs may be listened to, and nothing else.
  const refusal = isManaged(container) ? managedError(handle) : undefined;
  const conversation = { process, inputs: inputsOf(messages), output: !withoutOutput, refusal };
  for await (const output of converse(conversation, context)) yield { output };
}

interface Conversation {
  process: GardenProcess;
  inputs: AsyncIterable<ProcessInput>;
  /** Whether the client wants what the process writes. One that doesn't has said all that it wants when it says no more. */
  output: boolean;
  /** Why the process takes no input; undefined: it does. */
  refusal?: RiveraError | undefined;
}

/** Hands over what the client says, and tells what the process says, each as fast as the other takes it. */
async function* converse(
  { process, inputs, output, refusal }: Conversation,
  context: CallContext,
): AsyncGenerator<ProcessOutput, void> {
  const over = new AbortController();
  const signal = AbortSignal.any([context.signal, over.signal]);
  let detached = false;
  // Never rejects: its failure ends the conversation.
  void feed(process, inputs, { refusal, signal }).then(
    () => {
      if (output) return;
      detached = true;
      over.abort(new Error('detached'));
    },
    (error: unknown) => over.abort(toRiveraError(error)),
  );
  try {
    yield { output: { $case: 'started', value: { processId: process.id } } };
    if (output) {
      for await (const pieces of batches(process.output(signal)))
        yield { output: { $case: 'pieces', value: { pieces: pieces.map(pieceTo) } } };
    }
    const exit = await process.wait(signal);
    yield { output: { $case: 'exit', value: exitTo(exit) } };
  } catch (error) {
    if (!detached) throw toRiveraError(error);
  } finally {
    over.abort(new Error('the conversation is over'));
  }
}

async function feed(
  process: GardenProcess,
  inputs: AsyncIterable<ProcessInput>,
  { refusal, signal }: { refusal: RiveraError | undefined; signal: AbortSignal },
): Promise<void> {
  for await (const { input } of inputs) {
    if (refusal) throw refusal;
    switch (input?.$case) {
      case 'stdin':
        if (input.value.length > MAX_STDIN_BYTES)
          throw new RiveraError('INVALID_REQUEST', `a message has at most ${MAX_STDIN_BYTES} bytes of standard input`);
        await process.write(input.value, signal);
        break;
      case 'stdinClosed':
        if (input.value) await process.closeStdin();
        break;
      case 'windowSize':
        requireWindowSize(input.value);
        await process.resize(input.value);
        break;
      case 'signal':
        await process.signal(signalOf(input.value));
        break;
      case undefined:
        throw required('input');
    }
  }
}

/** After the start come only inputs. */
async function* inputsOf(messages: AsyncIterator<RunRequest | AttachRequest>): AsyncGenerator<ProcessInput> {
  for (let next = await messages.next(); !next.done; next = await messages.next()) {
    const { message } = next.value;
    if (message?.$case !== 'input')
      throw new RiveraError('INVALID_REQUEST', 'after the first message comes only input');
    yield message.value;
  }
}

function signalOf(name: string): NodeJS.Signals {
  const signal = `SIG${name}`;
  if (Object.hasOwn(constants.signals, signal)) return signal as NodeJS.Signals;
  throw new RiveraError('INVALID_REQUEST', `there is no signal "${name.slice(0, 20)}"`, {
    violations: [{ field: 'input.signal', description: 'is the name of a signal without "SIG"' }],
  });
}

function required(field: string): RiveraError {
  return new RiveraError('INVALID_REQUEST', `${field} is required`, {
    violations: [{ field, description: 'is required' }],
  });
}
