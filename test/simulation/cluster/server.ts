import {
  PlacementServiceService,
  type PlaceRequest,
  type PlaceResponse,
} from '@rivera/gen/rivera/bbs/v1/placement_service';
import type { Logger } from '@rivera/kit/log';
import type { Identity } from '@rivera/kit/tls/identity';
import { AuctionRole } from '@rivera/server/auction/auction-role';
import type { AuctionConfig } from '@rivera/server/auction/config';
import { type BbsObserver, BbsRole } from '@rivera/server/bbs/bbs-role';
import type { BbsConfig } from '@rivera/server/bbs/config';
import { Candidate } from '@rivera/server/locket/election';
import { AUCTIONEER_LEASE_KEY, BBS_LEASE_KEY } from '@rivera/server/locket/keys';
import type { Chance } from './chance.js';
import type { SimulatedDatabase } from './database.js';
import { Host } from './host.js';
import type { Network } from './network.js';
import type { VirtualTime } from './virtual-time.js';

export interface ServerOptions {
  readonly time: VirtualTime;
  readonly chance: Chance;
  readonly network: Network;
  readonly database: SimulatedDatabase;
  /** Also its name. */
  readonly address: string;
  readonly addresses: readonly string[];
  readonly bbs: BbsConfig;
  readonly auction: AuctionConfig;
  readonly log: Logger;
  readonly observer: BbsObserver;
  readonly onPlacementFailed: () => void;
  /** Different for every life of every server. */
  readonly life: number;
}

/** One life of a server: BBS and auctioneer as in the program, each with its candidate, on simulated ways to everything. */
export class SimulatedServer {
  readonly host: Host;
  readonly bbs: BbsRole;
  readonly auction: AuctionRole;
  private readonly candidates: Candidate[] = [];

  constructor(readonly options: ServerOptions) {
    const { time, chance, network, database, address, addresses, log, observer, life } = options;
    const host = new Host(address, time);
    this.host = host;
    const { clock } = host;
    const listener = network.listen(address, host);
    const leases = database.leaseStoreFor(host);
    const candidate = (key: string) => {
      const stands = new Candidate({
        store: leases,
        key,
        name: address,
        suffix: String(life),
        address,
        ttlMs: options.bbs.leaseTtl,
        clock,
        log,
        monotonicMs: () => host.monotonicMs(),
      });
      this.candidates.push(stands);
      return stands;
    };
    let epochs = 0;
    this.bbs = new BbsRole({
      config: options.bbs,
      candidate: candidate(BBS_LEASE_KEY),
      journal: database.journalFor(host),
      host: listener,
      clock,
      log,
      observer,
      newEpoch: () => `${life}-${epochs++}`,
      watchTime: { elapsedMs: () => host.monotonicMs(), setTimer: clock.setTimer },
    });
    const peer = { role: 'server' as const, name: address };
    const { path } = PlacementServiceService.place;
    this.auction = new AuctionRole({
      config: options.auction,
      identity: identityOf(peer),
      host: listener,
      lease: candidate(AUCTIONEER_LEASE_KEY),
      advertiseAddress: address,
      bbsAddresses: addresses,
      log,
      clock,
      random: () => chance.fraction(),
      open: network.opener<PlaceRequest, PlaceResponse>(host, path, peer),
      elapsedMs: () => host.monotonicMs(),
      onResults: (results) => {
        for (const { outcome } of results) if (outcome?.$case === 'notPlaced') options.onPlacementFailed();
      },
    });
    this.auction.start();
    for (const stands of this.candidates) stands.start();
  }

  get address(): string {
    return this.options.address;
  }

  /** In the order of the program; the process is gone when it resolves. */
  async stop(): Promise<void> {
    const [ofBbs, ofAuction] = this.candidates;
    await this.bbs.handOver();
    await this.bbs.close();
    await ofBbs?.close();
    await this.auction.close();
    await ofAuction?.close();
    this.host.kill();
    this.options.network.hostDied(this.host, true);
  }
}

/** Who a process is, where nobody looks at certificates. */
export function identityOf(peer: Pick<Identity, 'role' | 'name'>): Identity {
  return { ...peer, caPem: '', certPem: '', keyPem: '' };
}
