import type { LogEntry, LogFilter } from '@rivera/gen/rivera/rep/v1/container';
import type { Clock } from '@rivera/kit/clock';
import type { LogIdentity } from '../executor.js';
import { Follower } from './follower.js';
import type { LogCounts, LogStore } from './log-store.js';

/** A log store that is told which LRPs and Tasks have containers here. */
export interface RetainingLogStore extends LogStore {
  /** A container of this LRP or Task exists; returns how to say that it has gone. */
  retain(identity: LogIdentity): () => void;
}

/** Bounds of an in-memory log store. */
export interface LogStoreBounds {
  /** Lines kept per LRP or Task. */
  lines: number;
  /** Bytes of payload kept per LRP or Task. */
  bytes: number;
  /** LRPs and Tasks that are kept. */
  sources: number;
  /** How long lines are kept after the last container has gone. */
  retentionMs: number;
  /** Lines a reader may fall behind by. */
  followerLines: number;
  /** Bytes a reader may fall behind by. */
  followerBytes: number;
  /** Readers that follow. */
  followers: number;
}

export const DEFAULT_LOG_STORE_BOUNDS: LogStoreBounds = {
  lines: 2000,
  bytes: 2 * 1024 * 1024,
  sources: 10_000,
  retentionMs: 10 * 60_000,
  followerLines: 2000,
  followerBytes: 2 * 1024 * 1024,
  followers: 256,
};

const BATCH_LINES = 256;

/** The lines of one LRP or Task; nothing but an entry in a map until it says something. */
interface Source {
  entries: LogEntry[];
  head: number;
  bytes: number;
  /** Containers that exist. */
  held: number;
  /** Set while there are none. */
  idleSinceMs: number;
}

/** Keeps the latest lines in memory. */
export class InMemoryLogStore implements RetainingLogStore {
  readonly #sources = new Map<string, Source>();
  readonly #followers = new Map<string, Set<Follower>>();
  readonly #bounds: LogStoreBounds;
  #followerCount = 0;
  #sequence = 0;
  readonly #counts: LogCounts = { lines: 0, rate: 0, reader: 0, excesses: 0 };
  #sweepAtMs = 0;

  constructor(private readonly options: { cellId: string; clock: Clock; bounds?: Partial<LogStoreBounds> }) {
    this.#bounds = { ...DEFAULT_LOG_STORE_BOUNDS, ...options.bounds };
  }

