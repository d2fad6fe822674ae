import type { HeldWork, WorkItem } from '@rivera/gen/rivera/auction/v1/bid_service';
import { WorkBatch } from '@rivera/gen/rivera/bbs/v1/placement_service';
import { ManualClock } from '@rivera/kit/clock';
import { silentLogger } from '@rivera/kit/log';
import { Auctioneer, type CellPort } from '../auctioneer.js';
import { auctionConfig } from '../config.js';
import { heldOf } from '../simulation/wire-cell.js';
import { lrpKey } from '../work.js';
import { bid, lrpAuction } from './samples.js';

/** What cells may be like: those that are not honest say nothing of it. */
export type Character = 'honest' | 'liar' | 'refuser' | 'mute';

const PROCESS = 'p';
/** What a cell really has room for, and what a liar says. */
const ROOM = 8;
const BOASTED_ROOM = 80;
export const CONFIG = auctionConfig.parse({ gather: 0, noCellGrace: 0 });

/** A cell, and the stream that it has at the moment. */
export class AdverseCell {
  character: Character = 'honest';
  readonly held = new Map<string, HeldWork>();
  /** Received and not looked at. */
  readonly inbox: WorkItem[] = [];
  stream: Stream | undefined;
  /** Highest that it has taken work from; an older auctioneer gets no bid. */
  epoch = 0;

  constructor(readonly cellId: string) {}
}

/** One stream of bids: void once the cell has another one, or none. */
class Stream implements CellPort {
  sequence = 1;
  ended = false;

  constructor(
    private readonly cluster: AdverseCluster,
    readonly cell: AdverseCell,
    readonly auctioneer: Auctioneer,
  ) {}

  get cellId(): string {
    return this.cell.cellId;
  }

  work(item: WorkItem): void {
    this.cluster.see(this, item);
    this.cell.inbox.push(item);
  }

  resend(): void {}

  end(): void {
    this.ended = true;
  }

  /** Everything has left: the worst that can be. */
  unsent(): ReadonlySet<string> {
    return new Set();
  }
}

/** Slots of one process that want a cell, a BBS that lets each be claimed once, cells of any character, and auctioneers. */
export class AdverseCluster {
  readonly clock = new ManualClock(1_000_000);
  readonly cells = [0, 1, 2, 3].map((n) => new AdverseCell(`c${n}`));
  readonly auctioneers: Auctioneer[] = [];
  /** Slot → the cell that claimed it; '' while none has. */
  readonly slots = new Map<number, string>();
  readonly broken: string[] = [];
  private readonly soon: (() => void)[] = [];
  /** What was handed out and is not answered, by auctioneer and key. */
  private readonly unanswered = new Map<string, { cellId: string; epoch: number; atMs: number }>();
  private works = 0;

  constructor() {
    this.takeOver();
  }

  /** A new auctioneer has the lease; the one before does not know it yet, and goes on. */
  takeOver(): void {
    const epoch = this.auctioneers.length + 1;
    const auctioneer = new Auctioneer({
      epoch,
      config: CONFIG,
      clock: this.clock,
      log: silentLogger,
      newWorkId: () => `${epoch}-${this.works++}`,
      holdsLease: () => true,
      report: () => {},
      schedule: (fn) => {
        this.soon.push(fn);
        return () => this.soon.splice(this.soon.indexOf(fn), 1);
      },
      elapsedMs: () => 0,
    });
    this.auctioneers.push(auctioneer);
  }

  desire(): void {
    const index = this.slots.size;
    this.slots.set(index, '');
    this.offer([index]);
  }

  /** The BBS offers again what nobody has claimed. */
  offerAgain(): void {
    this.offer([...this.slots].filter(([, cellId]) => cellId === '').map(([index]) => index));
  }

  connect(cell: AdverseCell, auctioneer = this.auctioneers.at(-1) as Auctioneer): void {
    if (auctioneer.epoch < cell.epoch) return;
    this.hangUp(cell);
    cell.epoch = auctioneer.epoch;
    // It says what it has, and so what it has not taken.
    for (const [name, { cellId, epoch }] of this.unanswered) {
      if (cellId === cell.cellId && epoch === auctioneer.epoch) this.unanswered.delete(name);
    }
    const stream = new Stream(this, cell, auctioneer);
    cell.stream = stream;
    const room = cell.character === 'liar' ? BOASTED_ROOM : ROOM;
    const free = Math.max(0, room - cell.held.size);
    const total = { memoryMb: room, diskMb: room, containers: room };
    const available = { memoryMb: free, diskMb: free, containers: free };
    auctioneer.connect(stream, bid(cell.cellId, { total, available, held: [...cell.held.values()] }));
  }

