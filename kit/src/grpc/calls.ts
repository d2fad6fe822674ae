import {
  type CallOptions,
  type Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  type ClientUnaryCall,
  Metadata,
  type ServiceError,
  type StatusObject,
} from '@grpc/grpc-js';
import { fromStatus, RiveraError } from '../errors.js';
import { MessageReader } from './reader.js';
import { MessageWriter } from './writer.js';

/** A unary method of a client made by ts-proto. */
export type UnaryMethod<Q, R> = (
  request: Q,
  metadata: Metadata,
  options: Partial<CallOptions>,
  callback: (error: ServiceError | null, response: R) => void,
) => ClientUnaryCall;

export interface UnaryOptions {
  /** Default 10 s. */
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
}

const DEFAULT_DEADLINE_MS = 10_000;

/**
 * Calls a unary method: `unary(client, client.getTask, { taskGuid })`.
 * @throws RiveraError, with reason CANCELLED when the signal was aborted.
 */
export function unary<Q, R>(
  client: Client,
  method: UnaryMethod<Q, R>,
  request: Q,
  { deadlineMs = DEFAULT_DEADLINE_MS, signal }: UnaryOptions = {},
): Promise<R> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(cancelled(signal));
    const onAbort = (): void => call.cancel();
    const call = method.call(
      client,
      request,
      new Metadata(),
      { deadline: Date.now() + deadlineMs },
      (error, response) => {
        signal?.removeEventListener('abort', onAbort);
        if (!error) resolve(response);
        else reject(signal?.aborted ? cancelled(signal) : fromStatus(error));
      },
    );
    signal?.addEventListener('abort', onAbort, { once: true });
    return undefined;
  });
}

/** A stream in both directions. */
export interface BidiStream<Q, R> {
  /** Resolves when there is room for the next message; rejects with a RiveraError when the stream is over. */
  write(message: Q): Promise<void>;
  /** For one reader; throws a RiveraError. Leaving the loop does not cancel the call. */
  readonly responses: AsyncIterable<R>;
  /** Says that nothing more will be written; responses may go on. */
  end(): void;
  /** Gives up both directions. */
  cancel(): void;
}

/** Opens a stream in both directions: `bidi(() => client.session())`. */
export function bidi<Q, R>(open: () => ClientDuplexStream<Q, R>, signal?: AbortSignal): BidiStream<Q, R> {
  const call = open();
  const end = watch(call, signal);
  const writer = new MessageWriter<Q>(call, end.error);
  call.once('status', () => writer.stop());
  return {
    write(message) {
      const written = writer.write(message);
      // Who does not wait for a write learns of the end from the responses; the process does not die of it.
      written.catch(() => undefined);
      return written;
    },
    responses: new MessageReader<R>(call, end.error),
    end: () => {
      if (!call.writableEnded) call.end();
    },
    cancel: () => call.cancel(),
  };
}

/** Reads a stream of responses: `serverStream(() => client.watch(request))`. Leaving the loop cancels the call. */
export async function* serverStream<R>(
  open: () => ClientReadableStream<R>,
  signal?: AbortSignal,
): AsyncGenerator<R, void> {
  if (signal?.aborted) throw cancelled(signal);
  const call = open();
  const responses = new MessageReader<R>(call, watch(call, signal).error);
  try {
    yield* responses;
  } finally {
    call.cancel();
  }
}

/** Follows a call to its end: lets the signal cancel it, and keeps what it ended with. */
function watch(
  call: ClientReadableStream<unknown> | ClientDuplexStream<never, unknown>,
  signal: AbortSignal | undefined,
): { error: () => RiveraError } {
  let failure: RiveraError | undefined;
  const onAbort = (): void => call.cancel();
  if (signal?.aborted) call.cancel();
  else signal?.addEventListener('abort', onAbort, { once: true });
  // Without a listener the error would end the process; whoever reads or writes gets it.
  call.on('error', (error: unknown) => {
    failure ??= signal?.aborted ? cancelled(signal) : fromStatus(error);
  });
  call.once('status', (_status: StatusObject) => signal?.removeEventListener('abort', onAbort));
  return { error: () => failure ?? new RiveraError('CANCELLED', 'the stream is over') };
}

function cancelled(signal: AbortSignal): RiveraError {
  return new RiveraError('CANCELLED', 'the caller gave up', { cause: signal.reason });
}
