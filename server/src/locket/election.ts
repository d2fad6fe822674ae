import { randomBytes } from 'node:crypto';
import type { Clock } from '@rivera/kit/clock';
import type { Logger } from '@rivera/kit/log';
import { LeaseKeeper } from './lease-keeper.js';
import type { LeaseStore } from './lease-store.js';

export interface CandidateOptions {
  readonly store: LeaseStore;
  readonly key: string;
  /** Name of this process, for people; it is made unique here. */
  readonly name: string;
  /** Where this process is reached; what the others read in the lease. */
  readonly address: string;
  readonly ttlMs: number;
  readonly clock: Clock;
  readonly log: Logger;
  /** Milliseconds that never go back; default the process's. */
  readonly monotonicMs?: () => number;
  /** Makes the name unique; default at random. */
  readonly suffix?: string;
}

/** Behind the address in the lease of one that is about to end. */
const ENDING = ' ending';

/** Stands for election to the only one who does something, and tells when it won and when it must stop. */
export class Candidate {
  private readonly keeper: LeaseKeeper;
  private readonly address: string;
  private acquired: (lease: { readonly epoch: number }) => void = () => {};
  private lost: () => void = () => {};
  private leaderEnds: () => void = () => {};

  constructor(options: CandidateOptions) {
    const { suffix = randomBytes(6).toString('hex'), monotonicMs } = options;
    this.address = options.address;
    this.keeper = new LeaseKeeper({
      store: options.store,
      key: options.key,
      owner: `${options.name}-${suffix}`,
      value: options.address,
      ttlMs: options.ttlMs,
      clock: options.clock,
      ...(monotonicMs && { monotonicMs }),
      logger: options.log,
      onAcquired: (epoch) => this.acquired({ epoch }),
      onLost: () => this.lost(),
      onHeld: ({ value }) => {
        if (value.endsWith(ENDING)) this.leaderEnds();
      },
    });
  }

  /** Calls the listener each time that this process has won. */
  onAcquired(listener: (lease: { readonly epoch: number }) => void): void {
    this.acquired = listener;
  }

  /** Calls the listener when this process must stop, before anybody else can have won. */
  onLost(listener: () => void): void {
    this.lost = listener;
  }

  /** The epoch while the lease is certainly held, judged by the clock at this moment. */
  get epoch(): number | undefined {
    return this.keeper.epoch;
  }

  /** Address of whoever was last seen to lead; undefined when nobody was. */
  holderAddress(): string | undefined {
    return this.keeper.holder?.value.replace(ENDING, '');
  }

  /** Calls the listener, again and again, while whoever leads says that it is about to end. */
  onLeaderEnds(listener: () => void): void {
    this.leaderEnds = listener;
  }

  /** Tells the others that this process is about to end; it goes on leading until it is closed. */
  announceEnd(): void {
    this.keeper.setValue(this.address + ENDING);
  }

  start(): void {
    this.keeper.start();
  }

  /** Steps back so that another one may lead, and stands again later. */
  resign(): void {
    this.keeper.resign();
  }

  /** Gives the lease up, so that another one can have it at once. */
  close(): Promise<void> {
    return this.keeper.close();
  }
}
