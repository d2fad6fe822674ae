import {
  type BidDelta,
  type BidRequest,
  type BidResponse,
  BidServiceService,
  type CellBid,
  type WorkAnswer,
  type WorkItem,
} from '@rivera/gen/rivera/auction/v1/bid_service';
import { WorkRequirements } from '@rivera/gen/rivera/bbs/v1/placement';
import { RiveraError } from '@rivera/kit/errors';
import type { GrpcHost } from '@rivera/kit/grpc/host';
import { Bell } from '../bell.js';

type Message = NonNullable<BidResponse['message']>;

/** Work for an LRP's slot. */
export function lrpWork(workId: string, index: number, memoryMb = 10, rootFs = 'preloaded:busybox'): WorkItem {
  return {
    workId,
    domain: 'd',
    requirements: WorkRequirements.fromPartial({ memoryMb, diskMb: 10, rootFs }),
    work: { $case: 'lrp', value: { processGuid: 'web', index } },
  };
}

/** Work for a Task. */
export function taskWork(workId: string, taskGuid: string, memoryMb = 10): WorkItem {
  return {
    workId,
    domain: 'd',
    requirements: WorkRequirements.fromPartial({ memoryMb, diskMb: 10, rootFs: 'preloaded:busybox' }),
    work: { $case: 'task', value: { taskGuid } },
  };
}

/** An auctioneer that sends what the test wants, behind a real gRPC server. */
export class FakeAuctioneer {
  readonly bids: CellBid[] = [];
  readonly deltas: BidDelta[] = [];
  readonly answers: WorkAnswer[] = [];
  /** Kinds of messages in the order in which they came. */
  readonly order: string[] = [];
  epoch = 1;
  #send: ((message: Message) => void) | undefined;
  #break: (() => void) | undefined;

  serveOn(host: GrpcHost): void {
    host.add(
      BidServiceService,
      { bid: (requests, context) => this.#bid(requests, context.signal) },
      { default: ['cell'] },
    );
  }

  send(items: WorkItem[], to: { cellId?: string; epoch?: number } = {}): void {
    this.#send?.({
      $case: 'work',
      value: { epoch: to.epoch ?? this.epoch, cellId: to.cellId ?? 'cell-1', items },
    });
  }

  askAgain(): void {
    this.#send?.({ $case: 'resend', value: {} });
  }

  breakStream(): void {
    this.#break?.();
  }

  async *#bid(requests: AsyncIterable<BidRequest>, signal: AbortSignal): AsyncIterable<BidResponse> {
    const bell = new Bell();
    const queue: Message[] = [{ $case: 'welcome', value: { epoch: this.epoch } }];
    let broken = false;
    this.#send = (message) => {
      queue.push(message);
      bell.ring();
    };
    this.#break = () => {
      broken = true;
      bell.ring();
    };
    signal.addEventListener('abort', () => bell.ring());
    const reading = (async () => {
      for await (const { message } of requests) {
        if (message === undefined) continue;
        this.order.push(message.$case);
        if (message.$case === 'bid') this.bids.push(message.value);
        else if (message.$case === 'delta') this.deltas.push(message.value);
        else this.answers.push(...message.value.answers);
      }
    })().catch(() => {});
    while (!signal.aborted) {
      if (broken) throw new RiveraError('UNAVAILABLE', 'the test broke the stream');
      for (const message of queue.splice(0)) yield { message };
      await bell.heard();
    }
    await reading;
  }
}
