import { ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import type { WorkRequirements } from '@rivera/gen/rivera/bbs/v1/placement';
import type {
  LrpAuction,
  PlacementResult,
  PlaceResponse,
  TaskAuction,
  WorkBatch,
  WorkKey,
} from '@rivera/gen/rivera/bbs/v1/placement_service';
import { TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import { RiveraError } from '@rivera/kit/errors';
import type { Logger } from '@rivera/kit/log';
import { Outgoing } from '../../stream/outgoing.js';
import { PART_BYTES, weightOfTags } from '../api/weight.js';
import { failPlacement } from '../core/actual-lrp.js';
import type { Effect, RowChange } from '../core/draft.js';
import type { State } from '../core/state.js';
import { rejectTask } from '../core/task.js';
import type { Commit } from '../engine/batch.js';
import type { Engine } from '../engine/engine.js';

const ITEMS_PER_BATCH = 2_000;
const MAX_WAITING_BATCHES = 4_096;
/** Names, numbers and what protobuf needs around them. */
const ITEM_BYTES = 1_024;
const UNREACHABLE = 'no reason was given';

/**
 * The BBS's end of the placement stream. What waits for a cell is derived from the state, so an auctioneer that connects, or
 * comes back, is simply told everything; between connections nothing is kept.
 */
export class PlacementHub {
  private auctioneer: { id: string; epoch: number; outgoing: Outgoing<PlaceResponse> } | undefined;
  private highestEpoch = 0;
  private closed: Error | undefined;

  constructor(
    private readonly engine: Engine,
    private readonly log: Logger,
  ) {}

  /** Opens the stream of an auctioneer; an earlier one ends. @throws STALE_EPOCH for one that was deposed; NOT_LEADER */
  connect(id: string, epoch: number): Outgoing<PlaceResponse> {
    if (this.closed !== undefined) throw this.closed;
    if (epoch < this.highestEpoch) {
      throw new RiveraError(
        'STALE_EPOCH',
        `auctioneer "${id}" has epoch ${epoch}; ${this.highestEpoch} has begun already`,
      );
    }
    this.highestEpoch = epoch;
    this.auctioneer?.outgoing.end(new RiveraError('SESSION_REPLACED', `auctioneer "${id}" has taken over`));
    const outgoing = new Outgoing<PlaceResponse>(MAX_WAITING_BATCHES);
    this.auctioneer = { id, epoch, outgoing };
    this.engine
      .read((state, now) => everythingWaiting(state, now))
      .then(({ result }) => {
        if (this.auctioneer?.outgoing !== outgoing) return;
        // What has been withdrawn while this became durable must not come behind its withdrawal.
        const still = whatStillWaits(this.engine.state, result, this.engine.now());
        for (const batch of inBatches(still)) this.send(batch);
      })
      .catch((error: unknown) => outgoing.end(error instanceof Error ? error : new Error(String(error))));
    this.log.info({ auctioneer: id, epoch }, 'auctioneer connected');
    return outgoing;
  }

  disconnect(outgoing: Outgoing<PlaceResponse>): void {
    if (this.auctioneer?.outgoing === outgoing) this.auctioneer = undefined;
  }

  get connected(): boolean {
    return this.auctioneer !== undefined;
  }

  /** Passes on what became durable. */
  dispatch(commits: readonly Commit[]): void {
    if (this.auctioneer === undefined) return;
    const now = this.engine.now();
    const gathered = new Gathering(this.engine.state);
    for (const commit of commits) {
      for (const change of commit.changes) gathered.withdraw(change);
      for (const effect of commit.effects) gathered.add(effect, now);
    }
    for (const batch of inBatches(gathered.finish())) this.send(batch);
  }

  /**
   * Records what could not be placed. Work that has gone on meanwhile is none of the auctioneer's business any more.
   * @throws SESSION_REPLACED for a stream that is not the current one; UNAVAILABLE when nothing can be recorded
   */
  results(outgoing: Outgoing<PlaceResponse>, results: readonly PlacementResult[]): void {
    if (this.auctioneer?.outgoing !== outgoing) {
      throw this.closed ?? new RiveraError('SESSION_REPLACED', 'another auctioneer has taken over');
    }
    for (const { key, outcome } of results) {
      if (outcome?.$case !== 'notPlaced' || key?.key === undefined) continue;
      const { reason, obstacles } = outcome.value;
      const work = key.key;
      try {
        this.engine.apply((draft) =>
          work.$case === 'taskGuid'
            ? rejectTask(draft, work.value, reason || UNREACHABLE)
            : failPlacement(draft, work.value.processGuid, work.value.index, reason || UNREACHABLE, obstacles),
        );
      } catch (error) {
        if (!(error instanceof RiveraError) || error.retryable) throw error;
        this.log.debug({ err: error }, 'a placement result came too late');
      }
    }
  }

  close(error: Error): void {
    this.closed = error;
    this.auctioneer?.outgoing.end(error);
    this.auctioneer = undefined;
  }

  private send(work: WorkBatch): void {
    const { auctioneer } = this;
    if (auctioneer === undefined || auctioneer.outgoing.push({ message: { $case: 'work', value: work } })) return;
    auctioneer.outgoing.end(new RiveraError('TOO_MANY_REQUESTS', 'the auctioneer does not read what it is sent'));
    this.auctioneer = undefined;
  }
}

/** Collects auctions of many commits, one entry per process. */
class Gathering {
  private readonly lrps = new Map<string, LrpAuction>();
  private readonly indices = new Map<string, Set<number>>();
  private readonly tasks = new Map<string, TaskAuction>();
  private readonly withdrawn: WorkKey[] = [];

  constructor(private readonly state: State) {}

  add(effect: Effect, now: number): void {
    if (effect.kind === 'auction-lrp') this.addLrp(effect.processGuid, effect.index);
    else if (effect.kind === 'auction-task') this.addTask(effect.taskGuid, now);
  }

  addLrp(processGuid: string, index: number): void {
    const row = this.state.slot(processGuid, index).ordinary;
    const desired = this.state.desiredLrps.get(processGuid);
    if (row?.state !== ActualLrpState.UNCLAIMED || desired === undefined) return;
    let auction = this.lrps.get(processGuid);
    if (auction === undefined) {
      auction = {
        processGuid,
        domain: row.domain,
        indices: [],
        requirements: desired.requirements as WorkRequirements,
        queuedAt: new Date(row.sinceMs),
      };
      this.lrps.set(processGuid, auction);
      this.indices.set(processGuid, new Set());
    }
    const known = this.indices.get(processGuid) as Set<number>;
    if (known.has(index)) return;
    known.add(index);
    auction.indices.push(index);
  }

  addTask(guid: string, now: number): void {
    const task = this.state.tasks.get(guid);
    if (task?.state !== TaskState.PENDING || task.nextAttemptAtMs > now) return;
    this.tasks.set(guid, {
      taskGuid: guid,
      domain: task.domain,
      requirements: task.requirements,
      queuedAt: new Date(task.createdAtMs),
    });
  }

  /** Work that waited and does not any more, without a cell having taken it. */
  withdraw(change: RowChange): void {
    if (change.kind === 'task' && change.before?.state === TaskState.PENDING) {
      const gone = change.after === undefined || change.after.state === TaskState.COMPLETED;
      if (gone) this.withdrawn.push({ key: { $case: 'taskGuid', value: change.before.guid } });
    } else if (change.kind === 'actual-lrp' && change.after === undefined) {
      if (change.before?.state !== ActualLrpState.UNCLAIMED) return;
      const { processGuid, index } = change.before;
      if (this.state.slot(processGuid, index).ordinary?.state === ActualLrpState.UNCLAIMED) return;
      this.withdrawn.push({ key: { $case: 'lrp', value: { processGuid, index } } });
    }
  }

  finish(): WorkBatch {
    return { lrps: [...this.lrps.values()], tasks: [...this.tasks.values()], withdrawn: this.withdrawn };
  }
}

function everythingWaiting(state: State, now: number): WorkBatch {
  const gathered = new Gathering(state);
  for (const processGuid of state.slotOrder.after('')) {
    for (const [index] of state.slotsOf(processGuid)) gathered.addLrp(processGuid, index);
  }
  for (const guid of state.tasks.keys()) gathered.addTask(guid, now);
  return gathered.finish();
}

function whatStillWaits(state: State, work: WorkBatch, now: number): WorkBatch {
  const gathered = new Gathering(state);
  for (const { processGuid, indices } of work.lrps) {
    for (const index of indices) gathered.addLrp(processGuid, index);
  }
  for (const { taskGuid } of work.tasks) gathered.addTask(taskGuid, now);
  return gathered.finish();
}

/** Parts of bounded size, in number and in bytes: what waits may have many tags. */
function* inBatches(work: WorkBatch): Generator<WorkBatch> {
  let batch: WorkBatch = { lrps: [], tasks: [], withdrawn: [] };
  let items = 0;
  let bytes = 0;
  const full = (weight: number) => {
    items++;
    bytes += ITEM_BYTES + weight;
    return items >= ITEMS_PER_BATCH || bytes >= PART_BYTES;
  };
  const next = () => {
    const done = batch;
    batch = { lrps: [], tasks: [], withdrawn: [] };
    items = 0;
    bytes = 0;
    return done;
  };
  // Withdrawals first: work may have been withdrawn and offered anew in the same breath.
  for (const key of work.withdrawn) {
    batch.withdrawn.push(key);
    if (full(0)) yield next();
  }
  for (const auction of work.lrps) {
    batch.lrps.push(auction);
    if (full(5 * auction.indices.length + weightOf(auction.requirements))) yield next();
  }
  for (const auction of work.tasks) {
    batch.tasks.push(auction);
    if (full(weightOf(auction.requirements))) yield next();
  }
  if (items > 0) yield next();
}

function weightOf(requirements: WorkRequirements | undefined): number {
  return weightOfTags(requirements?.placementTags ?? []) + weightOfTags(requirements?.volumeDrivers ?? []);
}
