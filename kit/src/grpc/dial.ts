import { ChannelCredentials, type Client, type ClientOptions } from '@grpc/grpc-js';
import { type Identity, peerOf } from '../tls/identity.js';
import type { BidiStream } from './calls.js';
import { DEFAULT_MAX_MESSAGE_BYTES, KEEPALIVE_TIME_MS, KEEPALIVE_TIMEOUT_MS } from './limits.js';

export { type BidiStream, bidi, serverStream, type UnaryMethod, type UnaryOptions, unary } from './calls.js';

/** A stream of its own connection. */
export interface DialledStream<Q, R> extends BidiStream<Q, R> {
  /** Lets go of the connection, once the stream is over. */
  close(): void;
}

/** Opens a stream to a server; whoever keeps one up takes this as an argument, so that a simulator can be the network. */
export type OpenStream<Q, R> = (address: string, signal: AbortSignal) => DialledStream<Q, R>;

export interface DialOptions extends Partial<ClientOptions> {
  /** Role that the other side's certificate must have; default server. */
  readonly expect?: 'server' | 'cell';
  /** Name that it must have, as of one cell; default any. */
  readonly expectName?: string;
  /** Largest message that is received; default 4 MiB. */
  readonly maxMessageBytes?: number;
}

type ClientConstructor<C extends Client> = new (
  address: string,
  credentials: ChannelCredentials,
  options?: object,
) => C;

/** Clients with equal credentials share a connection, so the credentials of an identity are made once. */
const credentials = new WeakMap<Identity, Map<string, ChannelCredentials>>();

/**
 * A client over mutual TLS. The other side is known by its certificate, issued by our authority for the expected role,
 * and not by its address: addresses of servers change, and behind a balancer they mean nothing.
 * It connects at the first call, and again by itself; close() it.
 */
export function dial<C extends Client>(
  ctor: ClientConstructor<C>,
  address: string,
  identity: Identity,
  options: DialOptions = {},
): C {
  const { expect = 'server', expectName, maxMessageBytes = DEFAULT_MAX_MESSAGE_BYTES, ...channelOptions } = options;
  return new ctor(address, credentialsFor(identity, expect, expectName), {
    'grpc.max_receive_message_length': maxMessageBytes,
    'grpc.keepalive_time_ms': KEEPALIVE_TIME_MS,
    'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
    'grpc.keepalive_permit_without_calls': 1,
    // How long a client may take to notice that a server is back.
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 2000,
    'grpc.enable_http_proxy': 0,
    // Says in the handshake whom we look for; without it Node warns about addresses. What we accept is decided below.
    'grpc.ssl_target_name_override': `rivera-${expect}`,
    ...channelOptions,
  });
}

function credentialsFor(identity: Identity, expect: 'server' | 'cell', expectName?: string): ChannelCredentials {
  const known = credentials.get(identity) ?? new Map<string, ChannelCredentials>();
  credentials.set(identity, known);
  const id = `${expect}/${expectName ?? ''}`;
  const made = known.get(id) ?? makeCredentials(identity, expect, expectName);
  known.set(id, made);
  return made;
}

function makeCredentials(identity: Identity, expect: 'server' | 'cell', expectName?: string): ChannelCredentials {
  const { caPem, certPem, keyPem } = identity;
  return ChannelCredentials.createSsl(Buffer.from(caPem), Buffer.from(keyPem), Buffer.from(certPem), {
    // TLS has verified the chain, the validity and the purpose by the time this is asked.
    checkServerIdentity: (_host, certificate) => {
      const peer = peerOf(certificate);
      const fits = peer?.role === expect && (expectName === undefined || peer.name === expectName);
      if (fits) return undefined;
      const wanted = expectName === undefined ? `a ${expect}` : `${expect} ${expectName}`;
      return new Error(
        `expected ${wanted}, found ${peer ? `${peer.role} ${peer.name}` : 'a certificate without a role'}`,
      );
    },
  });
}
