import { type Lease, LeaseHeldError, type LeaseRequest, type LeaseType } from './lease-store.js';

/** A lease as a store keeps it. The row of a released lease stays, with an empty owner, for the sake of its epoch. */
export interface StoredLease {
  readonly owner: string;
  readonly type: LeaseType;
  readonly value: string;
  readonly epoch: number;
  readonly expiresAtMs: number;
}

/** Most bytes of a key and of an owner. */
export const MAX_NAME_BYTES = 255;
/** Most bytes of a value. */
export const MAX_VALUE_BYTES = 65_535;

export function isHeld(stored: StoredLease | undefined, nowMs: number): stored is StoredLease {
  return stored !== undefined && stored.owner !== '' && stored.expiresAtMs > nowMs;
}

/**
 * The one rule of leases: who holds a key keeps its epoch, whoever comes new (or back, after expiry) gets the next.
 * @throws LeaseHeldError while another owner holds it; RangeError for what no store can hold
 */
export function acquiredLease(stored: StoredLease | undefined, request: LeaseRequest, nowMs: number): StoredLease {
  assertStorable(request);
  const held = isHeld(stored, nowMs);
  if (held && stored.owner !== request.owner) throw new LeaseHeldError(leaseOf(request.key, stored, nowMs));
  const epoch = stored?.epoch ?? 0;
  return {
    owner: request.owner,
    type: request.type,
    value: request.value,
    epoch: held ? epoch : epoch + 1,
    expiresAtMs: nowMs + request.ttlMs,
  };
}

export function leaseOf(key: string, stored: StoredLease, nowMs: number): Lease {
  return {
    key,
    owner: stored.owner,
    type: stored.type,
    value: stored.value,
    epoch: stored.epoch,
    remainingMs: Math.max(0, stored.expiresAtMs - nowMs),
  };
}

function assertStorable(request: LeaseRequest): void {
  for (const [what, text, most] of [
    ['key', request.key, MAX_NAME_BYTES],
    ['owner', request.owner, MAX_NAME_BYTES],
    ['value', request.value, MAX_VALUE_BYTES],
  ] as const) {
    const bytes = Buffer.byteLength(text);
    if (bytes > most) throw new RangeError(`a lease's ${what} has ${bytes} bytes; at most ${most} fit`);
    if (bytes === 0 && what !== 'value') throw new RangeError(`a lease needs a ${what}`);
  }
  if (!Number.isSafeInteger(request.ttlMs) || request.ttlMs <= 0) {
    throw new RangeError(`a lease's time to live is a positive whole number of milliseconds, not ${request.ttlMs}`);
  }
}
