import type {
  BidRequest,
  BidResponse,
  BidServiceClient,
  CellBid,
  HeldWork,
  WorkItem,
} from '@rivera/gen/rivera/auction/v1/bid_service';
import { systemClock } from '@rivera/kit/clock';
import { RiveraError } from '@rivera/kit/errors';
import { type BidiStream, bidi } from '@rivera/kit/grpc/dial';

export interface WireCellOptions {
  /** How long every message is on its way, in each direction; default 0. */
  readonly latencyMs?: number;
  /** Sent in place of its state. */
  readonly first?: BidRequest;
}

/**
 * A cell at the other end of a real stream, without containers. It takes all work unless told otherwise, of which each piece stays
 * starting, and keeps a record of what it met.
 */
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
    /** What it has before it takes anything. */
    readonly before: CellBid,
    private readonly options: WireCellOptions = {},
  ) {
    this.stream = bidi(() => client.bid());
    this.send(options.first ?? { message: { $case: 'bid', value: this.state() } });
    this.ended = this.read();
  }

  get cellId(): string {
    return this.before.cellId;
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

  send(request: BidRequest): void {
    // How the stream ends is told by `ended`.
    this.later(() => void this.stream.write(request).catch(() => undefined));
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
      for await (const response of this.stream.responses) this.later(() => this.obey(response));
      return undefined;
    } catch (error) {
      if (error instanceof RiveraError) return error;
      throw error;
    }
  }

  private obey({ message }: BidResponse): void {
    if (message?.$case === 'welcome') this.epochs.push(message.value.epoch);
    if (message?.$case === 'work') this.take(message.value.items);
    if (message?.$case === 'resend') {
      this.resends++;
      this.send({ message: { $case: 'bid', value: this.state() } });
    }
    for (const resolve of this.changed.splice(0)) resolve();
  }

  /** In the order of the calls: timers of one length keep theirs. */
  private later(fn: () => void): void {
    const { latencyMs = 0 } = this.options;
    if (latencyMs === 0) fn();
    else systemClock.setTimer(latencyMs, fn);
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
    const { available, held } = this.before;
    return {
      ...this.before,
      sequence: this.sequence,
      available: {
        memoryMb: (available?.memoryMb ?? 0) - sum((item) => item.requirements?.memoryMb ?? 0),
        diskMb: (available?.diskMb ?? 0) - sum((item) => item.requirements?.diskMb ?? 0),
        containers: (available?.containers ?? 0) - this.received.length,
      },
      startingContainers: this.received.length,
      held: [...held, ...this.received.map(heldOf)],
    };
  }
}

/** As the cell shows a piece of work that it took. */
export function heldOf({ work, workId }: WorkItem): HeldWork {
  if (work?.$case === 'task') return { workId, work: { $case: 'taskGuid', value: work.value.taskGuid } };
  const { processGuid = '', index = 0 } = work?.value ?? {};
  return { workId, work: { $case: 'lrp', value: { processGuid, index, instanceGuid: `instance-of-${workId}` } } };
}
