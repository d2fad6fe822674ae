/** Something that happens at a moment of virtual time. */
interface Moment {
  readonly atMs: number;
  readonly order: number;
  run: (() => void) | undefined;
}

/** Turns of the event loop after which parts that still keep each other busy count as livelocked. */
const MOST_TURNS = 20_000;

/**
 * The one time of a simulated cluster: it jumps from event to event. Whatever an event sets off (promises, immediates) comes to rest
 * before the next one, in an order that Node fixes as long as nothing real is waited for, so one seed has one history.
 */
export class VirtualTime {
  private now = 0;
  private made = 0;
  /** A binary heap, earliest first, equal ones in the order of their making. */
  private readonly heap: Moment[] = [];

  get nowMs(): number {
    return this.now;
  }

  /** @returns how to cancel */
  after(ms: number, run: () => void): () => void {
    const moment: Moment = { atMs: this.now + Math.max(0, ms), order: this.made++, run };
    this.push(moment);
    return () => {
      moment.run = undefined;
    };
  }

  /** Lets so much time go by, with all that falls into it. */
  async advance(ms: number): Promise<void> {
    const end = this.now + ms;
    await atRest();
    for (let next = this.heap[0]; next !== undefined && next.atMs <= end; next = this.heap[0]) {
      this.pop();
      if (next.run === undefined) continue;
      this.now = next.atMs;
      next.run();
      await atRest();
    }
    this.now = end;
  }

  private push(moment: Moment): void {
    const { heap } = this;
    let at = heap.push(moment) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(moment, heap[parent] as Moment)) break;
      heap[at] = heap[parent] as Moment;
      at = parent;
    }
    heap[at] = moment;
  }

  private pop(): void {
    const { heap } = this;
    const last = heap.pop() as Moment;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1] as Moment, heap[child] as Moment)) child++;
      if (!before(heap[child] as Moment, last)) break;
      heap[at] = heap[child] as Moment;
      at = child;
    }
    heap[at] = last;
  }
}

function before(a: Moment, b: Moment): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}

/** Immediates of the product that have not had their turn. */
let pendingImmediates = 0;
const realImmediate = globalThis.setImmediate;
const realClear = globalThis.clearImmediate;
const counted = new WeakSet<NodeJS.Immediate>();

/**
 * Has this process count its immediates, by which `atRest` knows when nothing is left to be done at a moment. For processes that do
 * nothing but simulate.
 */
export function countImmediates(): void {
  globalThis.setImmediate = ((run: (...args: unknown[]) => void, ...args: unknown[]) => {
    pendingImmediates++;
    const immediate = realImmediate(() => {
      if (counted.delete(immediate)) pendingImmediates--;
      run(...args);
    });
    counted.add(immediate);
    return immediate;
  }) as typeof setImmediate;
  globalThis.clearImmediate = (immediate) => {
    if (immediate !== undefined && counted.delete(immediate)) pendingImmediates--;
    realClear(immediate);
  };
}

/** Resolves when no promise and no immediate has anything left to do. @throws Error when that never comes */
async function atRest(): Promise<void> {
  for (let turns = 0; turns < MOST_TURNS; turns++) {
    await new Promise<void>((resolve) => {
      realImmediate(resolve);
    });
    if (pendingImmediates === 0) return;
  }
  throw new Error('invariant broken: parts of the cluster keep each other busy without time going by');
}
