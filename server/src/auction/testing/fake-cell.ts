import type { BidDelta, CellBid, HeldWork, WorkItem } from '@rivera/gen/rivera/auction/v1/bid_service';
import type { RiveraError } from '@rivera/kit/errors';
import type { Auctioneer, CellPort } from '../auctioneer.js';
import { heldOf } from '../simulation/wire-cell.js';
import { bid } from './samples.js';

/** A cell without a network: a port for the auctioneer, and the things that a cell does, at the word of a test. */
export class FakeCell implements CellPort {
  readonly received: WorkItem[] = [];
  resends = 0;
  ended: RiveraError | undefined;
  /** Work that counts as not having left the auctioneer. */
  readonly kept = new Set<string>();
  private sequence = 1;

  constructor(
    private readonly auctioneer: Auctioneer,
    readonly cellId: string,
    private readonly fields: Partial<CellBid> = {},
  ) {}

  work(item: WorkItem): void {
    this.received.push(item);
  }

  resend(): void {
    this.resends++;
  }

  end(error?: RiveraError): void {
    this.ended = error;
  }

  unsent(): ReadonlySet<string> {
    return this.kept;
  }

  connect(held: HeldWork[] = []): this {
    this.auctioneer.connect(this, bid(this.cellId, { ...this.fields, sequence: this.sequence, held }));
    return this;
  }

  disconnect(): void {
    this.auctioneer.disconnect(this);
  }

  /** Shows what it took, and says yes to it. */
  accept(...items: WorkItem[]): void {
    this.change({ added: items.map(heldOf), startingContainers: items.length });
    this.auctioneer.answer(
      this,
      items.map(({ workId }) => ({ workId, accepted: true, reason: '' })),
    );
  }

  refuse(reason: string, ...items: WorkItem[]): void {
    this.auctioneer.answer(
      this,
      items.map(({ workId }) => ({ workId, accepted: false, reason })),
    );
  }

  change(changes: Partial<BidDelta>, sequence = ++this.sequence): void {
    const delta = {
      available: undefined,
      startingContainers: 0,
      evacuating: false,
      added: [],
      removed: [],
      ...changes,
    };
    this.auctioneer.change(this, { ...delta, sequence });
  }

  restate(sequence: number, held: HeldWork[] = []): void {
    this.sequence = sequence;
    this.auctioneer.restate(this, bid(this.cellId, { ...this.fields, sequence, held }));
  }
}
