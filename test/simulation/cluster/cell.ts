import { Bids } from '@rivera/cells/rep/bids';
import { Reconciler } from '@rivera/cells/rep/reconciler';
import { CellSession } from '@rivera/cells/rep/session';
import { type BidRequest, BidServiceService } from '@rivera/gen/rivera/auction/v1/bid_service';
import { CellSessionServiceService, type SessionRequest } from '@rivera/gen/rivera/bbs/v1/session_service';
import type { OpenStream } from '@rivera/kit/grpc/dial';
import type { Logger } from '@rivera/kit/log';
import type { Chance } from './chance.js';
import type { Coverage } from './coverage.js';
import { SimulatedExecutor } from './executor.js';
import { Host } from './host.js';
import type { Machine } from './machine.js';
import type { Network } from './network.js';
import { identityOf } from './server.js';
import type { VirtualTime } from './virtual-time.js';

export interface CellOptions {
  readonly time: VirtualTime;
  readonly chance: Chance;
  readonly network: Network;
  readonly coverage: Coverage;
  readonly machine: Machine;
  readonly cellIndex: number;
  readonly zone: string;
  readonly addresses: readonly string[];
  readonly log: Logger;
}

/** One life of an agent. */
interface Agent {
  readonly host: Host;
  readonly reconciler: Reconciler;
  readonly session: CellSession;
  readonly bids: Bids;
  evacuating: boolean;
}

/** A cell: a machine, and the agents that are started on it one after the other. */
export class SimulatedCell {
  readonly machine: Machine;
  agent: Agent | undefined;
  private lives = 0;
  private guids = 0;
  /** What the agent keeps on the disk: the highest epoch of an auctioneer. */
  private readonly epochs = {
    highest: 0,
    admit: async (epoch: number) => {
      if (epoch < this.epochs.highest) return false;
      this.epochs.highest = epoch;
      return true;
    },
  };

  constructor(private readonly options: CellOptions) {
    this.machine = options.machine;
  }

  get cellId(): string {
    return this.machine.cellId;
  }

  get connected(): boolean {
    return this.agent?.session.connected === true && this.agent.bids.connected;
  }

  /** Starts an agent where none runs. */
  start(): void {
    if (this.agent !== undefined) return;
    const { time, chance, network, coverage, addresses, log, zone, cellIndex } = this.options;
    const { cellId, machine } = this;
    const life = ++this.lives;
    const host = new Host(cellId, time);
    const { clock } = host;
    const executor = new SimulatedExecutor(host, machine);
    const reconciler = new Reconciler({ executor, clock, logger: log });
    const peer = { role: 'cell' as const, name: cellId };
    const stream = { identity: identityOf(peer), clock, logger: log, random: () => chance.fraction() };
    const servers = [...addresses];
    const { total } = machine.options;
    const presence = {
      cellId,
      repAddress: `${cellId}:1801`,
      zone,
      capacity: { ...total },
      rootFsProviders: [{ name: 'preloaded', properties: ['busybox'] }],
      placementTags: [],
      optionalPlacementTags: [],
      volumeDrivers: [],
      annotations: {},
      hostAddress: '192.0.2.1',
    };
    const session = new CellSession({
      ...stream,
      servers,
      presence,
      incarnation: `${cellId}-${life}`,
      reconciler,
      open: this.noting(network.opener(host, CellSessionServiceService.session.path, peer), noteReports(coverage)),
      onEvacuate: () => this.evacuate(),
    });
    const bids = new Bids({
      ...stream,
      servers,
      profile: { presence, cellIndex },
      executor,
      epochs: this.epochs,
      newGuid: () => `${cellId}-${(this.guids++).toString(36).padStart(4, '0')}`,
      open: this.noting(network.opener(host, BidServiceService.bid.path, peer), noteRefusals(coverage)),
    });
    this.agent = { host, reconciler, session, bids, evacuating: false };
    void executor.start();
    reconciler.start();
    session.start();
    bids.start();
  }

  /** Drained, as by its operator: nothing new is taken until another agent starts here. */
  evacuate(): void {
    const { agent } = this;
    if (agent === undefined || agent.evacuating) return;
    agent.evacuating = true;
    agent.bids.evacuate();
    agent.session.evacuate();
  }

  /** Streams whose requests are looked at on their way. */
  private noting<Q, R>(open: OpenStream<Q, R>, note: (request: Q) => void): OpenStream<Q, R> {
    return (address, signal) => {
      const stream = open(address, signal);
      const write = (request: Q) => {
        note(request);
        return stream.write(request);
      };
      return { ...stream, write };
    };
  }

  /** The agent ends without a word; the containers stay. */
  killAgent(tellsPeers: boolean): void {
    const { agent } = this;
    if (agent === undefined) return;
    this.agent = undefined;
    agent.host.kill();
    this.options.network.hostDied(agent.host, tellsPeers);
  }
}

function noteReports(coverage: Coverage): (request: SessionRequest) => void {
  let highest = 0;
  return ({ message }) => {
    if (message?.$case !== 'transitions') return;
    for (const { sequence } of message.value.transitions) {
      if (sequence <= highest) coverage.note('report sent again');
      highest = Math.max(highest, sequence);
    }
  };
}

function noteRefusals(coverage: Coverage): (request: BidRequest) => void {
  return ({ message }) => {
    if (message?.$case !== 'answers') return;
    for (const { accepted } of message.value.answers) if (!accepted) coverage.note('work refused by a cell');
  };
}