  /** The stream breaks; what the cell had received and not looked at is gone. */
  hangUp(cell: AdverseCell): void {
    const { stream } = cell;
    cell.stream = undefined;
    cell.inbox.length = 0;
    stream?.auctioneer.disconnect(stream);
  }

  /** The machine is gone, and the BBS has noticed. */
  vanish(cell: AdverseCell): void {
    this.hangUp(cell);
    cell.held.clear();
    for (const [index, cellId] of this.slots) if (cellId === cell.cellId) this.slots.set(index, '');
  }

  /** The cell looks at what it was sent first. */
  look(cell: AdverseCell): void {
    const { stream, character } = cell;
    if (stream === undefined || character === 'mute') return;
    const item = cell.inbox.shift();
    if (item === undefined || item.work?.$case !== 'lrp') return;
    this.unanswered.delete(nameOf(stream, item));
    const { index } = item.work.value;
    const key = lrpKey(PROCESS, index);
    const accepted = character !== 'refuser' && cell.held.size < ROOM && !cell.held.has(key);
    if (accepted) {
      cell.held.set(key, heldOf(item));
      this.tell(cell, { added: [heldOf(item)], removed: [] });
    }
    stream.auctioneer.answer(stream, [{ workId: item.workId, accepted, reason: accepted ? '' : 'no' }]);
    if (accepted) this.claim(cell, index);
  }

  /** A container ends by itself. */
  crash(cell: AdverseCell): void {
    const [key, held] = [...cell.held][0] ?? [];
    if (key === undefined || held?.work?.$case !== 'lrp') return;
    const { index } = held.work.value;
    if (this.slots.get(index) === cell.cellId) this.slots.set(index, '');
    this.drop(cell, key, held);
  }

  async wait(ms: number): Promise<void> {
    await this.clock.advance(ms);
  }

  /** Everybody places what waits. */
  pass(): void {
    for (let fn = this.soon.shift(); fn !== undefined; fn = this.soon.shift()) fn();
  }

  /** While a cell may still answer for a piece of work, no other one is asked: the same auctioneer hands it out once. */
  see(stream: Stream, item: WorkItem): void {
    const name = nameOf(stream, item);
    const before = this.unanswered.get(name);
    const nowMs = this.clock.now();
    if (before !== undefined && nowMs - before.atMs < CONFIG.answerTimeoutMs) {
      this.broken.push(`${name} is with ${before.cellId}, and is given to ${stream.cellId}`);
    }
    if (stream.ended || stream.cell.stream !== stream) this.broken.push(`${name} is sent on a stream that is over`);
    this.unanswered.set(name, { cellId: stream.cellId, epoch: stream.auctioneer.epoch, atMs: nowMs });
  }

  private offer(indices: number[]): void {
    const batch = WorkBatch.fromPartial({ lrps: indices.length === 0 ? [] : [lrpAuction(PROCESS, indices)] });
    for (const auctioneer of this.auctioneers) auctioneer.offer(batch);
  }

  /** The BBS gives a slot to one cell; who comes late gives its container up. */
  private claim(cell: AdverseCell, index: number): void {
    const key = lrpKey(PROCESS, index);
    const holder = this.slots.get(index);
    if (holder === '' || holder === cell.cellId) this.slots.set(index, cell.cellId);
    else this.drop(cell, key, cell.held.get(key) as HeldWork);
  }

  private drop(cell: AdverseCell, key: string, held: HeldWork): void {
    cell.held.delete(key);
    this.tell(cell, { added: [], removed: [held] });
  }

  private tell({ stream, held, character }: AdverseCell, change: { added: HeldWork[]; removed: HeldWork[] }): void {
    if (stream === undefined) return;
    const free = Math.max(0, (character === 'liar' ? BOASTED_ROOM : ROOM) - held.size);
    const available = { memoryMb: free, diskMb: free, containers: free };
    const delta = { sequence: ++stream.sequence, available, startingContainers: 0, evacuating: false, ...change };
    stream.auctioneer.change(stream, delta);
  }
}

function nameOf({ auctioneer }: Stream, { work }: WorkItem): string {
  return `${work?.$case === 'lrp' ? work.value.index : ''} of epoch ${auctioneer.epoch}`;
}
