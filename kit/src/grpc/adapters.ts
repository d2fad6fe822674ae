import type {
  handleBidiStreamingCall,
  handleClientStreamingCall,
  handleServerStreamingCall,
  handleUnaryCall,
  ServerDuplexStream,
  ServerWritableStream,
  sendUnaryData,
} from '@grpc/grpc-js';
import { RiveraError, toStatus } from '../errors.js';
import type { Logger } from '../log.js';
import { HandlerContext, type SurfaceCall } from './context.js';
import type { Bidi, ClientStream, ServerStream, Unary } from './handlers.js';
import { MessageReader } from './reader.js';
import type { RunningHandlers } from './running.js';
import { MessageWriter } from './writer.js';

/** What an adapter needs beside its handler. */
export interface AdapterOptions {
  readonly logger: Logger;
  readonly running: RunningHandlers;
  /** For unary calls without a deadline of their own. */
  readonly defaultDeadlineMs: number;
}

type Iterating<R> = AsyncIterator<R, unknown, undefined>;

export function adaptUnary<Q, R>(handler: Unary<Q, R>, options: AdapterOptions): handleUnaryCall<Q, R> {
  return (call, callback) => {
    const context = begin(call, options);
    answer(async () => await handler(call.request, context), context, callback, options);
  };
}

export function adaptClientStream<Q, R>(
  handler: ClientStream<Q, R>,
  options: AdapterOptions,
): handleClientStreamingCall<Q, R> {
  return (call, callback) => {
    const context = begin(call, options);
    const requests = new MessageReader<Q>(call, () => context.over ?? gone());
    answer(async () => await handler(requests, context), context, callback, {
      ...options,
      defaultDeadlineMs: Infinity,
    });
  };
}

export function adaptServerStream<Q, R>(
  handler: ServerStream<Q, R>,
  options: AdapterOptions,
): handleServerStreamingCall<Q, R> {
  return (call) => {
    const context = begin(call, options);
    void send(() => handler(call.request, context), call, context, options);
  };
}

export function adaptBidi<Q, R>(handler: Bidi<Q, R>, options: AdapterOptions): handleBidiStreamingCall<Q, R> {
  return (call) => {
    const context = begin(call, options);
    const requests = new MessageReader<Q>(call, () => context.over ?? gone());
    void send(() => handler(requests, context), call, context, options);
  };
}

function begin(call: SurfaceCall, { logger, running }: AdapterOptions): HandlerContext {
  running.begin(call.getPath());
  return new HandlerContext(call, logger);
}

/** Runs a handler that has one answer. */
function answer<R>(
  handle: () => Promise<R>,
  context: HandlerContext,
  callback: sendUnaryData<R>,
  { running, defaultDeadlineMs }: AdapterOptions,
): void {
  let answered = false;
  const reply = (error: unknown, response?: R): void => {
    if (answered) return;
    answered = true;
    clearTimeout(timer);
    if (error === undefined) callback(null, response);
    else callback(toStatus(error));
  };
  const timer =
    context.hasDeadline || defaultDeadlineMs === Infinity
      ? undefined
      : setTimeout(() => {
          const late = new RiveraError('DEADLINE_EXCEEDED', `no answer within ${defaultDeadlineMs} ms`);
          context.end(late);
          reply(late);
        }, defaultDeadlineMs);
  handle()
    .then(
      (response) => reply(undefined, response),
      (error: unknown) => {
        report(error, context);
        reply(error ?? new Error('rejected without a reason'));
      },
    )
    .finally(() => {
      context.finish();
      running.end(context.method);
    });
}

/** Runs a handler that has many answers; each waits until the client has room for it. */
async function send<R>(
  handle: () => AsyncIterable<R>,
  call: ServerWritableStream<unknown, R> | ServerDuplexStream<unknown, R>,
  context: HandlerContext,
  { running }: AdapterOptions,
): Promise<void> {
  const writer = new MessageWriter<R>(call, () => context.over ?? gone());
  context.onEnd(() => writer.stop());
  try {
    const responses = handle()[Symbol.asyncIterator]();
    // A generator notices at its next yield; an iterator written by hand may be woken up by it.
    context.onEnd(() => void stop(responses));
    try {
      for (let next = await responses.next(); !next.done; next = await responses.next()) await writer.write(next.value);
    } catch (error) {
      await stop(responses);
      throw error;
    }
    context.finish();
    if (!call.destroyed) call.end();
  } catch (error) {
    report(error, context);
    context.finish();
    // grpc-js takes the status from the error event, and sends it after what was written before.
    if (!call.destroyed) call.emit('error', Object.assign(new Error('handler failed'), toStatus(error)));
  } finally {
    running.end(context.method);
  }
}

async function stop<R>(responses: Iterating<R>): Promise<void> {
  try {
    await responses.return?.();
  } catch {
    // Its failure has been reported by whoever awaits next().
  }
}

/** The caller is told no more than INTERNAL of a bug; the log is told everything. */
function report(error: unknown, context: HandlerContext): void {
  const bug = !(error instanceof RiveraError) || error.reason === 'INTERNAL';
  // Once the call is over, failing is the usual way for a handler to stop.
  if (bug && !context.over) context.log.error({ err: error }, 'handler failed');
  else if (context.debugs) context.log.debug({ err: error }, context.over ? 'handler stopped' : 'call refused');
}

function gone(): RiveraError {
  return new RiveraError('CANCELLED', 'the call is over');
}
