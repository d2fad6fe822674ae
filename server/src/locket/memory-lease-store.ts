import type { Clock } from '@rivera/kit/clock';
import { acquiredLease, isHeld, leaseOf, type StoredLease } from './lease-rules.js';
import { type Lease, LeaseHeldError, type LeaseRequest, type LeaseStore, type LeaseType } from './lease-store.js';

/** What outlives the stores: the part that a database plays for `MysqlLeaseStore`. */
export class MemoryLeases {
  readonly byKey = new Map<string, StoredLease>();
  /** Called before each operation. It may wait, or throw as an unreachable database would. */
  onOperation: ((name: 'acquire' | 'release' | 'fetch' | 'list') => Promise<void> | void) | undefined;

  /** Its time is the time of all stores on it, as the database's is. */
  constructor(readonly clock: Clock) {}
}

/** The lease store of tests, of the simulator and of a throw-away start. */
export class MemoryLeaseStore implements LeaseStore {
  constructor(private readonly leases: MemoryLeases) {}

  async acquire(request: LeaseRequest): Promise<Lease> {
    await this.leases.onOperation?.('acquire');
    const nowMs = this.leases.clock.now();
    const lease = acquiredLease(this.leases.byKey.get(request.key), request, nowMs);
    this.leases.byKey.set(request.key, lease);
    return leaseOf(request.key, lease, nowMs);
  }

  async release(key: string, owner: string): Promise<void> {
    await this.leases.onOperation?.('release');
    const nowMs = this.leases.clock.now();
    const stored = this.leases.byKey.get(key);
    if (stored === undefined || !isHeld(stored, nowMs)) return;
    if (stored.owner !== owner) throw new LeaseHeldError(leaseOf(key, stored, nowMs));
    this.leases.byKey.set(key, { ...stored, owner: '', value: '', expiresAtMs: 0 });
  }

  async fetch(key: string): Promise<Lease | undefined> {
    await this.leases.onOperation?.('fetch');
    const nowMs = this.leases.clock.now();
    const stored = this.leases.byKey.get(key);
    return isHeld(stored, nowMs) ? leaseOf(key, stored, nowMs) : undefined;
  }

  async list(options: { type?: LeaseType; afterKey?: string; limit: number }): Promise<Lease[]> {
    await this.leases.onOperation?.('list');
    const nowMs = this.leases.clock.now();
    return [...this.leases.byKey]
      .filter(([key, stored]) => isHeld(stored, nowMs) && (options.afterKey === undefined || key > options.afterKey))
      .filter(([, stored]) => options.type === undefined || stored.type === options.type)
      .sort(([left], [right]) => (left < right ? -1 : 1))
      .slice(0, options.limit)
      .map(([key, stored]) => leaseOf(key, stored, nowMs));
  }

  async close(): Promise<void> {}
}
