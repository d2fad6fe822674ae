import type { Metadata, MethodDefinition, ServiceDefinition } from '@grpc/grpc-js';
import type { Logger } from '../log.js';
import type { Peer } from '../tls/identity.js';

/** What a handler may know about its call. */
export interface CallContext {
  /** Whose certificate it is. */
  readonly peer: Peer;
  /** Aborted when the client is gone, the deadline is over or the server closes; its reason is a RiveraError. */
  readonly signal: AbortSignal;
  readonly log: Logger;
  /** Address and port of the client. */
  readonly remoteAddress: string;
  /** As in "/rivera.bbs.v1.TaskService/DesireTask". */
  readonly method: string;
  readonly metadata: Metadata;
}

export type Unary<Q, R> = (request: Q, ctx: CallContext) => Promise<R> | R;
export type ServerStream<Q, R> = (request: Q, ctx: CallContext) => AsyncIterable<R>;
/** `requests` throws a RiveraError when the client goes away before it has said everything. */
export type ClientStream<Q, R> = (requests: AsyncIterable<Q>, ctx: CallContext) => Promise<R>;
export type Bidi<Q, R> = (requests: AsyncIterable<Q>, ctx: CallContext) => AsyncIterable<R>;

type RequestOf<D> = D extends { requestDeserialize: (bytes: Buffer) => infer Q } ? Q : never;
type ResponseOf<D> = D extends { responseDeserialize: (bytes: Buffer) => infer R } ? R : never;

type HandlerOf<D> = D extends { requestStream: true; responseStream: true }
  ? Bidi<RequestOf<D>, ResponseOf<D>>
  : D extends { requestStream: true }
    ? ClientStream<RequestOf<D>, ResponseOf<D>>
    : D extends { responseStream: true }
      ? ServerStream<RequestOf<D>, ResponseOf<D>>
      : Unary<RequestOf<D>, ResponseOf<D>>;

/** The handlers of a service: one for every method of its stub, of the kind that the method is. */
export type Handlers<S extends ServiceDefinition> = { [M in keyof S]: HandlerOf<S[M]> };

/** A method of whatever service. */
export type AnyMethod = MethodDefinition<unknown, unknown>;
