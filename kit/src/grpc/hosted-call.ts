import {
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerMethodDefinition,
  status,
} from '@grpc/grpc-js';
import { RiveraError, toStatus } from '../errors.js';
import type { Peer } from '../tls/identity.js';
import type { AccessTable } from './access.js';
import type { CallObserver, ObservedCall } from './observer.js';
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

/** What all calls of a host have in common. */
export interface CallSurroundings {
  readonly access: AccessTable;
  readonly open: OpenCalls;
  readonly observer: Required<CallObserver>;
  readonly encoded: EncodedSize;
}

/** Bytes of the message that was encoded last, framed; 0 where nobody measures. */
export interface EncodedSize {
  bytes: number;
}

/**
 * Bytes of a stream of answers that may be on their way to the connection. grpc-js takes the next message when the one before has left,
 * a turn of the event loop each; small messages would go one by one, however many wait.
 */
const WRITE_AHEAD_BYTES = 64 * 1024;

/** One call from its arrival to its end: lets it in or refuses it, whoever serves the method, and can end it. */
export class HostedCall extends ServerInterceptingCall implements ObservedCall {
  readonly peer: Peer | undefined;
  readonly streaming: boolean;
  /** Address and port of the client. */
  readonly remoteAddress: string;
  readonly method: string;
  readonly #manyRequests: boolean;
  readonly #next: ServerInterceptingCallInterface;
  readonly #access: AccessTable;
  readonly #open: OpenCalls;
  readonly #observer: Required<CallObserver>;
  readonly #encoded: EncodedSize;
  readonly #manyAnswers: boolean;
  #unflushedBytes = 0;
  readonly #arrivedAtMs = performance.now();
  #listener: Listener | undefined;
  #endedBy: RiveraError | undefined;
  #admitted = false;
  #over = false;

  constructor(next: ServerInterceptingCallInterface, method: AnyMethod, surroundings: CallSurroundings) {
    super(next);
    this.#next = next;
    this.method = method.path;
    this.#access = surroundings.access;
    this.#open = surroundings.open;
    this.#observer = surroundings.observer;
    this.#encoded = surroundings.encoded;
    this.#manyAnswers = method.responseStream;
    this.peer = peerOfCall(next);
    // Asked for now, because a broken connection has forgotten it.
    this.remoteAddress = next.getPeer();
    this.#manyRequests = method.requestStream;
    this.streaming = method.requestStream || method.responseStream;
  }

  get changing(): boolean {
    return this.#access.changes(this.method);
  }

  get admitted(): boolean {
    return this.#admitted;
  }

  /** Why the server ended the call, if it did. */
  get endedBy(): RiveraError | undefined {
    return this.#endedBy;
  }

  override start(listener: Listener): void {
    const refusal = this.#open.closing ? shuttingDown() : this.#access.refusal(this.peer, this.method);
    if (refusal) {
      this.#endedBy = refusal;
      this.#next.sendStatus(toStatus(refusal));
      this.#tellEnd(refusal.code);
      return;
    }
    this.#next.start({
      // A call whose client is gone already never gets here, and never ends either.
      onReceiveMetadata: (metadata) => {
        this.#listener = listener;
        this.#open.add(this);
        this.#admitted = true;
        this.#observer.began(this);
        listener.onReceiveMetadata(metadata);
      },
      onReceiveMessage: (message) => {
        this.#observer.received(this, message);
        listener.onReceiveMessage(message);
      },
      onReceiveHalfClose: () => this.#halfClose(),
      onCancel: () => {
        this.#open.delete(this);
        // Every call ends here, those that were answered too; the deadline is grpc-js's own to enforce.
        this.#tellEnd(isOver(this.#next.getDeadline()) ? status.DEADLINE_EXCEEDED : status.CANCELLED);
        this.#cancel();
      },
    });
  }

  /** Ends the call with UNAVAILABLE; the handler learns of it as of a client that went away. */
  shutDown(): void {
    if (this.#endedBy) return;
    this.#endedBy = shuttingDown();
    this.#next.sendStatus(toStatus(this.#endedBy));
    this.#tellEnd(this.#endedBy.code);
    this.#cancel();
  }

  override sendMessage(message: unknown, callback: () => void): void {
    if (this.#endedBy) return;
    this.#observer.sent(this, message);
    if (this.#manyAnswers) this.#sendAhead(message, callback);
    else this.#next.sendMessage(message, callback);
  }

  /** Calls back once the message has left, or at once while little is on its way. */
  #sendAhead(message: unknown, callback: () => void): void {
    let bytes = 0;
    let isTold = false;
    const tell = (): void => {
      if (isTold) return;
      isTold = true;
      callback();
    };
    this.#encoded.bytes = 0;
    this.#next.sendMessage(message, () => {
      this.#unflushedBytes -= bytes;
      tell();
    });
    // What was not encoded was not sent either, and nobody is called back.
    bytes = this.#encoded.bytes;
    this.#unflushedBytes += bytes;
    if (bytes > 0 && this.#unflushedBytes <= WRITE_AHEAD_BYTES) tell();
  }

  override sendStatus(ending: Parameters<ServerInterceptingCallInterface['sendStatus']>[0]): void {
    if (this.#endedBy) return;
    this.#next.sendStatus(ending);
    this.#tellEnd(ending.code ?? status.UNKNOWN);
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

  #tellEnd(code: number): void {
    if (this.#over) return;
    this.#over = true;
    this.#observer.ended(this, { code, ms: performance.now() - this.#arrivedAtMs });
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

/**
 * A client's deadline is over a little before the server's, which starts when the request arrives: who leaves that
 * close to it has not changed its mind.
 */
const DEADLINE_SLACK_MS = 50;

/** Whether the deadline is what a call that was broken off ended by. */
export function isOver(deadline: ReturnType<ServerInterceptingCallInterface['getDeadline']>): boolean {
  return Number(deadline) - DEADLINE_SLACK_MS <= Date.now();
}

function shuttingDown(): RiveraError {
  return new RiveraError('SHUTTING_DOWN', 'the server is closing');
}
