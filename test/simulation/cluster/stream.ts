import { RiveraError } from '@rivera/kit/errors';
import type { Host } from './host.js';

/** What comes out at one end of a stream, for one reader: messages in order, then an end or a failure. */
export class Inbox<T> implements AsyncIterableIterator<T, undefined> {
  private readonly items: T[] = [];
  private waiting: { resolve(result: IteratorResult<T, undefined>): void; reject(error: Error): void } | undefined;
  private over: { readonly error: Error | undefined } | undefined;

  [Symbol.asyncIterator](): this {
    return this;
  }

  push(item: T): void {
    if (this.over !== undefined) return;
    this.items.push(item);
    this.settle();
  }

  /** Without an error: all was said. With one: what was not read is lost. The first end counts. */
  end(error?: Error): void {
    if (this.over !== undefined) return;
    this.over = { error };
    if (error !== undefined) this.items.length = 0;
    this.settle();
  }

  next(): Promise<IteratorResult<T, undefined>> {
    return new Promise((resolve, reject) => {
      this.waiting = { resolve, reject };
      this.settle();
    });
  }

  /** The reader has had enough. */
  async return(): Promise<IteratorResult<T, undefined>> {
    this.end();
    return { done: true, value: undefined };
  }

  private settle(): void {
    const { waiting } = this;
    if (waiting === undefined) return;
    const item = this.items.shift();
    if (item === undefined && this.over === undefined) return;
    this.waiting = undefined;
    if (item !== undefined) waiting.resolve({ done: false, value: item });
    else if (this.over?.error !== undefined) waiting.reject(this.over.error);
    else waiting.resolve({ done: true, value: undefined });
  }
}

/** One direction of a stream: messages arrive in order, each after a while, as long as the wire is whole. */
export class Wire<T> {
  readonly inbox = new Inbox<T>();
  private readonly underWay: ({ item: T } | { error: Error | undefined })[] = [];
  private lastArrivalMs = 0;
  private severed = false;

  constructor(
    private readonly receiver: Host,
    private readonly latencyMs: () => number,
  ) {}

  send(item: T): void {
    this.put({ item });
  }

  /** Arrives behind what was sent. */
  end(error?: Error): void {
    this.put({ error });
  }

  /** Nothing more arrives, not even an end. @returns messages that are lost with it */
  sever(): number {
    this.severed = true;
    return this.underWay.splice(0).filter((each) => 'item' in each).length;
  }

  private put(each: { item: T } | { error: Error | undefined }): void {
    if (this.severed) return;
    const { time } = this.receiver;
    this.lastArrivalMs = Math.max(this.lastArrivalMs, time.nowMs + this.latencyMs());
    this.underWay.push(each);
    time.after(this.lastArrivalMs - time.nowMs, () => this.receiver.deliver(() => this.arrive()));
  }

  /** The first of what is under way, whichever delivery comes first. */
  private arrive(): void {
    const each = this.underWay.shift();
    if (each === undefined) return;
    if ('item' in each) this.inbox.push(each.item);
    else this.inbox.end(each.error);
  }
}

/** A stream in both directions between two processes, with a client's end and a server's. */
export class SimulatedStream<Q, R> {
  readonly up: Wire<Q>;
  readonly down: Wire<R>;
  /** The server's view of the call: aborted when the client is gone. */
  readonly call = new AbortController();
  private clientOver: RiveraError | undefined;
  closed = false;

  constructor(
    readonly client: Host,
    readonly server: Host,
    latencyMs: () => number,
    private readonly forget: (stream: SimulatedStream<Q, R>) => void,
  ) {
    this.up = new Wire<Q>(server, latencyMs);
    this.down = new Wire<R>(client, latencyMs);
  }

  async write(message: Q): Promise<void> {
    if (this.clientOver !== undefined) throw this.clientOver;
    this.up.send(message);
  }

  /** The client gives up; the server learns of it behind what arrives of that which was sent. */
  cancel(dropsWhatIsUnderWay: boolean): void {
    if (this.clientOver !== undefined) return;
    this.endAtClient(new RiveraError('CANCELLED', 'the caller gave up'));
    if (dropsWhatIsUnderWay) this.up.sever();
    this.down.sever();
    this.server.after(1, () => this.endAtServer());
  }

  /** Nothing passes any more, and each end learns of it in its own time. @returns messages that are lost */
  break(notice: { clientMs: number; serverMs: number }): number {
    const lost = this.up.sever() + this.down.sever();
    this.client.after(notice.clientMs, () =>
      this.endAtClient(new RiveraError('UNAVAILABLE', 'the connection was lost')),
    );
    this.server.after(notice.serverMs, () => this.endAtServer());
    return lost;
  }

  /** The client has read the server's end of it. */
  endAtClient(error: RiveraError): void {
    this.clientOver ??= error;
    this.down.inbox.end(error);
    this.done();
  }

  private endAtServer(): void {
    const gone = new RiveraError('CANCELLED', 'the client is gone');
    this.call.abort(gone);
    this.up.inbox.end(gone);
    this.done();
  }

  /** The handler has ended; nobody reads what the client still says. */
  finish(error?: Error): void {
    this.down.end(error);
    this.up.inbox.end(new RiveraError('CANCELLED', 'the call is over'));
    this.done();
  }

  private done(): void {
    this.closed = true;
    this.forget(this);
  }
}
