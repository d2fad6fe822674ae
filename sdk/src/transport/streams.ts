import type { EventEmitter } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import type { ClientReadableStream } from '@grpc/grpc-js';
import type { RiveraError } from '../errors.js';
import type { Scope } from './lifetime.js';
import { decide, fateOf, isPassing, type Safety } from './retry.js';
import { toRiveraError } from './status.js';
import type { Opened, Transport } from './transport.js';

/** Yields a stream's messages, no faster than they are taken; cancels the call when the reader stops or the signal aborts. */
export async function* messagesOf<R>(
  call: Pick<ClientReadableStream<R>, 'cancel' | 'deserialize'> & Readable,
  signal: AbortSignal,
): AsyncGenerator<R, void, undefined> {
  const cancel = () => call.cancel();
  if (signal.aborted) cancel();
  signal.addEventListener('abort', cancel, { once: true });
  try {
    yield* call as AsyncIterable<R>;
  } finally {
    signal.removeEventListener('abort', cancel);
    cancel();
  }
}

/** Writes to a stream one message after the other, at the pace of the connection. */
export class Sender<Q> {
  readonly #call: Writable;
  readonly #waiting = new Set<() => void>();
  #over = false;

  constructor(call: Writable & EventEmitter) {
    this.#call = call;
    const over = () => {
      this.#over = true;
      for (const wake of this.#waiting) wake();
      this.#waiting.clear();
    };
    // grpc-js does not promise to call a write's callback once the call is over.
    call.once('status', over).once('error', over).once('close', over);
  }

  /** Whether the call has ended; what is sent then is lost, and the call's status says why. */
  get over(): boolean {
    return this.#over;
  }

  /** Resolves when there is room for the next message, or the call has ended. */
  async send(message: Q): Promise<void> {
    if (this.#over) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        this.#waiting.delete(done);
        resolve();
      };
      this.#waiting.add(done);
      this.#call.write(message, done);
    });
  }

  end(): void {
    if (!this.#over) this.#call.end();
  }
}

/** How long a stream is opened again: a bounded number of times, for ever once it has worked, or for ever. */
export type Patience = 'bounded' | 'for ever once connected' | 'for ever';

/** Paces the reconnects of one stream. */
export class Reconnects {
  #attempt = 1;
  #redirects = 0;
  #passing = false;
  #connected = false;

  constructor(
    readonly transport: Transport,
    readonly scope: Scope,
    readonly rules: { safety: Safety; patience: Patience },
  ) {}

  /** A message has come: the count of failures starts anew. */
  progressed(): void {
    this.#connected = true;
    this.#attempt = 1;
    this.#redirects = 0;
    this.#passing = false;
  }

  /** Throws what ended a stream that can't be begun again. */
  giveUp(cause: unknown): never {
    throw this.scope.signal.aborted ? this.scope.cancelled() : toRiveraError(cause);
  }

  /** Resolves when it is time to open the stream again; rejects with the error when it is not to be. */
  async after(cause: unknown, failed: Pick<Opened<unknown>, 'address'>): Promise<void> {
    const { transport, scope, rules } = this;
    if (scope.signal.aborted) throw scope.cancelled();
    const error: RiveraError = toRiveraError(cause);
    const fate = fateOf(error);
    const leaderKnown = fate !== 'final' && transport.servers.failed(failed.address, error);
    // Of several servers one may be dead, and not say so.
    this.#passing ||= isPassing(error);
    const forEver = rules.patience === 'for ever' || (this.#connected && rules.patience !== 'bounded');
    const decision = decide({
      ...{ safety: rules.safety, fate, error, attempt: this.#attempt, redirects: this.#redirects, leaderKnown },
      ...{ maxAttempts: forEver ? Number.POSITIVE_INFINITY : transport.settings.maxAttempts },
      ...{ remainingMs: Number.POSITIVE_INFINITY, random: transport.runtime.random(), passing: this.#passing },
    });
    if (decision.do === 'give up') throw error;
    if (decision.do === 'redirect') this.#redirects++;
    else {
      this.#attempt++;
      await transport.runtime.sleep(decision.afterMs, scope.signal);
    }
    if (scope.signal.aborted) throw scope.cancelled();
  }
}
