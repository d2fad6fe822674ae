import type { Logger } from '../log.js';
import type { Peer } from '../tls/identity.js';

/** A call as those see it who keep count of calls. */
export interface ObservedCall {
  /** As in "/rivera.bbs.v1.TaskService/DesireTask". A method that nobody serves is not seen here. */
  readonly method: string;
  /** Whose certificate it is; undefined: it names no role. */
  readonly peer: Peer | undefined;
  /** Address and port of the client. */
  readonly remoteAddress: string;
  /** It has more than one message in either direction. */
  readonly streaming: boolean;
  /**
   * It may change something, or show what is nobody else's business: its method is neither for readers, nor named in the access
   * table as one that only reads.
   */
  readonly changing: boolean;
  /** It was let in. */
  readonly admitted: boolean;
}

/** How a call ended. */
export interface CallOutcome {
  /** gRPC status. */
  readonly code: number;
  /** From its arrival to its end. */
  readonly ms: number;
}

/**
 * Sees every call of a host, health checks and reflection included, whoever serves it and however it ends. Must be quick, and
 * must not throw.
 */
export interface CallObserver {
  /** It was let in. */
  began?(call: ObservedCall): void;
  /** A message came from the client. */
  received?(call: ObservedCall, message: unknown): void;
  /** A message goes to the client. */
  sent?(call: ObservedCall, message: unknown): void;
  /** It is over, or was refused. */
  ended?(call: ObservedCall, outcome: CallOutcome): void;
}

/** Several observers as one. What one of them throws is logged: a call must not fail because somebody watches it. */
export function together(observers: readonly CallObserver[], logger: Logger): Required<CallObserver> {
  const each = (tell: (observer: CallObserver) => void): void => {
    for (const observer of observers) {
      try {
        tell(observer);
      } catch (error) {
        logger.error({ err: error }, 'an observer of calls failed');
      }
    }
  };
  return {
    began: (call) => each((observer) => observer.began?.(call)),
    received: (call, message) => each((observer) => observer.received?.(call, message)),
    sent: (call, message) => each((observer) => observer.sent?.(call, message)),
    ended: (call, outcome) => each((observer) => observer.ended?.(call, outcome)),
  };
}
