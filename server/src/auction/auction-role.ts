import { AuctionServiceService } from '@rivera/gen/rivera/auction/v1/auction_service';
import { BidServiceService } from '@rivera/gen/rivera/auction/v1/bid_service';
import type { PlacementResult, PlaceRequest, PlaceResponse } from '@rivera/gen/rivera/bbs/v1/placement_service';
import { type Clock, steadyClock } from '@rivera/kit/clock';
import { RiveraError } from '@rivera/kit/errors';
import type { OpenStream } from '@rivera/kit/grpc/dial';
import type { GrpcHost } from '@rivera/kit/grpc/host';
import type { Logger } from '@rivera/kit/log';
import type { Identity } from '@rivera/kit/tls/identity';
import { Auctioneer, type AuctioneerOptions } from './auctioneer.js';
import { BbsLink } from './bbs-link.js';
import { bidHandlers } from './bid-service.js';
import type { AuctionConfig } from './config.js';
import { ledgerHandlers } from './ledger-service.js';

/** What the role needs of whoever stands for it in the election of the one auctioneer. It is started after the role, and closed after it. */
export interface AuctioneerLease {
  /** Calls the listener each time that this process becomes the holder. */
  onAcquired(listener: (lease: { readonly epoch: number }) => void): void;
  /** Calls the listener when this process is the holder no longer, before anybody else can be. */
  onLost(listener: () => void): void;
  /** While the lease is certainly held, judged at this moment. */
  readonly epoch: number | undefined;
  /** Address of the active auctioneer as last seen; undefined or '': nobody is known. */
  holderAddress(): string | undefined;
}

export interface AuctionRoleOptions {
  readonly config: AuctionConfig;
  readonly identity: Identity;
  readonly host: Pick<GrpcHost, 'add' | 'setServing'>;
  /** Its value must be `advertiseAddress`. */
  readonly lease: AuctioneerLease;
  /** Where other processes reach this one. */
  readonly advertiseAddress: string;
  /** Of all servers that may be the active BBS. */
  readonly bbsAddresses: readonly string[];
  readonly log: Logger;
  /** Default: one that is never set, for all that the auction does with it is wait. */
  readonly clock?: Clock;
  /** 0..1, for jitter. */
  readonly random?: () => number;
  /** Hears what became of work, for those who measure; must not throw. */
  readonly onResults?: (results: readonly PlacementResult[]) => void;
  /** The stream to the BBS; default: over gRPC, as the identity. */
  readonly open?: OpenStream<PlaceRequest, PlaceResponse>;
  /** The auctioneer's clock for slices. */
  readonly elapsedMs?: AuctioneerOptions['elapsedMs'];
}

interface Term {
  readonly auctioneer: Auctioneer;
  readonly link: BbsLink;
}

/** The auctioneer as a role of the server: stands by until the lease is its own, and begins each term with an empty ledger. */
export class AuctionRole {
  private term: Term | undefined;
  private readonly ending = new Set<Promise<void>>();
  /** Over all terms: the same epoch can come back when the lease was given up too early. */
  private assignments = 0;
  private closed = false;

  constructor(private readonly options: AuctionRoleOptions) {}

  /** Whether this is the active auctioneer. */
  get active(): boolean {
    return this.term !== undefined;
  }

  /** That of the current term, if this is the active one. */
  get auctioneer(): Auctioneer | undefined {
    return this.term?.auctioneer;
  }

  /** Adds the services to the host, which must not listen yet, and waits for the lease. */
  start(): void {
    const { host, lease, config } = this.options;
    const currentTerm = () => this.currentTerm();
    host.add(BidServiceService, bidHandlers(currentTerm, config), { default: ['cell'] });
    host.add(AuctionServiceService, ledgerHandlers(currentTerm), { default: ['client', 'reader', 'server'] });
    lease.onAcquired(({ epoch }) => this.begin(epoch));
    lease.onLost(() => this.end());
  }

  /** Ends the term; cells are told to look for another auctioneer. Nothing runs when it resolves. */
  async close(): Promise<void> {
    this.closed = true;
    this.end(new RiveraError('SHUTTING_DOWN', 'the auctioneer is closing'));
    await Promise.all(this.ending);
  }

  private begin(epoch: number): void {
    if (this.closed) return;
    this.end();
    const { config, identity, bbsAddresses, log, clock = steadyClock, random = Math.random } = this.options;
    const { open, elapsedMs } = this.options;
    const { reconnectMinMs, reconnectMaxMs } = config;
    const link = new BbsLink({
      identity,
      addresses: bbsAddresses,
      clock,
      log,
      random,
      reconnectMinMs,
      reconnectMaxMs,
      ...(open && { open }),
    });
    const auctioneer = new Auctioneer({
      epoch,
      config,
      clock,
      log,
      newWorkId: () => `${epoch}-${(this.assignments++).toString(36)}`,
      holdsLease: () => this.options.lease.epoch === epoch,
      ...(elapsedMs && { elapsedMs }),
      report: (results) => {
        this.options.onResults?.(results);
        link.report(results);
      },
    });
    this.term = { auctioneer, link };
    link.start(auctioneer);
    log.info({ epoch, address: this.options.advertiseAddress }, 'this is the active auctioneer');
  }

  private end(error: RiveraError = this.notLeader()): void {
    const { term } = this;
    if (term === undefined) return;
    this.term = undefined;
    this.options.log.info({ epoch: term.auctioneer.epoch, reason: error.reason }, 'the term is over');
    term.auctioneer.close(error);
    const closing = term.link.close().finally(() => this.ending.delete(closing));
    this.ending.add(closing);
  }

  private currentTerm(): Auctioneer {
    if (this.term !== undefined) return this.term.auctioneer;
    throw this.closed ? new RiveraError('SHUTTING_DOWN', 'the auctioneer is closing') : this.notLeader();
  }

  private notLeader(): RiveraError {
    const address = this.options.lease.holderAddress() ?? '';
    const known = address !== '' && address !== this.options.advertiseAddress;
    return new RiveraError('NOT_LEADER', 'this auctioneer stands by', {
      metadata: known ? { leader_address: address } : {},
    });
  }
}
