import {
  type AuctioneerHello,
  type PlacementResult,
  PlacementServiceService,
  type PlaceRequest,
  type PlaceResponse,
  WorkBatch,
} from '@rivera/gen/rivera/bbs/v1/placement_service';
import type { RiveraError } from '@rivera/kit/errors';
import type { CallContext, GrpcHost } from '@rivera/kit/grpc/host';

/** The BBS's end of the placement stream on a real host, without a BBS: sends what it is given, and keeps what it is told. */
export class WireBbs {
  readonly hellos: AuctioneerHello[] = [];
  readonly results: PlacementResult[] = [];
  /** Sent first on each stream: everything that waits. */
  waiting: WorkBatch = WorkBatch.fromPartial({});
  private current: Sending | undefined;
  private readonly changed: (() => void)[] = [];

  constructor(host: GrpcHost) {
    const place = (requests: AsyncIterable<PlaceRequest>, ctx: CallContext) => this.place(requests, ctx.signal);
    host.add(PlacementServiceService, { place }, { default: ['server'] });
  }

  /** On the newest stream. */
  send(batch: Partial<WorkBatch>): void {
    this.current?.push({ message: { $case: 'work', value: WorkBatch.fromPartial(batch) } });
  }

  /** Ends the newest stream. */
  break(error: RiveraError): void {
    this.current?.fail(error);
  }

  /** Resolves when the condition holds; it is looked at after each message. @throws the signal's reason */
  async until(condition: () => boolean, signal?: AbortSignal): Promise<void> {
    const wake = () => {
      for (const resolve of this.changed.splice(0)) resolve();
    };
    signal?.addEventListener('abort', wake, { once: true });
    while (!condition()) {
      signal?.throwIfAborted();
      await new Promise<void>((resolve) => this.changed.push(resolve));
    }
    signal?.removeEventListener('abort', wake);
  }

  private place(requests: AsyncIterable<PlaceRequest>, signal: AbortSignal): AsyncIterable<PlaceResponse> {
    const sending = new Sending();
    this.current = sending;
    sending.push({ message: { $case: 'work', value: this.waiting } });
    signal.addEventListener('abort', () => sending.fail(signal.reason));
    this.listen(requests).catch((error: unknown) => sending.fail(error));
    return sending;
  }

  private async listen(requests: AsyncIterable<PlaceRequest>): Promise<void> {
    for await (const { message } of requests) {
      if (message?.$case === 'hello') this.hellos.push(message.value);
      if (message?.$case === 'results') this.results.push(...message.value.results);
      for (const resolve of this.changed.splice(0)) resolve();
    }
  }
}

/** What goes out on one stream. */
class Sending implements AsyncIterable<PlaceResponse> {
  private readonly queue: PlaceResponse[] = [];
  private failure: { error: unknown } | undefined;
  private wake: () => void = () => {};

  push(response: PlaceResponse): void {
    this.queue.push(response);
    this.wake();
  }

  fail(error: unknown): void {
    this.failure ??= { error };
    this.wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<PlaceResponse, void> {
    for (;;) {
      if (this.failure !== undefined) throw this.failure.error;
      const response = this.queue.shift();
      if (response !== undefined) yield response;
      else
        await new Promise<void>((resolve) => {
          this.wake = resolve;
        });
    }
  }
}
