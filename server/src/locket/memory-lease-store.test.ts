import { ManualClock } from '@rivera/kit/clock';
import { leaseStoreContract } from './contract.js';
import { MemoryLeaseStore, MemoryLeases } from './memory-lease-store.js';

leaseStoreContract('memory lease store', async () => {
  const clock = new ManualClock(1_790_000_000_000);
  const leases = new MemoryLeases(clock);
  return { client: () => new MemoryLeaseStore(leases), elapse: (ms) => clock.advance(ms) };
});
