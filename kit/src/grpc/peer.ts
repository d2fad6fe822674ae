import type { ServerInterceptingCallInterface } from '@grpc/grpc-js';
import { type Peer, peerOf } from '../tls/identity.js';

/** Who is at the other end, by connection: taking a certificate apart costs as much as a whole small call. */
const peers = new WeakMap<object, Peer | undefined>();

/** The verified peer of a call; undefined: no certificate, or one that names no role. */
export function peerOfCall(call: ServerInterceptingCallInterface): Peer | undefined {
  const connection = connectionOf(call);
  if (connection && peers.has(connection)) return peers.get(connection);
  const certificate = call.getAuthContext().sslPeerCertificate;
  const peer = certificate && peerOf(certificate);
  if (connection) peers.set(connection, peer);
  return peer;
}

/**
 * The HTTP/2 session of a call. grpc-js has no public name for it; should it move, every call takes its certificate
 * apart again, and nothing else changes.
 */
function connectionOf(call: ServerInterceptingCallInterface): object | undefined {
  if (!('stream' in call)) return undefined;
  const { stream } = call;
  if (typeof stream !== 'object' || stream === null || !('session' in stream)) return undefined;
  return typeof stream.session === 'object' && stream.session !== null ? stream.session : undefined;
}
