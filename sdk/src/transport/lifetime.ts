import { CancelledError } from '../errors.js';

/** The life of one call: its signal aborts when the caller gives up or the client closes. */
export interface Scope {
  readonly signal: AbortSignal;
  /** The error to throw once `signal` is aborted. */
  cancelled(): CancelledError;
  /** Must be called when the call is over. */
  leave(): void;
}

/** Knows every call that is under way, so that closing the client ends them all. */
export class Lifetime {
  #closed = false;
  readonly #scopes = new Set<AbortController>();

  get closed(): boolean {
    return this.#closed;
  }

  /** Starts a call. An own controller per call, rather than `AbortSignal.any`, leaves nothing on long-lived signals. */
  enter(signal?: AbortSignal): Scope {
    const controller = new AbortController();
    const onAbort = () => controller.abort(signal?.reason);
    if (this.#closed) controller.abort(CLOSED);
    else if (signal?.aborted) onAbort();
    else {
      this.#scopes.add(controller);
      signal?.addEventListener('abort', onAbort, { once: true });
    }
    return {
      signal: controller.signal,
      cancelled: () => cancelledBy(controller.signal.reason),
      leave: () => {
        this.#scopes.delete(controller);
        signal?.removeEventListener('abort', onAbort);
      },
    };
  }

  close(): void {
    this.#closed = true;
    for (const scope of this.#scopes) scope.abort(CLOSED);
    this.#scopes.clear();
  }
}

const CLOSED = Symbol('closed');

function cancelledBy(reason: unknown): CancelledError {
  if (reason instanceof CancelledError) return reason;
  if (reason === CLOSED) return new CancelledError({ message: 'the client is closed' });
  return new CancelledError({ message: 'the call was aborted', cause: reason });
}
