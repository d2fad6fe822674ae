import {
  type BidRequest,
  type BidResponse,
  BidServiceClient,
  type Work,
  type WorkAnswer,
} from '@rivera/gen/rivera/auction/v1/bid_service';
import type { Clock } from '@rivera/kit/clock';
import { RiveraError } from '@rivera/kit/errors';
import { failpoint } from '@rivera/kit/failpoint';
import { type BidiStream, bidi, dial, type OpenStream } from '@rivera/kit/grpc/dial';
import type { Logger } from '@rivera/kit/log';
import type { Identity } from '@rivera/kit/tls/identity';
import type { Executor } from '../executor/executor.js';
import { Bell } from './bell.js';
import { BidLedger, type BidProfile } from './bid-ledger.js';
import { Connection, type Conversation, unlessOver } from './connection.js';
import type { EpochFile } from './epoch-file.js';
import { WorkDesk } from './work-desk.js';

export interface BidsOptions {
  servers: string[];
  identity: Identity;
  profile: BidProfile;
  executor: Executor;
  epochs: Pick<EpochFile, 'admit' | 'highest'>;
  clock: Clock;
  logger: Logger;
  random: () => number;
  newGuid: () => string;
  /** Why this cell can run nothing; undefined while it can. */
  broken?: (() => string | undefined) | undefined;
  /** Default: over gRPC, as the identity. */
  open?: OpenStream<BidRequest, BidResponse>;
}

/** Changes within this time are told as one. */
const DELTA_INTERVAL_MS = 10;

/** Work that waits to be looked at; an auctioneer that sends more than this breaks the protocol. */
const MAX_WAITING_WORK = 1_000;

type Stream = BidiStream<BidRequest, BidResponse>;
type Message = NonNullable<BidRequest['message']>;

/** The cell's bid: what it is and has goes up, work comes down and is answered. */
export class Bids {
  readonly #options: BidsOptions;
  readonly #ledger: BidLedger;
  readonly #desk: WorkDesk;
  readonly #connection: Connection;
  #unsubscribe: (() => void) | undefined;
  #evacuating = false;
  #connected = false;
  #bidDue = false;
  #deltaDue = false;
  #cancelDelta: (() => void) | undefined;
  #work: Work[] = [];
  readonly #bell = new Bell();

  constructor(options: BidsOptions) {
    const { profile, executor, epochs, logger, newGuid, broken } = options;
    this.#options = options;
    this.#ledger = new BidLedger(profile, executor);
    const { cellId } = profile.presence;
    this.#desk = new WorkDesk({
      cellId,
      executor,
      epochs,
      logger,
      newGuid,
      broken,
      evacuating: () => this.#evacuating,
    });
    this.#connection = new Connection({
      servers: options.servers,
      clock: options.clock,
      logger,
      random: options.random,
      converse: (conversation) => this.#converse(conversation),
    });
  }

  /** Whether an auctioneer knows of this cell now. */
  get connected(): boolean {
    return this.#connected;
  }

  start(): void {
    this.#unsubscribe = this.#options.executor.subscribe((event) => {
      this.#ledger.observe(event);
      this.#deltaSoon();
    });
    this.#connection.start();
  }

  /** Takes no work from now on. */
  evacuate(): void {
    this.#evacuating = true;
    this.#ledger.touch();
    this.#deltaSoon();
  }

  async close(): Promise<void> {
    this.#unsubscribe?.();
    this.#cancelDelta?.();
    await this.#connection.close();
  }

  async #converse({ address, signal, welcomed, end }: Conversation): Promise<void> {
    const { identity, epochs, logger, open = overGrpc(identity) } = this.#options;
    const stream = open(address, signal);
    let writing: Promise<void> | undefined;
    try {
      this.#bidDue = true;
      this.#work = [];
      writing = this.#write(stream, signal).catch(unlessOver(end));
      for await (const { message } of stream.responses) {
        switch (message?.$case) {
          case 'welcome': {
            const { epoch } = message.value;
            if (!(await epochs.admit(epoch))) {
              throw new RiveraError('NOT_LEADER', `auctioneer of epoch ${epoch}, but ${epochs.highest} was seen`);
            }
            welcomed();
            logger.info({ address, epoch }, 'bidding');
            this.#connected = true;
            break;
          }
          case 'work':
            if (this.#work.push(message.value) > MAX_WAITING_WORK) {
              throw new RiveraError('TOO_MANY_REQUESTS', 'the auctioneer sends work faster than it is answered');
            }
            this.#bell.ring();
            break;
          case 'resend':
            this.#bidDue = true;
            this.#bell.ring();
            break;
          case undefined:
            break;
        }
      }
    } finally {
      this.#connected = false;
      end();
      this.#bell.ring();
      await writing;
      stream.close();
    }
  }

  async #write(stream: Stream, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const messages = await this.#next();
      for (const message of messages) {
        await stream.write({ message });
        if (message.$case === 'answers') failpoint('cell.work-answered');
      }
      if (messages.length === 0) await this.#bell.heard();
    }
  }

  async #next(): Promise<Message[]> {
    if (this.#bidDue) {
      this.#bidDue = false;
      this.#deltaDue = false;
      return [{ $case: 'bid', value: this.#ledger.bid(this.#evacuating) }];
    }
    const work = this.#work.splice(0);
    const answers: WorkAnswer[] = [];
    for (const piece of work) {
      const received = await this.#desk.receive(piece);
      for (const taken of received.taken) this.#ledger.take(taken);
      answers.push(...received.answers);
    }
    if (answers.length > 0) failpoint('cell.work-reserved');
    const messages: Message[] = [];
    // What was set aside is told before the answers: an auctioneer that drops its own charge finds it here already.
    if ((this.#deltaDue || answers.length > 0) && this.#ledger.changed) {
      this.#deltaDue = false;
      messages.push({ $case: 'delta', value: this.#ledger.delta(this.#evacuating) });
    }
    if (answers.length > 0) messages.push({ $case: 'answers', value: { answers } });
    return messages;
  }

  #deltaSoon(): void {
    this.#cancelDelta ??= this.#options.clock.setTimer(DELTA_INTERVAL_MS, () => {
      this.#cancelDelta = undefined;
      this.#deltaDue = true;
      this.#bell.ring();
    });
  }
}

function overGrpc(identity: Identity): OpenStream<BidRequest, BidResponse> {
  return (address, signal) => {
    const client = dial(BidServiceClient, address, identity);
    return { ...bidi(() => client.bid(), signal), close: () => client.close() };
  };
}
