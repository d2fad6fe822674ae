import { type BidResponse, BidResponse as Response, type WorkItem } from '@rivera/gen/rivera/auction/v1/bid_service';
import { RiveraError } from '@rivera/kit/errors';
import { failpoint } from '@rivera/kit/failpoint';
import type { CellPort } from './auctioneer.js';

/** Pieces of work in one message. */
const ITEMS_PER_MESSAGE = 500;

/**
 * What is to be sent to one cell, as the stream of its responses: work that piles up while the stream has no room leaves as one
 * message. What has left may have arrived; what is still here surely hasn't ({@link unsent}).
 */
export class CellOutbox implements AsyncIterable<BidResponse>, CellPort {
  readonly cellId: string;
  private items: WorkItem[] = [];
  private resendWanted = false;
  private ended = false;
  private error: RiveraError | undefined;
  private wake: (() => void) | undefined;

  constructor(private readonly options: { cellId: string; epoch: number; maxUnsent: number }) {
    this.cellId = options.cellId;
  }

  /** Over the bound the stream ends, with an error that the cell sees. */
  work(item: WorkItem): void {
    this.items.push(item);
    if (this.items.length > this.options.maxUnsent) {
      this.end(new RiveraError('TOO_MANY_REQUESTS', `the cell leaves ${this.items.length} pieces of work unread`));
    }
    this.signal();
  }

  /** Asks for the full state. */
  resend(): void {
    this.resendWanted = true;
    this.signal();
  }

  /** Ends the stream: with the error at once, without one when everything is sent. The first end counts. */
  end(error?: RiveraError): void {
    if (this.ended) return;
    this.ended = true;
    this.error = error;
    this.signal();
  }

  /** Assignments that never left. */
  unsent(): ReadonlySet<string> {
    return new Set(this.items.map((item) => item.workId));
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<BidResponse, void> {
    const { cellId, epoch } = this.options;
    yield Response.fromPartial({ message: { $case: 'welcome', value: { epoch } } });
    for (;;) {
      if (this.error !== undefined) throw this.error;
      if (this.resendWanted) {
        this.resendWanted = false;
        yield Response.fromPartial({ message: { $case: 'resend', value: {} } });
      } else if (this.items.length > 0) {
        const items = this.items.splice(0, ITEMS_PER_MESSAGE);
        yield { message: { $case: 'work', value: { epoch, cellId, items } } };
        failpoint('auction.work-sent');
      } else if (this.ended) {
        return;
      } else {
        await new Promise<void>((resolve) => {
          this.wake = resolve;
        });
      }
    }
  }

  private signal(): void {
    this.wake?.();
    this.wake = undefined;
  }
}
