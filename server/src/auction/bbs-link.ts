import {
  type PlacementResult,
  PlacementServiceClient,
  PlaceRequest,
  type PlaceResponse,
} from '@rivera/gen/rivera/bbs/v1/placement_service';
import type { Clock } from '@rivera/kit/clock';
import { RiveraError } from '@rivera/kit/errors';
import { type BidiStream, bidi, dial, type OpenStream } from '@rivera/kit/grpc/dial';
import { LeaderFinder } from '@rivera/kit/grpc/leader';
import type { Logger } from '@rivera/kit/log';
import type { Identity } from '@rivera/kit/tls/identity';
import type { Auctioneer } from './auctioneer.js';

export interface BbsLinkOptions {
  readonly identity: Identity;
  readonly addresses: readonly string[];
  readonly clock: Clock;
  readonly log: Logger;
  /** 0..1, for jitter. */
  readonly random: () => number;
  readonly reconnectMinMs: number;
  readonly reconnectMaxMs: number;
  /** Default: over gRPC, as the identity. */
  readonly open?: OpenStream<PlaceRequest, PlaceResponse>;
}

const RESULTS_PER_MESSAGE = 1_000;
/** More unsent results than this, and the stream is given up: after a reconnect the BBS tells what still waits. */
const MAX_UNSENT_RESULTS = 100_000;

/**
 * The stream to the active BBS, for one term. It reconnects for ever; what results were unsent when a stream broke is dropped,
 * because the BBS then sends everything that waits once more.
 */
export class BbsLink {
  private readonly finder: LeaderFinder;
  private readonly closing = new AbortController();
  private stream: BidiStream<PlaceRequest, PlaceResponse> | undefined;
  private unsent: PlacementResult[] = [];
  private writing = false;
  private done: Promise<void> | undefined;

  constructor(private readonly options: BbsLinkOptions) {
    this.finder = new LeaderFinder(options.addresses);
  }

  get connected(): boolean {
    return this.stream !== undefined;
  }

  start(term: Auctioneer): void {
    this.done ??= this.stayConnected(term);
  }

  /** Sends results when there is a stream; without one they are of no use. */
  report(results: readonly PlacementResult[]): void {
    if (this.stream === undefined) return;
    for (const result of results) this.unsent.push(result);
    if (this.unsent.length > MAX_UNSENT_RESULTS) {
      this.options.log.warn({ unsent: this.unsent.length }, 'the BBS does not read placement results, connecting anew');
      this.unsent = [];
      this.stream.cancel();
      return;
    }
    if (!this.writing) void this.writeUnsent(this.stream);
  }

  async close(): Promise<void> {
    this.closing.abort(new RiveraError('SHUTTING_DOWN', 'the auctioneer is closing'));
    this.stream?.cancel();
    await this.done;
  }

  private async stayConnected(term: Auctioneer): Promise<void> {
    const { clock, log, random, reconnectMinMs, reconnectMaxMs } = this.options;
    const { signal } = this.closing;
    let failures = 0;
    while (!signal.aborted) {
      const address = this.finder.current();
      const dialledAtMs = clock.now();
      try {
        await this.converse(address, term);
        if (!signal.aborted) log.info({ address }, 'the BBS ended the placement stream');
      } catch (error) {
        if (signal.aborted) return;
        this.finder.failed(error, address);
        log.info({ address, ...wordsOf(error) }, 'no placement stream to the BBS, trying again');
      }
      if (clock.now() - dialledAtMs > reconnectMaxMs) failures = 0;
      const longestMs = Math.min(reconnectMinMs * 2 ** failures++, reconnectMaxMs);
      await clock.sleep(longestMs * (0.5 + random() / 2), signal).catch(() => undefined);
    }
  }

  private async converse(address: string, term: Auctioneer): Promise<void> {
    const { identity, log, open = overGrpc(identity) } = this.options;
    const stream = open(address, this.closing.signal);
    try {
      await stream.write(
        PlaceRequest.fromPartial({
          message: { $case: 'hello', value: { auctioneerId: identity.name, epoch: term.epoch } },
        }),
      );
      this.stream = stream;
      this.unsent = [];
      log.info({ address, epoch: term.epoch }, 'asking the BBS for work');
      for await (const { message } of stream.responses) {
        if (message?.$case !== 'work') continue;
        term.offer(message.value);
        await term.room();
      }
    } finally {
      if (this.stream === stream) this.stream = undefined;
      stream.cancel();
      stream.close();
    }
  }

  private async writeUnsent(stream: BidiStream<PlaceRequest, PlaceResponse>): Promise<void> {
    this.writing = true;
    try {
      while (this.stream === stream && this.unsent.length > 0) {
        const results = this.unsent.splice(0, RESULTS_PER_MESSAGE);
        await stream.write({ message: { $case: 'results', value: { results } } });
      }
    } catch (error) {
      // The reader of the stream meets the same error, and acts on it.
      this.options.log.debug({ err: error }, 'placement results were not sent');
    } finally {
      this.writing = false;
    }
    if (this.stream !== undefined && this.unsent.length > 0) void this.writeUnsent(this.stream);
  }
}

function overGrpc(identity: Identity): OpenStream<PlaceRequest, PlaceResponse> {
  return (address, signal) => {
    const client = dial(PlacementServiceClient, address, identity);
    return { ...bidi(() => client.place(), signal), close: () => client.close() };
  };
}

/** What the log says: the words alone of what belongs to elections and restarts, where a stack would look like a mistake. */
function wordsOf(error: unknown): object {
  const expected = error instanceof RiveraError && error.retryable;
  return expected ? { reason: error.reason, why: error.message } : { err: error };
}
