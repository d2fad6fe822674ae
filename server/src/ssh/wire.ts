import type { Socket } from 'node:net';
import type { Connection, ServerChannel } from 'ssh2';
import { withDescription } from './disconnect.js';

/** What a channel may hold for a slow reader: twice its window; more comes only from a client that does not heed it. */
const MAX_UNREAD_BYTES = 4 * 1024 * 1024;
/** The smallest packets that a client may wish for. None at all would have ssh2 send empty ones for ever. */
const MIN_PACKET_BYTES = 1_024;
/** How long what a client sent before it closed a channel may still wait to be taken. */
const UNTAKEN_MS = 2_000;

/** Reasons of RFC 4254 section 5.1. */
export const OPEN_FAILURE = { prohibited: 1, connectFailed: 2, resourceShortage: 4 } as const;

type Handler = (protocol: Protocol, ...args: never[]) => unknown;

/** The parts of ssh2 that it keeps to itself. */
interface Protocol {
  readonly _handlers: Record<string, Handler | undefined>;
  channelOpenFail(recipient: number, reason: number, text: string): void;
  channelClose(recipient: number): void;
  channelSuccess(recipient: number): void;
  channelFailure(recipient: number): void;
}
interface Inner {
  readonly _sock: Socket;
  readonly _protocol: Protocol;
  readonly _chanMgr: { get(id: number): unknown; remove(id: number): void };
}
interface Ends {
  readonly incoming: { readonly id: number; state: string };
  readonly outgoing: { readonly id: number };
}
type InnerChannel = ServerChannel & Ends & { _waitWindow: boolean; _chunk?: Buffer; _chunkcb?: unknown };
/** A channel of type session, before and after something runs in it. */
interface InnerSession {
  readonly type: 'session';
  readonly _chanInfo: Ends;
  readonly _channel?: InnerChannel;
  _ending: boolean;
}

export interface WireEvents {
  /** The client did something of its own accord. */
  readonly active: () => void;
  /** The client breaks the rules. */
  readonly broken: (why: string) => void;
}

/**
 * A connection below ssh2's events: what the library has no words for, and where it has to be led around its own mistakes. All use of
 * its insides is here, and fails at once where they are gone.
 */
export class Wire {
  readonly #inner: Inner;

  constructor(
    private readonly connection: Connection,
    private readonly events: WireEvents,
  ) {
    this.#inner = connection as unknown as Inner;
    // Every channel may wait for it.
    this.socket.setMaxListeners(0);
    this.#watchActivity();
    this.#boundPackets();
    this.#boundUnread();
    this.#mendSessions();
    this.#mendClosing();
    this.#mendWaiting();
  }

  static socketOf(connection: Connection): Socket {
    return (connection as unknown as Inner)._sock;
  }

  get socket(): Socket {
    return this.#inner._sock;
  }

  /** Refuses a channel with a reason that the client shows; ssh2 alone gives none. */
  refuse(reject: () => void, reason: number, text: string): void {
    const { _protocol: protocol } = this.#inner;
    const plain = protocol.channelOpenFail;
    protocol.channelOpenFail = (recipient) => plain.call(protocol, recipient, reason, text.slice(0, 1_000));
    try {
      reject();
    } finally {
      protocol.channelOpenFail = plain;
    }
  }

  /** Says goodbye with a reason, which OpenSSH's client shows; the socket is closed by `end` or `destroy`. */
  disconnect(text: string): void {
    withDescription(this.#inner._protocol, text, () => this.connection.end());
  }

  /** Whether the socket takes no more for now: ssh2 writes to it without looking. */
  get full(): boolean {
    return this.socket.writableNeedDrain && !this.socket.destroyed;
  }

  /** Resolves when a full socket takes more, or is gone. Look again then: others have waited too. */
  room(): Promise<void> {
    const { socket } = this;
    return new Promise((resolve) => {
      const done = () => {
        socket.off('drain', done).off('close', done);
        resolve();
      };
      socket.on('drain', done).on('close', done);
    });
  }

  /** Puts something around one of ssh2's handlers. */
  #around(name: string, wrap: (next: (...args: never[]) => unknown) => (...args: never[]) => unknown): void {
    const { _protocol: protocol } = this.#inner;
    const handler = protocol._handlers[name];
    if (!handler) throw new Error(`ssh2 has no handler ${name} any more`);
    const wrapped = wrap((...args) => handler(protocol, ...args));
    protocol._handlers[name] = (_protocol, ...args) => wrapped(...args);
  }

