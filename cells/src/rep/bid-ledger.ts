import type { BidDelta, CellBid, HeldWork } from '@rivera/gen/rivera/auction/v1/bid_service';
import type { CellPresence } from '@rivera/gen/rivera/bbs/v1/cell';
import type { ContainerEvent, ContainerRecord, Executor, ExecutorResources } from '../executor/executor.js';
import { workOf } from './work.js';
import type { TakenWork } from './work-desk.js';

/** What a cell tells the auctioneer of itself beside its containers. */
export interface BidProfile {
  presence: CellPresence;
  cellIndex: number;
}

/** What the auctioneer knows of this cell, and what has changed since it was told. */
export class BidLedger {
  readonly #profile: BidProfile;
  readonly #executor: Executor;
  /** Container → assignment, for those of this life of the agent. */
  readonly #workIds = new Map<string, string>();
  readonly #known = new Set<string>();
  readonly #added = new Map<string, HeldWork>();
  readonly #removed = new Map<string, HeldWork>();
  #sequence = 0;
  #changed = false;

  constructor(profile: BidProfile, executor: Executor) {
    this.#profile = profile;
    this.#executor = executor;
  }

  /** Whether there is something to tell. */
  get changed(): boolean {
    return this.#changed;
  }

  /**
   * Notes an assignment at once, so that its confirmation can go out before the answer. The reservation may have been
   * observed already, but not told yet: nothing is sent between the two.
   */
  take({ workId, container }: TakenWork): void {
    if (!this.#executor.get(container.guid)) return;
    this.#workIds.set(container.guid, workId);
    this.#known.delete(container.guid);
    this.#add(container);
  }

  observe(event: ContainerEvent): void {
    if (event.kind === 'removed') this.#remove(event.container);
    else if (this.#executor.get(event.container.guid)) this.#add(event.container);
    this.#changed = true;
  }

  /** Something about the cell itself changed. */
  touch(): void {
    this.#changed = true;
  }

  /** The full state; deltas count from here. */
  bid(evacuating: boolean): CellBid {
    const { presence, cellIndex } = this.#profile;
    const { total, available, startingContainers } = this.#executor.resources();
    const held: HeldWork[] = [];
    this.#known.clear();
    for (const container of this.#executor.list()) {
      const work = this.#heldWork(container);
      if (work === undefined) continue;
      this.#known.add(container.guid);
      held.push(work);
    }
    this.#settle();
    return {
      cellId: presence.cellId,
      sequence: this.#sequence,
      zone: presence.zone,
      total: toResources(total),
      available: toResources(available),
      rootFsProviders: presence.rootFsProviders,
      placementTags: presence.placementTags,
      optionalPlacementTags: presence.optionalPlacementTags,
      volumeDrivers: presence.volumeDrivers,
      startingContainers,
      evacuating,
      proxyMemoryMb: 0,
      cellIndex,
      held,
    };
  }

  /** What changed since the last bid or delta. */
  delta(evacuating: boolean): BidDelta {
    const { available, startingContainers } = this.#executor.resources();
    const added = [...this.#added.values()];
    const removed = [...this.#removed.values()];
    this.#settle();
    return {
      sequence: ++this.#sequence,
      available: toResources(available),
      startingContainers,
      evacuating,
      added,
      removed,
    };
  }

  #add(container: ContainerRecord): void {
    if (this.#known.has(container.guid)) return;
    const work = this.#heldWork(container);
    if (work === undefined) return;
    this.#known.add(container.guid);
    this.#added.set(container.guid, work);
    this.#changed = true;
  }

  #remove(container: ContainerRecord): void {
    const work = this.#heldWork(container);
    this.#workIds.delete(container.guid);
    if (work === undefined || !this.#known.delete(container.guid)) return;
    // What came and went between two deltas is told as nothing but its removal: its assignment is over.
    this.#added.delete(container.guid);
    this.#removed.set(container.guid, work);
  }

  #settle(): void {
    this.#added.clear();
    this.#removed.clear();
    this.#changed = false;
  }

  #heldWork(container: ContainerRecord): HeldWork | undefined {
    const work = workOf(container);
    const workId = this.#workIds.get(container.guid) ?? '';
    switch (work?.kind) {
      case 'lrp': {
        const { processGuid, index } = work.key;
        const value = { processGuid, index, instanceGuid: work.instanceGuid };
        return { workId, work: { $case: 'lrp', value } };
      }
      case 'task':
        return { workId, work: { $case: 'taskGuid', value: work.taskGuid } };
      case undefined:
        return undefined;
    }
  }
}

/** Resources as the protocol counts them. */
export function toResources({ memoryMb, diskMb, containers }: ExecutorResources) {
  return { memoryMb, diskMb, containers };
}
