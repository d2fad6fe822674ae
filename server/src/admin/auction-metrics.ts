import type { PlacementResult } from '@rivera/gen/rivera/bbs/v1/placement_service';
import { type Counter, defineMetrics, type MetricsRegistry } from '@rivera/kit/metrics';
import type { Auctioneer } from '../auction/auctioneer.js';

/** What the auctioneer measures. Gauges are there while this server is the active one. */
export const AUCTION_METRICS = defineMetrics({
  placed: {
    name: 'rivera_auction_placed_total',
    kind: 'counter',
    help: 'Work that a cell took, by kind (lrp: one instance).',
    labels: ['kind'],
    aliases: [
      { name: 'AuctioneerLRPAuctionsStarted', where: { kind: 'lrp' } },
      { name: 'AuctioneerTaskAuctionsStarted', where: { kind: 'task' } },
    ],
  },
  failed: {
    name: 'rivera_auction_failed_total',
    kind: 'counter',
    help: 'Work that no cell could take; the BBS offers it again later.',
    labels: ['kind'],
    aliases: [
      { name: 'AuctioneerLRPAuctionsFailed', where: { kind: 'lrp' } },
      { name: 'AuctioneerTaskAuctionsFailed', where: { kind: 'task' } },
    ],
  },
  obstacles: {
    name: 'rivera_auction_obstacles_total',
    kind: 'counter',
    help:
      'Work that no cell could take, by what stood in the way (root_fs, volume_drivers, placement_tags, memory, disk, containers, ' +
      'evacuating, avoided, refused); counted once for each of these that held for some cell.',
    labels: ['obstacle'],
  },
  queued: { name: 'rivera_auction_queued', kind: 'gauge', help: 'Work that waits for a cell.' },
  cells: {
    name: 'rivera_auction_cells',
    kind: 'gauge',
    help: 'Cells that bid: open, evacuating, avoided (failed again and again, and is spared for a while).',
    labels: ['state'],
  },
  total: {
    name: 'rivera_auction_capacity_total',
    kind: 'gauge',
    help: 'What all cells that bid have together, in MiB and containers.',
    labels: ['resource'],
  },
  free: {
    name: 'rivera_auction_capacity_free',
    kind: 'gauge',
    help: 'What of it is free, less what was handed out and is not confirmed yet.',
    labels: ['resource'],
  },
  starting: {
    name: 'rivera_auction_starting_containers',
    kind: 'gauge',
    help: 'Containers that are starting on all cells, those handed out included.',
  },
});

/** Measures the auctioneer of a server over all its terms. */
export class AuctionMetrics {
  private readonly placed: Counter<typeof AUCTION_METRICS.placed>;
  private readonly failed: Counter<typeof AUCTION_METRICS.failed>;
  private readonly obstacles: Counter<typeof AUCTION_METRICS.obstacles>;

  /** `auctioneer`: that of the current term, if there is one. */
  constructor(registry: MetricsRegistry, auctioneer: () => Auctioneer | undefined) {
    this.placed = registry.counter(AUCTION_METRICS.placed);
    this.failed = registry.counter(AUCTION_METRICS.failed);
    this.obstacles = registry.counter(AUCTION_METRICS.obstacles);
    for (const kind of ['lrp', 'task']) {
      this.placed.add(0, { kind });
      this.failed.add(0, { kind });
    }
    const queued = registry.gauge(AUCTION_METRICS.queued);
    const cells = registry.gauge(AUCTION_METRICS.cells);
    const total = registry.gauge(AUCTION_METRICS.total);
    const free = registry.gauge(AUCTION_METRICS.free);
    const starting = registry.gauge(AUCTION_METRICS.starting);
    registry.onCollect(() => {
      const active = auctioneer();
      if (active === undefined) {
        for (const gauge of [queued, starting]) gauge.replace([]);
        for (const gauge of [total, free]) gauge.replace([]);
        cells.replace([]);
        return;
      }
      const ledger = sumOf(active);
      queued.set(active.queued);
      starting.set(ledger.starting);
      for (const [state, count] of Object.entries(ledger.states)) cells.set(count, { state });
      for (const [resource, amount] of Object.entries(ledger.total)) total.set(amount, { resource });
      for (const [resource, amount] of Object.entries(ledger.free)) free.set(amount, { resource });
    });
  }

  /** Counts what became of work. */
  take(results: readonly PlacementResult[]): void {
    for (const { key, outcome } of results) {
      const kind = key?.key?.$case === 'taskGuid' ? 'task' : 'lrp';
      (outcome?.$case === 'placed' ? this.placed : this.failed).add(1, { kind });
      if (outcome?.$case !== 'notPlaced') continue;
      for (const obstacle of outcome.value.obstacles) this.obstacles.add(1, { obstacle: obstacle.kind.toLowerCase() });
    }
  }
}

function sumOf(auctioneer: Auctioneer) {
  const states = { open: 0, evacuating: 0, avoided: 0 };
  const total = { memory_mb: 0, disk_mb: 0, containers: 0 };
  const free = { memory_mb: 0, disk_mb: 0, containers: 0 };
  let starting = 0;
  for (const cell of auctioneer.cells()) {
    states[cell.evacuating ? 'evacuating' : cell.avoided ? 'avoided' : 'open']++;
    starting += cell.startingContainers;
    for (const [sum, part] of [
      [total, cell.total],
      [free, cell.free],
    ] as const) {
      sum.memory_mb += part.memoryMb;
      sum.disk_mb += part.diskMb;
      sum.containers += part.containers;
    }
  }
  return { states, total, free, starting };
}
