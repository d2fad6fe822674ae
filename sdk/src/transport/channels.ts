import type { PeerCertificate } from 'node:tls';
import { ChannelCredentials, type ChannelOptions, Client } from '@grpc/grpc-js';
import type { Settings } from '../options.js';

/** Largest message either way. */
export const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;

/** Connections that are kept: the listed servers and the leaders that standbys named. */
const MAX_CONNECTIONS = 16;

const CHANNEL_OPTIONS: ChannelOptions = {
  'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
  'grpc.max_send_message_length': MAX_MESSAGE_BYTES,
  // A server that stops without a word is noticed within half a minute, also by streams on which nothing happens.
  'grpc.keepalive_time_ms': 20_000,
  'grpc.keepalive_timeout_ms': 10_000,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 2_000,
  // Retries are the SDK's own: it alone knows which calls may be repeated.
  'grpc.enable_retries': 0,
  // Connections end with the client that made them.
  'grpc.use_local_subchannel_pool': 1,
  // The servers are reached directly; a proxy in the environment is meant for the web.
  'grpc.enable_http_proxy': 0,
  // Without a name Node warns about addresses. Whom we accept is decided by checkRole.
  'grpc.ssl_target_name_override': 'rivera-server',
};

/** One connection per server address, made when first used. */
export class Channels {
  readonly #credentials: ChannelCredentials;
  readonly #clients = new Map<string, Client>();

  constructor(tls: Settings['tls']) {
    this.#credentials = ChannelCredentials.createSsl(tls.ca, tls.key, tls.cert, { checkServerIdentity: checkRole });
  }

  to(address: string): Client {
    const known = this.#clients.get(address);
    if (known) {
      this.#clients.delete(address);
      this.#clients.set(address, known);
      return known;
    }
    for (const [oldest, client] of this.#clients) {
      if (this.#clients.size < MAX_CONNECTIONS) break;
      this.#clients.delete(oldest);
      client.close();
    }
    const client = new Client(address, this.#credentials, CHANNEL_OPTIONS);
    this.#clients.set(address, client);
    return client;
  }

  close(): void {
    for (const client of this.#clients.values()) client.close();
    this.#clients.clear();
  }
}

/**
 * The certificate authority belongs to one Rivera installation, so the role it wrote into the certificate says whom
 * one talks to, whatever name or address the server was reached by. The chain has been verified before this is called.
 */
export function checkRole(_host: string, certificate: Pick<PeerCertificate, 'subject'>): Error | undefined {
  const role: unknown = certificate.subject.OU;
  if (role === 'server') return undefined;
  return new Error(`not a Rivera server: the role in its certificate is ${JSON.stringify(role ?? '')}, not "server"`);
}
