import type {
  BidRequest,
  BidResponse,
  BidServiceClient,
  CellBid,
  WorkItem,
} from '@rivera/gen/rivera/auction/v1/bid_service';
import { RiveraError } from '@rivera/kit/errors';
import { type BidiStream, bidi } from '@rivera/kit/grpc/dial';
import { heldOf } from './fake-cell.js';
import { bid } from './samples.js';

/** A cell at the other end of a real stream. It takes all work unless told otherwise, and keeps a record of what it met. */
export class WireCell {
  readonly epochs: number[] = [];
  readonly received: WorkItem[] = [];
  resends = 0;
  /** Answers that it gives: a reason refuses. */
  refuses: (item: WorkItem) => string | undefined = () => undefined;
  /** Says how the stream ended. */
  readonly ended: Promise<RiveraError | undefined>;
  private readonly stream: BidiStream<BidRequest, BidResponse>;
  private sequence = 1;
  private readonly changed: (() => void)[] = [];

  constructor(
    client: BidServiceClient,
    readonly cellId: string,
    private readonly fields: Partial<CellBid> = {},
    first?: BidRequest,
  ) {
    this.stream = bidi(() => client.bid());
    this.send(first ?? { message: { $case: 'bid', value: this.state() } });
    this.ended = this.read();
  }

  /** Resolves when the condition holds; it is looked at after each message. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.changed.push(resolve));
  }

  send(request: BidRequest): void {
    // How the stream ends is told by `ended`.
    this.stream.write(request).catch(() => undefined);
  }

  /** A delta that leaves a gap. */
  skipDelta(): void {
    this.sequence++;
    this.tell([]);
  }

  hangUp(): void {
    this.stream.cancel();
  }

  private async read(): Promise<RiveraError | undefined> {
    try {
      for await (const { message } of this.stream.responses) {
        if (message?.$case === 'welcome') this.epochs.push(message.value.epoch);
        if (message?.$case === 'work') this.take(message.value.items);
        if (message?.$case === 'resend') {
          this.resends++;
          this.send({ message: { $case: 'bid', value: this.state() } });
        }
        for (const resolve of this.changed.splice(0)) resolve();
      }
      return undefined;
    } catch (error) {
      if (error instanceof RiveraError) return error;
      throw error;
    }
  }

  private take(items: WorkItem[]): void {
    const taken = items.filter((item) => this.refuses(item) === undefined);
    this.received.push(...taken);
    this.tell(taken);
    const answers = items.map((item) => {
      const reason = this.refuses(item);
      return { workId: item.workId, accepted: reason === undefined, reason: reason ?? '' };
    });
    this.send({ message: { $case: 'answers', value: { answers } } });
  }

  private tell(added: WorkItem[]): void {
    const { available, startingContainers } = this.state();
    const held = added.map(heldOf);
    const delta = {
      sequence: ++this.sequence,
      available,
      startingContainers,
      evacuating: false,
      added: held,
      removed: [],
    };
    this.send({ message: { $case: 'delta', value: delta } });
  }

  private state(): CellBid {
    const sum = (amount: (item: WorkItem) => number) => this.received.reduce((all, item) => all + amount(item), 0);
    const total = this.fields.total ?? { memoryMb: 1000, diskMb: 1000, containers: 1000 };
    return bid(this.cellId, {
      ...this.fields,
      sequence: this.sequence,
      total,
      available: {
        memoryMb: total.memoryMb - sum((item) => item.requirements?.memoryMb ?? 0),
        diskMb: total.diskMb - sum((item) => item.requirements?.diskMb ?? 0),
        containers: total.containers - this.received.length,
      },
      startingContainers: this.received.length,
      held: this.received.map(heldOf),
    });
  }
}