  /**
   * That a client's keepalives keep it from being idle is a promise of the reference (spec access §10, fact 19), and that answers to
   * ours don't follows; ssh2 has no event for either.
   */
  #watchActivity(): void {
    for (const name of ['GLOBAL_REQUEST', 'CHANNEL_OPEN', 'CHANNEL_DATA', 'CHANNEL_REQUEST', 'CHANNEL_WINDOW_ADJUST']) {
      this.#around(name, (next) => (...args) => {
        this.events.active();
        return next(...args);
      });
    }
  }

  #boundPackets(): void {
    const tooSmall = `packets of at least ${MIN_PACKET_BYTES} bytes are needed`;
    this.#around('CHANNEL_OPEN', (next) => (info: { sender: number; packetSize: number }) => {
      if (info.packetSize >= MIN_PACKET_BYTES) return next(info as never);
      return this.#inner._protocol.channelOpenFail(info.sender, OPEN_FAILURE.prohibited, tooSmall);
    });
    this.#around('CHANNEL_OPEN_CONFIRMATION', (next) => (info: { packetSize: number }) => {
      if (info.packetSize >= MIN_PACKET_BYTES) return next(info as never);
      return this.events.broken(tooSmall);
    });
  }

  /** ssh2 takes what comes beyond the window. */
  #boundUnread(): void {
    this.#around('CHANNEL_DATA', (next) => (recipient: number, data: Buffer) => {
      next(recipient as never, data as never);
      const unread = this.#channel(recipient)?.readableLength ?? 0;
      if (unread > MAX_UNREAD_BYTES) this.events.broken('the client sent more than the channel has room for');
    });
  }

  /** ssh2 leaves requests unanswered once something runs, and unheard once the client has no more input. */
  #mendSessions(): void {
    type Args = [recipient: number, type: string, wantReply: boolean, data: unknown];
    this.#around('CHANNEL_REQUEST', (next) => (...[recipient, type, wantReply, data]: Args) => {
      const session = this.#session(recipient);
      if (!session?._channel || !wantReply) return void next(...([recipient, type, wantReply, data] as never[]));
      next(...([recipient, type, false, data] as never[]));
      const { _protocol: protocol } = this.#inner;
      if (type === 'signal' || type === 'window-change') protocol.channelSuccess(session._chanInfo.outgoing.id);
      else protocol.channelFailure(session._chanInfo.outgoing.id);
    });
    this.#around('CHANNEL_EOF', (next) => (recipient: number) => {
      next(recipient as never);
      const session = this.#session(recipient);
      if (session?._channel) session._ending = false;
    });
  }

  /** ssh2 forgets sessions in which nothing ran, and tells of a close only when all that came before was taken. */
  #mendClosing(): void {
    this.#around('CHANNEL_CLOSE', (next) => (recipient: number) => {
      const session = this.#session(recipient);
      const channel = this.#channel(recipient);
      next(recipient as never);
      if (session && !session._channel) {
        this.#inner._protocol.channelClose(session._chanInfo.outgoing.id);
        this.#inner._chanMgr.remove(recipient);
      } else if (channel) {
        const late = setTimeout(() => channel.emit('close'), UNTAKEN_MS);
        channel.once('close', () => clearTimeout(late));
        if (channel.readableEnded || channel.destroyed) clearTimeout(late);
      }
    });
  }

  /** What had waited for the window once is kept by ssh2, and would be sent again when the other output waits. */
  #mendWaiting(): void {
    this.#around('CHANNEL_WINDOW_ADJUST', (next) => (recipient: number, amount: number) => {
      const channel = this.#channel(recipient);
      if (channel?._waitWindow && channel.writableLength === 0) {
        channel._chunk = undefined;
        channel._chunkcb = undefined;
      }
      return next(recipient as never, amount as never);
    });
  }

  #session(id: number): InnerSession | undefined {
    const found = this.#inner._chanMgr.get(id);
    return typeof found === 'object' && found !== null && '_chanInfo' in found ? (found as InnerSession) : undefined;
  }

  /** A channel that carries data. */
  #channel(id: number): InnerChannel | undefined {
    const found = this.#inner._chanMgr.get(id);
    if (typeof found !== 'object' || found === null) return undefined;
    return '_chanInfo' in found ? (found as InnerSession)._channel : (found as InnerChannel);
  }
}
