import type { Metadata, ServerUnaryCall } from '@grpc/grpc-js';
import { RiveraError } from '../errors.js';
import type { Logger } from '../log.js';
import type { Peer } from '../tls/identity.js';
import type { CallContext } from './handlers.js';
import { HostedAuth, type HostedCall, isOver } from './hosted-call.js';

/** What the four kinds of call have in common. */
export type SurfaceCall = Pick<
  ServerUnaryCall<unknown, unknown>,
  'metadata' | 'getPath' | 'getDeadline' | 'getAuthContext'
> & { once(event: 'cancelled', listener: () => void): unknown };

/** Signal and logger are made when they are asked for: most calls are over before anybody does. */
export class HandlerContext implements CallContext {
  readonly peer: Peer;
  readonly #call: SurfaceCall;
  readonly #hosted: HostedCall;
  readonly #logger: Logger;
  #log: Logger | undefined;
  #aborter: AbortController | undefined;
  #over: RiveraError | undefined;
  #finished = false;

  constructor(call: SurfaceCall, logger: Logger) {
    const auth = call.getAuthContext();
    if (!(auth instanceof HostedAuth) || !auth.call.peer) throw new Error('the call has not been let in');
    this.#call = call;
    this.#hosted = auth.call;
    this.#logger = logger;
    this.peer = auth.call.peer;
    call.once('cancelled', () => this.end());
  }

  get method(): string {
    return this.#call.getPath();
  }

  get metadata(): Metadata {
    return this.#call.metadata;
  }

  get remoteAddress(): string {
    return this.#hosted.remoteAddress;
  }

  get log(): Logger {
    this.#log ??= this.#logger.child({ method: this.method, role: this.peer.role, peer: this.peer.name });
    return this.#log;
  }

  /** Whether a line for debugging is worth making. */
  get debugs(): boolean {
    return this.#logger.isLevelEnabled('debug');
  }

  get signal(): AbortSignal {
    this.#aborter ??= new AbortController();
    if (this.#over) this.#aborter.abort(this.#over);
    return this.#aborter.signal;
  }

  /** Whether the client set one. */
  get hasDeadline(): boolean {
    return this.#call.getDeadline() !== Infinity;
  }

  /** Why nobody listens any more; undefined while somebody does. */
  get over(): RiveraError | undefined {
    return this.#over;
  }

  /** Calls `fn` when the call ends before its handler. */
  onEnd(fn: () => void): void {
    this.#call.once('cancelled', fn);
  }

  /** The call has ended under its handler. */
  end(reason?: RiveraError): void {
    if (this.#finished || this.#over) return;
    this.#over = reason ?? this.#reason();
    this.#aborter?.abort(this.#over);
  }

  /** The handler is done: what happens to the call now is none of its business. */
  finish(): void {
    this.#finished = true;
  }

  #reason(): RiveraError {
    if (this.#hosted.endedBy) return this.#hosted.endedBy;
    return isOver(this.#call.getDeadline())
      ? new RiveraError('DEADLINE_EXCEEDED', 'the deadline of the call is over')
      : new RiveraError('CANCELLED', 'the client is gone');
  }
}
