import type { LedgerEntry } from '@rivera/gen/rivera/auction/v1/auction_service';
import { CellBid } from '@rivera/gen/rivera/auction/v1/bid_service';
import { type ActualLrp, ActualLrpPresence, ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { type Cell, CellState } from '@rivera/gen/rivera/bbs/v1/cell';
import { type DesiredLrp, UpdateStrategy } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import type { RiveraClient } from '@rivera/sdk/client';
import type { MovableInstance, RebalanceSnapshot } from '@rivera/server/auction/rebalance/plan';

/** What a plan is made of, and what of it can not be moved. */
export interface Gathered extends RebalanceSnapshot {
  /** Instances of LRPs that would be stopped before they are replaced. */
  readonly recreated: number;
}

/** Asks the servers for cells, instances and what these need. A cluster that changes meanwhile gives a plan that is a little off. */
export async function gather(client: RiveraClient, signal: AbortSignal): Promise<Gathered> {
  const [cells, ledger, desired, actual] = await Promise.all([
    all<Cell>(client.cells.list({}, { signal })),
    all<LedgerEntry>(client.auction.ledger({}, { signal })),
    all<DesiredLrp>(client.desiredLrps.list({}, { signal })),
    all<ActualLrp>(client.actualLrps.list({}, { signal })),
  ]);
  return snapshotOf({ cells, ledger, desired, actual });
}

interface Listings {
  readonly cells: readonly Cell[];
  readonly ledger: readonly LedgerEntry[];
  readonly desired: readonly DesiredLrp[];
  readonly actual: readonly ActualLrp[];
}

export function snapshotOf({ cells, ledger, desired, actual }: Listings): Gathered {
  const entries = new Map(ledger.map((entry) => [entry.cellId, entry]));
  const lrps = new Map(desired.map((lrp) => [lrp.processGuid, lrp]));
  const onCell = new Map<string, ActualLrp[]>();
  const movable: MovableInstance[] = [];
  let recreated = 0;
  for (const instance of actual) {
    if (instance.cellId === '') continue;
    const there = onCell.get(instance.cellId);
    if (there === undefined) onCell.set(instance.cellId, [instance]);
    else there.push(instance);
    const lrp = lrps.get(instance.key?.processGuid ?? '');
    if (!isSettled(instance) || lrp?.requirements === undefined) continue;
    if (lrp.updateStrategy === UpdateStrategy.RECREATE) {
      recreated++;
      continue;
    }
    movable.push({ ...slotOf(instance), cellId: instance.cellId, domain: lrp.domain, requirements: lrp.requirements });
  }
  const bids = cells.flatMap((cell) => {
    const entry = entries.get(cell.presence?.cellId ?? '');
    return entry === undefined ? [] : [bidOf(cell, entry, onCell.get(entry.cellId) ?? [])];
  });
  return { bids, movable, recreated };
}

/** As the cell would tell the auctioneer of itself, had it the time to tell everything. */
function bidOf({ presence, state }: Cell, entry: LedgerEntry, instances: readonly ActualLrp[]): CellBid {
  return CellBid.fromPartial({
    cellId: entry.cellId,
    sequence: 1,
    zone: entry.zone,
    total: entry.total,
    available: entry.available,
    rootFsProviders: presence?.rootFsProviders ?? [],
    placementTags: presence?.placementTags ?? [],
    optionalPlacementTags: presence?.optionalPlacementTags ?? [],
    volumeDrivers: presence?.volumeDrivers ?? [],
    evacuating: entry.evacuating || entry.avoidedUntil !== undefined || state !== CellState.PRESENT,
    held: instances.map((instance) => ({ workId: '', work: { $case: 'lrp', value: slotOf(instance) } })),
  });
}

/** It runs, and nothing is happening to it. */
function isSettled({ state, presence, stopping }: ActualLrp): boolean {
  return state === ActualLrpState.RUNNING && presence === ActualLrpPresence.ORDINARY && !stopping;
}

function slotOf({ key, instanceGuid }: ActualLrp): { processGuid: string; index: number; instanceGuid: string } {
  return { processGuid: key?.processGuid ?? '', index: key?.index ?? 0, instanceGuid };
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}
