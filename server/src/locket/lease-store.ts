/**
 * Records with an owner and a time to live, judged by the store's own clock. Leader election and Locket stand on it.
 * Every implementation passes the suite in `contract.ts`.
 */
export interface LeaseStore {
  /**
   * Takes a free or expired key, or renews the owner's own. The epoch grows whenever the owner changes (also when the same owner
   * comes back after expiry), never otherwise, and never repeats for a key, not even after a release.
   * @throws LeaseHeldError while another owner has it
   */
  acquire(request: LeaseRequest): Promise<Lease>;
  /** Gives up; nothing happens when it is free. @throws LeaseHeldError when another owner has it */
  release(key: string, owner: string): Promise<void>;
  /** A record that has not expired. */
  fetch(key: string): Promise<Lease | undefined>;
  /** Records that have not expired, in order of key, behind `afterKey`. */
  list(options: { type?: LeaseType; afterKey?: string; limit: number }): Promise<Lease[]>;
  close(): Promise<void>;
}

export type LeaseType = 'lock' | 'presence';

export interface LeaseRequest {
  key: string;
  owner: string;
  type: LeaseType;
  value: string;
  ttlMs: number;
}

export interface Lease {
  key: string;
  owner: string;
  type: LeaseType;
  value: string;
  epoch: number;
  /** Left to live when the store answered. */
  remainingMs: number;
}

/** Another owner has it. */
export class LeaseHeldError extends Error {
  constructor(readonly lease: Lease) {
    super(`"${lease.key}" is held by "${lease.owner}" for another ${lease.remainingMs} ms`);
    this.name = 'LeaseHeldError';
  }
}
