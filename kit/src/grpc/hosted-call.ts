import {
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerMethodDefinition,
} from '@grpc/grpc-js';
import { RiveraError, toStatus } from '../errors.js';
import type { Peer } from '../tls/identity.js';
import type { AccessTable } from './access.js';
import { peerOfCall } from './peer.js';

type Listener = Parameters<ServerInterceptingCallInterface['start']>[0];
type AuthContext = ReturnType<ServerInterceptingCallInterface['getAuthContext']>;
type AnyMethod = Pick<ServerMethodDefinition<unknown, unknown>, 'path' | 'requestStream' | 'responseStream'>;

/** The calls that run now, and the end of letting new ones in. */
export class OpenCalls {
  readonly #calls = new Set<HostedCall>();
  #closing = false;

  get closing(): boolean {
    return this.#closing;
  }

  get size(): number {
    return this.#calls.size;
  }

  add(call: HostedCall): void {
    this.#calls.add(call);
  }

  delete(call: HostedCall): void {
    this.#calls.delete(call);
  }

  /** From now on calls are refused, and those that have no end of their own get one. */
  close(): void {
    this.#closing = true;
    for (const call of this.#calls) if (call.streaming) call.shutDown();
  }

  /** For those that were given time and took it. */
  endAll(): void {
    for (const call of this.#calls) call.shutDown();
  }
}

/** One call from its arrival to its end: lets it in or refuses it, whoever serves the method, and can end it. */
export class HostedCall extends ServerInterceptingCall {
  readonly peer: Peer | undefined;
  readonly streaming: boolean;
  /** Address and port of the client. */
  readonly remoteAddress: string;
  readonly #manyRequests: boolean;
  readonly #next: ServerInterceptingCallInterface;
  readonly #path: string;
  readonly #access: AccessTable;
  readonly #open: OpenCalls;
  #listener: Listener | undefined;
  #endedBy: RiveraError | undefined;

  constructor(next: ServerInterceptingCallInterface, method: AnyMethod, access: AccessTable, open: OpenCalls) {
    super(next);
    this.#next = next;
    this.#path = method.path;
    this.#access = access;
    this.#open = open;
    this.peer = peerOfCall(next);
    // Asked for now, because a broken connection has forgotten it.
    this.remoteAddress = next.getPeer();
    this.#manyRequests = method.requestStream;
    this.streaming = method.requestStream || method.responseStream;
  }

  /** Why the server ended the call, if it did. */
  get endedBy(): RiveraError | undefined {
    return this.#endedBy;
  }

  override start(listener: Listener): void {
    const refusal = this.#open.closing ? shuttingDown() : this.#access.refusal(this.peer, this.#path);
    if (refusal) {
      this.#endedBy = refusal;
      this.#next.sendStatus(toStatus(refusal));
      return;
    }
    this.#next.start({
      // A call whose client is gone already never gets here, and never ends either.
      onReceiveMetadata: (metadata) => {
        this.#listener = listener;
        this.#open.add(this);
        listener.onReceiveMetadata(metadata);
      },
      onReceiveMessage: (message) => listener.onReceiveMessage(message),
      onReceiveHalfClose: () => this.#halfClose(),
      onCancel: () => {
        this.#open.delete(this);
        this.#cancel();
      },
    });
  }

  /** Ends the call with UNAVAILABLE; the handler learns of it as of a client that went away. */
  shutDown(): void {
    if (this.#endedBy) return;
    this.#endedBy = shuttingDown();
    this.#next.sendStatus(toStatus(this.#endedBy));
    this.#cancel();
  }

  override sendMessage(message: unknown, callback: () => void): void {
    if (!this.#endedBy) this.#next.sendMessage(message, callback);
  }

  override sendStatus(status: Parameters<ServerInterceptingCallInterface['sendStatus']>[0]): void {
    if (!this.#endedBy) this.#next.sendStatus(status);
  }

  override sendMetadata(metadata: Parameters<ServerInterceptingCallInterface['sendMetadata']>[0]): void {
    this.#next.sendMetadata(metadata);
  }

  /** The handler's side of a call sees this object alone; it is the way from there to here. */
  override getAuthContext(): HostedAuth {
    return new HostedAuth(this, this.#next);
  }

  /**
   * Node ends the readable side of a stream that breaks off before it closes it, all in one turn of the event loop, and
   * grpc-js takes the end for the client's last word. A turn later the two are told apart.
   */
  #halfClose(): void {
    if (this.#manyRequests) setImmediate(() => this.#listener?.onReceiveHalfClose());
    else this.#listener?.onReceiveHalfClose();
  }

  #cancel(): void {
    const listener = this.#listener;
    this.#listener = undefined;
    listener?.onCancel();
  }
}

/** What a handler finds out about its caller. */
export class HostedAuth implements AuthContext {
  readonly call: HostedCall;
  readonly #next: ServerInterceptingCallInterface;

  constructor(call: HostedCall, next: ServerInterceptingCallInterface) {
    this.call = call;
    this.#next = next;
  }

  get transportSecurityType(): string {
    return 'ssl';
  }

  get sslPeerCertificate(): NonNullable<AuthContext['sslPeerCertificate']> | undefined {
    return this.#next.getAuthContext().sslPeerCertificate;
  }
}

function shuttingDown(): RiveraError {
  return new RiveraError('SHUTTING_DOWN', 'the server is closing');
}
