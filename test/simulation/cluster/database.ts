import { type Journal, type JournalBatch, JournalError, type JournalRows } from '@rivera/server/bbs/journal/journal';
import { MemoryDatabase, MemoryJournal } from '@rivera/server/bbs/journal/memory-journal';
import type { LeaseStore } from '@rivera/server/locket/lease-store';
import { MemoryLeaseStore, MemoryLeases } from '@rivera/server/locket/memory-lease-store';
import type { Chance } from './chance.js';
import type { Coverage } from './coverage.js';
import { Host } from './host.js';
import type { VirtualTime } from './virtual-time.js';

export interface DatabaseOptions {
  readonly time: VirtualTime;
  readonly chance: Chance;
  readonly coverage: Coverage;
  /** A batch has become durable. */
  readonly onDurable: (batch: JournalBatch) => void;
}

/** How often the database fails, of a hundred requests each. */
export interface DatabaseFaults {
  beforePercent: number;
  afterPercent: number;
  slowPercent: number;
}

/** Whose it is, and whether it has left its process. */
interface CommitUnderWay {
  readonly host: Host;
  sent: boolean;
}

/** Answers of a database that can't be reached come after this. */
const CONNECT_TIMEOUT_MS = 900;

/**
 * The one database that all servers share: the memory journal and the memory leases of the product, behind a way there and back on
 * which requests and answers are late or lost. What is under way arrives, whatever became of the process that sent it.
 */
export class SimulatedDatabase {
  readonly rows = new MemoryDatabase();
  readonly leases: MemoryLeases;
  readonly faults: DatabaseFaults = { beforePercent: 0, afterPercent: 0, slowPercent: 0 };
  away = false;
  /** Names of servers that can't reach it. */
  readonly cutOff = new Set<string>();
  /** Commits that were handed over and have not arrived. */
  private readonly underWay = new Set<CommitUnderWay>();
  private readonly commits = new WeakMap<JournalBatch, CommitUnderWay>();

  constructor(private readonly options: DatabaseOptions) {
    this.leases = new MemoryLeases(new Host('database', options.time).clock);
    let applied = 0;
    this.rows.faults = {
      beforeCommit: (batch) => this.travel(batch),
      afterCommit: (batch) => {
        // A batch that is repeated changes nothing.
        if (batch.revision > applied) options.onDurable(batch);
        applied = Math.max(applied, batch.revision);
        return this.answer(batch);
      },
    };
  }

  /** Whether every commit that is under way now has arrived. */
  arrivalOfAll(): () => boolean {
    const now = [...this.underWay];
    return () => now.every((commit) => !this.underWay.has(commit) || !(commit.sent || commit.host.alive));
  }

  /** A server's connection for its state. */
  journalFor(host: Host): Journal {
    const inner = new MemoryJournal(this.rows);
    const ask = <T>(work: () => Promise<T>) => this.ask(host, work);
    return {
      open: (epoch) => ask(() => inner.open(epoch)),
      load: () => this.load(inner, ask),
      preview: () => ask(() => inner.preview()),
      reread: (keys) => ask(() => inner.reread(keys)),
      readHandover: () => ask(() => inner.readHandover()),
      writeHandover: (handover) => ask(() => inner.writeHandover(handover)),
      commit: (batch) => this.commit(host, inner, batch),
      readTaskDefinitions: (guids) => ask(() => inner.readTaskDefinitions(guids)),
      readRunInfos: (guids) => ask(() => inner.readRunInfos(guids)),
      quarantined: () => inner.quarantined(),
      quarantinedRows: () => inner.quarantinedRows(),
      encryptionStatus: () => inner.encryptionStatus(),
      close: () => inner.close(),
    };
  }

  /** A server's connection for its leases. */
  leaseStoreFor(host: Host): LeaseStore {
    const inner = new MemoryLeaseStore(this.leases);
    const ask = <T>(work: () => Promise<T>) => this.ask(host, work);
    return {
      acquire: (request) => ask(() => inner.acquire(request)),
      release: (key, owner) => ask(() => inner.release(key, owner)),
      fetch: (key) => ask(() => inner.fetch(key)),
      list: (options) => ask(() => inner.list(options)),
      close: async () => {},
    };
  }

  private async *load(
    inner: MemoryJournal,
    ask: <T>(work: () => Promise<T>) => Promise<T>,
  ): AsyncGenerator<JournalRows> {
    const parts = await ask(async () => {
      const all: JournalRows[] = [];
      for await (const part of inner.load()) all.push(part);
      return all;
    });
    yield* parts;
  }

  /** The journal notes at once in which term a batch was handed over, so the way to the database lies inside of it. */
  private async commit(host: Host, inner: MemoryJournal, batch: JournalBatch): Promise<void> {
    const commit = { host, sent: false };
    this.underWay.add(commit);
    this.commits.set(batch, commit);
    try {
      await inner.commit(batch);
      this.underWay.delete(commit);
    } catch (error) {
      this.underWay.delete(commit);
      if (error instanceof JournalError && error.kind === 'fenced') {
        this.options.coverage.note('write of a deposed leader refused');
        // Its sender hears of it later than the database decides it.
        await new Promise<void>((resolve) => void host.after(this.latencyMs(), resolve));
      }
      throw error;
    }
  }

  private async travel(batch: JournalBatch): Promise<void> {
    const { time, chance, coverage } = this.options;
    const commit = this.commits.get(batch) as CommitUnderWay;
    const { host } = commit;
    commit.sent = true;
    let ms = this.latencyMs();
    if (chance.percent(this.faults.slowPercent)) {
      coverage.note('commit slow');
      ms = chance.between(500, 12_000);
    }
    await new Promise<void>((resolve) => void time.after(ms, resolve));
    const unreachable = this.away || this.cutOff.has(host.name);
    const fails = !unreachable && chance.percent(this.faults.beforePercent);
    if (fails) coverage.note('commit failed before it was durable');
    if (!unreachable && !fails) return;
    this.underWay.delete(commit);
    await this.failAt(host);
  }

  private async answer(batch: JournalBatch): Promise<void> {
    const { chance, coverage } = this.options;
    const commit = this.commits.get(batch) as CommitUnderWay;
    const { host } = commit;
    this.underWay.delete(commit);
    if (chance.percent(this.faults.afterPercent)) {
      coverage.note('commit failed after it was durable');
      await this.failAt(host);
    }
    await new Promise<void>((resolve) => void host.after(this.latencyMs(), resolve));
  }

  private failAt(host: Host): Promise<never> {
    return new Promise((_, reject) => {
      host.after(CONNECT_TIMEOUT_MS, () => reject(new JournalError('unavailable', 'the database does not answer')));
    });
  }

  /** One request and its answer. */
  private ask<T>(host: Host, work: () => Promise<T>): Promise<T> {
    const { time, chance } = this.options;
    return new Promise<T>((resolve, reject) => {
      const answer = (give: () => void) => void host.after(this.latencyMs(), give);
      const fail = () => void this.failAt(host).catch(reject);
      time.after(this.latencyMs(), async () => {
        if (this.away || this.cutOff.has(host.name) || chance.percent(this.faults.beforePercent)) return fail();
        try {
          const result = await work();
          if (chance.percent(this.faults.afterPercent)) return fail();
          answer(() => resolve(result));
        } catch (error) {
          answer(() => reject(error));
        }
      });
    });
  }

  private latencyMs(): number {
    return this.options.chance.between(1, 5);
  }
}
