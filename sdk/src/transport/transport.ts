import {
  type Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  type ClientWritableStream,
  Metadata,
  type MethodDefinition,
} from '@grpc/grpc-js';
import { DeadlineExceededError, type RiveraError } from '../errors.js';
import type { CallOptions } from '../input.js';
import type { Settings } from '../options.js';
import { Channels } from './channels.js';
import { Lifetime, type Scope } from './lifetime.js';
import { decide, fateOf, isPassing, type Safety } from './retry.js';
import type { Runtime } from './runtime.js';
import { Servers } from './servers.js';
import { toRiveraError } from './status.js';

/** How one method is called. */
export interface Policy<R> {
  safety: Safety;
  /**
   * Called when the server's decision follows an attempt of unknown outcome (`doubt`): perhaps it is only the echo of
   * what that attempt did. Returns the answer if so, undefined if the decision stands, or throws a better error.
   */
  afterDoubt?: (decision: RiveraError, doubt: RiveraError) => Promise<R | undefined> | R | undefined;
}

/** A stream that was opened, and the server it goes to. */
export interface Opened<S> {
  readonly call: S;
  readonly address: string;
}

/** Makes calls: to the right server, within their deadline, repeated where that is safe. */
export class Transport {
  readonly lifetime = new Lifetime();
  readonly servers: Servers;
  readonly #channels: Channels;

  constructor(
    readonly settings: Settings,
    readonly runtime: Runtime,
  ) {
    this.servers = new Servers(settings.servers);
    this.#channels = new Channels(settings.tls);
  }

  /** One request, one answer. Rejects with a {@link RiveraError}. */
  async unary<Q, R>(
    method: MethodDefinition<Q, R>,
    request: Q,
    policy: Policy<R>,
    options: CallOptions = {},
  ): Promise<R> {
    const { runtime, settings, servers } = this;
    const deadlineMs = options.deadlineMs ?? settings.deadlineMs;
    const endsAt = runtime.now() + deadlineMs;
    const scope = this.lifetime.enter(options.signal);
    let doubt: RiveraError | undefined;
    let attempt = 1;
    let redirects = 0;
    let passing = false;
    try {
      for (;;) {
        if (scope.signal.aborted) throw scope.cancelled();
        const address = servers.current();
        const remainingMs = endsAt - runtime.now();
        // With another server to go to, one that hangs must not use up the time of all attempts.
        const shared = policy.safety === 'repeatable' && servers.count > 1 && attempt < settings.maxAttempts;
        try {
          return await this.#attempt(address, method, request, shared ? remainingMs / 2 : remainingMs, scope);
        } catch (cause) {
          if (scope.signal.aborted) throw scope.cancelled();
          const error = toRiveraError(cause);
          const fate = fateOf(error);
          if (fate === 'final' && doubt) {
            const answer = await policy.afterDoubt?.(error, doubt);
            if (answer !== undefined) return answer;
          }
          if (fate === 'unknown') doubt ??= error;
          const leaderKnown = fate !== 'final' && servers.failed(address, error);
          passing ||= isPassing(error);
          const decision = decide({
            ...{
              safety: policy.safety,
              fate,
              error,
              passing,
              attempt,
              redirects,
              leaderKnown,
              random: runtime.random(),
            },
            ...{ maxAttempts: settings.maxAttempts, remainingMs: endsAt - runtime.now() },
          });
          if (decision.do === 'give up') throw error;
          if (decision.do === 'redirect') redirects++;
          else {
            attempt++;
            await runtime.sleep(decision.afterMs, scope.signal);
          }
        }
      }
    } finally {
      scope.leave();
    }
  }

  #attempt<Q, R>(address: string, m: MethodDefinition<Q, R>, request: Q, timeMs: number, scope: Scope): Promise<R> {
    return new Promise((resolve, reject) => {
      if (timeMs <= 0) return reject(new DeadlineExceededError({ message: `${m.path}: no time left` }));
      const deadline = Date.now() + timeMs;
      const call = this.#channels
        .to(address)
        .makeUnaryRequest(
          m.path,
          m.requestSerialize,
          m.responseDeserialize,
          request,
          new Metadata(),
          { deadline },
          done,
        );
      const cancel = () => call.cancel();
      scope.signal.addEventListener('abort', cancel, { once: true });
      function done(error: Error | null, answer?: R): void {
        scope.signal.removeEventListener('abort', cancel);
        if (error || answer === undefined) reject(error ?? new Error(`${m.path}: empty answer`));
        else resolve(answer);
      }
    });
  }

  /** Opens a stream of answers at the server in use. */
  serverStream<Q, R>(m: MethodDefinition<Q, R>, request: Q): Opened<ClientReadableStream<R>> {
    return this.#open((client) =>
      client.makeServerStreamRequest(m.path, m.requestSerialize, m.responseDeserialize, request),
    );
  }

  /** Opens a stream of requests that is answered once. */
  clientStream<Q, R>(
    m: MethodDefinition<Q, R>,
    done: (error: Error | null, answer?: R) => void,
  ): Opened<ClientWritableStream<Q>> {
    return this.#open((client) =>
      client.makeClientStreamRequest(m.path, m.requestSerialize, m.responseDeserialize, done),
    );
  }

  /** Opens a stream both ways. */
  duplex<Q, R>(m: MethodDefinition<Q, R>): Opened<ClientDuplexStream<Q, R>> {
    return this.#open((client) => client.makeBidiStreamRequest(m.path, m.requestSerialize, m.responseDeserialize));
  }

  #open<S extends NodeJS.EventEmitter>(open: (client: Client) => S): Opened<S> {
    const address = this.servers.current();
    const call = open(this.#channels.to(address));
    // grpc-js emits 'error' also after nobody reads any more (a cancelled call); without a listener that would be thrown.
    call.on('error', () => {});
    return { call, address };
  }

  /** Ends every call and connection. */
  close(): void {
    this.lifetime.close();
    this.#channels.close();
  }
}
