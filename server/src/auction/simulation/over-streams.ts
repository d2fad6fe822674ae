import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BidServiceClient } from '@rivera/gen/rivera/auction/v1/bid_service';
import { LrpAuction, TaskAuction, WorkBatch } from '@rivera/gen/rivera/bbs/v1/placement_service';
import { dial } from '@rivera/kit/grpc/dial';
import { GrpcHost } from '@rivera/kit/grpc/host';
import { silentLogger } from '@rivera/kit/log';
import { Authority } from '@rivera/kit/tls/authority';
import type { Identity, Role } from '@rivera/kit/tls/identity';
import { AuctionRole } from '../auction-role.js';
import { auctionConfig } from '../config.js';
import type { PlaceableWork } from '../work.js';
import type { Scenario } from './scenarios.js';
import { outcomeOf, type Simulation } from './simulate.js';
import { bidOf, type ClusterShape } from './simulated-cluster.js';
import { WireBbs } from './wire-bbs.js';
import { WireCell } from './wire-cell.js';

export interface StreamOptions {
  /** How long every message between auctioneer and cell is on its way, in each direction. */
  readonly latencyMs: number;
  readonly signal?: AbortSignal;
}

const AUCTIONEER = 'auctioneer';
const WORK_PER_MESSAGE = 1_000;
/** A cell may take longer to answer than it takes in reality, and is no worse for it. */
const ANSWER_TIMEOUT = '10m';

/**
 * Places everything over real gRPC streams with mutual TLS, on ports of this machine alone: the auctioneer as the role that servers run,
 * a BBS that offers the work and hears what became of it, and a client for each cell.
 */
export async function simulateOverStreams({ shape, work }: Scenario, options: StreamOptions): Promise<Simulation> {
  const wires = await Wires.open(shape, options);
  try {
    const from = performance.now();
    for (const batch of batchesOf(work)) wires.bbs.send(batch);
    await wires.bbs.until(() => wires.bbs.results.length >= work.length, options.signal);
    const tookMs = performance.now() - from;
    const reasons = new Map<string, number>();
    for (const { outcome } of wires.bbs.results) {
      if (outcome?.$case !== 'notPlaced') continue;
      const { reason } = outcome.value;
      reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
    }
    const cells = wires.cells.map(({ before: { cellId: id, zone, held }, received }) => {
      return { id, zone, before: held.length, placed: received.length };
    });
    return outcomeOf({ submitted: work.length, reasons, tookMs, cells });
  } finally {
    await wires.close();
  }
}

function* batchesOf(work: readonly PlaceableWork[]): Generator<Partial<WorkBatch>> {
  for (let start = 0; start < work.length; start += WORK_PER_MESSAGE) {
    const batch = WorkBatch.fromPartial({});
    for (const { subject, domain, requirements } of work.slice(start, start + WORK_PER_MESSAGE)) {
      if (subject.kind === 'task') {
        batch.tasks.push(TaskAuction.fromPartial({ taskGuid: subject.taskGuid, domain, requirements }));
        continue;
      }
      const { processGuid, index } = subject;
      batch.lrps.push(LrpAuction.fromPartial({ processGuid, domain, indices: [index], requirements }));
    }
    yield batch;
  }
}

/** Both servers and all cells, connected. */
class Wires {
  readonly cells: WireCell[] = [];
  private readonly closing: (() => unknown)[] = [];

  private constructor(
    private readonly authority: Authority,
    readonly bbs: WireBbs,
  ) {}

  static async open(shape: ClusterShape, options: StreamOptions): Promise<Wires> {
    const authority = await authorityInMemory();
    const bbsHost = await hostOf(authority, 'bbs');
    const wires = new Wires(authority, new WireBbs(bbsHost));
    wires.closing.push(() => bbsHost.close(0));
    try {
      const { port: bbsPort } = await bbsHost.listen('127.0.0.1:0');
      const port = await wires.startAuctioneer(shape, bbsPort);
      for (let cell = 0; cell < shape.cells; cell++) await wires.connectCell({ shape, cell, port, options });
      for (const cell of wires.cells) await cell.until(() => cell.epochs.length > 0, options.signal);
      await wires.bbs.until(() => wires.bbs.hellos.length > 0, options.signal);
      return wires;
    } catch (error) {
      await wires.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    for (const close of this.closing.reverse()) await close();
  }

  private async startAuctioneer({ settings }: ClusterShape, bbsPort: number): Promise<number> {
    const host = await hostOf(this.authority, AUCTIONEER);
    const role = new AuctionRole({
      config: auctionConfig.parse({ ...settings, gather: 0, answerTimeout: ANSWER_TIMEOUT, settle: ANSWER_TIMEOUT }),
      identity: await identityOf(this.authority, 'server', AUCTIONEER),
      host,
      // Nobody else wants to be the active one.
      lease: {
        epoch: 1,
        onAcquired: (listener) => listener({ epoch: 1 }),
        onLost: () => undefined,
        holderAddress: () => undefined,
      },
      advertiseAddress: AUCTIONEER,
      bbsAddresses: [`127.0.0.1:${bbsPort}`],
      log: silentLogger,
    });
    role.start();
    this.closing.push(
      () => host.close(0),
      () => role.close(),
    );
    return (await host.listen('127.0.0.1:0')).port;
  }

  private async connectCell(o: {
    shape: ClusterShape;
    cell: number;
    port: number;
    options: StreamOptions;
  }): Promise<void> {
    o.options.signal?.throwIfAborted();
    const bid = bidOf(o.shape, o.cell);
    const identity = await identityOf(this.authority, 'cell', bid.cellId);
    const client = dial(BidServiceClient, `127.0.0.1:${o.port}`, identity);
    const cell = new WireCell(client, bid, { latencyMs: o.options.latencyMs });
    this.cells.push(cell);
    this.closing.push(
      () => client.close(),
      () => cell.hangUp(),
    );
  }
}

async function hostOf(authority: Authority, name: string): Promise<GrpcHost> {
  return new GrpcHost({ logger: silentLogger, identity: await identityOf(authority, 'server', name) });
}

async function identityOf(authority: Authority, role: Role, name: string): Promise<Identity> {
  return { role, name, caPem: authority.caPem, ...(await authority.issue({ role, name, validityDays: 1 })) };
}

/** Its files are not needed once it is open. */
async function authorityInMemory(): Promise<Authority> {
  const folder = await mkdtemp(join(tmpdir(), 'rivera-simulation-'));
  try {
    return await Authority.open(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