  append(line: Omit<LogEntry, 'sequence' | 'cellId' | '_unknownFields'>): void {
    this.#counts.lines++;
    const key = keyOf(line);
    const entry: LogEntry = { ...line, sequence: ++this.#sequence, cellId: this.options.cellId };
    const source = this.#source(key);
    if (source.held === 0) source.idleSinceMs = this.options.clock.now();
    source.entries.push(entry);
    source.bytes += entry.payload.length;
    while (source.entries.length - source.head > this.#bounds.lines || source.bytes > this.#bounds.bytes) {
      source.bytes -= (source.entries[source.head] as LogEntry).payload.length;
      source.head++;
    }
    if (source.head > 64 && source.head * 2 > source.entries.length) {
      source.entries = source.entries.slice(source.head);
      source.head = 0;
    }
    for (const follower of this.#followers.get(key) ?? []) follower.offer(entry);
    for (const follower of this.#followers.get(ALL) ?? []) follower.offer(entry);
  }

  refused(notice: boolean): void {
    this.#counts.rate++;
    if (notice) this.#counts.excesses++;
  }

  counts(): LogCounts {
    return { ...this.#counts };
  }

  retain(identity: LogIdentity): () => void {
    const key = keyOf(identity);
    this.#source(key).held++;
    let released = false;
    return () => {
      if (released) return;
      released = true;
      const source = this.#sources.get(key);
      if (!source || source.held === 0) return;
      source.held--;
      source.idleSinceMs = this.options.clock.now();
      this.#sweep();
    };
  }

  async *read(filter: LogFilter, signal: AbortSignal): AsyncGenerator<{ entries: LogEntry[]; dropped: number }> {
    const matches = matcher(filter);
    const key = filter.processGuid || filter.taskGuid ? keyOf(filter) : ALL;
    this.#sweep();
    // Taken in one go with the start of following, so that no line is missed or told twice.
    const kept = this.#kept(key, matches, filter.tail);
    const follower = filter.follow ? this.#follow(key, matches) : undefined;
    try {
      for (let start = 0; start < kept.length && !signal.aborted; start += BATCH_LINES) {
        yield { entries: kept.slice(start, start + BATCH_LINES), dropped: 0 };
      }
      while (follower) {
        const batch = await follower.take(signal);
        if (!batch) return;
        this.#counts.reader += batch.dropped;
        yield batch;
      }
    } finally {
      if (follower) this.#unfollow(key, follower);
    }
  }

  #kept(key: string, matches: (entry: LogEntry) => boolean, tail: number): LogEntry[] {
    const found: LogEntry[] = [];
    const sources = key === ALL ? this.#sources.values() : [this.#sources.get(key)];
    for (const source of sources) {
      for (let index = source?.head ?? 0; source && index < source.entries.length; index++) {
        const entry = source.entries[index] as LogEntry;
        if (matches(entry)) found.push(entry);
      }
    }
    if (key === ALL) found.sort((a, b) => a.sequence - b.sequence);
    return tail > 0 ? found.slice(-tail) : found;
  }

  #source(key: string): Source {
    const existing = this.#sources.get(key);
    if (existing) return existing;
    this.#sweep();
    if (this.#sources.size >= this.#bounds.sources) this.#evict();
    const source: Source = { entries: [], head: 0, bytes: 0, held: 0, idleSinceMs: this.options.clock.now() };
    this.#sources.set(key, source);
    return source;
  }

  /** Makes room: the source that has been idle for longest; when none is, the oldest loses its lines. */
  #evict(): void {
    let victim: string | undefined;
    let oldest = Number.POSITIVE_INFINITY;
    for (const [key, source] of this.#sources) {
      if (source.held > 0 || source.idleSinceMs >= oldest) continue;
      victim = key;
      oldest = source.idleSinceMs;
    }
    victim ??= this.#sources.keys().next().value;
    if (victim !== undefined) this.#sources.delete(victim);
  }

  /** Forgets what has been idle for too long; looks at most once in a tenth of the time it is kept. */
  #sweep(): void {
    const now = this.options.clock.now();
    if (now < this.#sweepAtMs) return;
    this.#sweepAtMs = now + this.#bounds.retentionMs / 10;
    for (const [key, source] of this.#sources) {
      if (source.held === 0 && now - source.idleSinceMs >= this.#bounds.retentionMs) this.#sources.delete(key);
    }
  }

  #follow(key: string, matches: (entry: LogEntry) => boolean): Follower {
    if (this.#followerCount >= this.#bounds.followers) throw new Error('too many readers follow logs on this cell');
    const follower = new Follower(matches, { lines: this.#bounds.followerLines, bytes: this.#bounds.followerBytes });
    const followers = this.#followers.get(key) ?? new Set();
    this.#followers.set(key, followers.add(follower));
    this.#followerCount++;
    return follower;
  }

  #unfollow(key: string, follower: Follower): void {
    const followers = this.#followers.get(key);
    if (!followers?.delete(follower)) return;
    this.#followerCount--;
    if (followers.size === 0) this.#followers.delete(key);
  }
}

const ALL = '*';

function keyOf(of: { processGuid: string; taskGuid: string }): string {
  return of.processGuid === '' ? `task/${of.taskGuid}` : `lrp/${of.processGuid}`;
}

function matcher(filter: LogFilter): (entry: LogEntry) => boolean {
  const sinceMs = filter.since?.getTime();
  return (entry) =>
    (filter.index === undefined || entry.index === filter.index) &&
    (filter.source === '' || entry.source === filter.source) &&
    (sinceMs === undefined || (entry.time?.getTime() ?? 0) >= sinceMs);
}
