import { describe, expect, it } from 'vitest';
import { useTestDatabase } from '../database/testing.js';
import { leaseStoreContract } from './contract.js';
import { MysqlLeaseStore } from './mysql-lease-store.js';

const test = useTestDatabase();

leaseStoreContract('MySQL lease store', async () => {
  await test.database.query('DELETE FROM leases');
  return {
    client: () => new MysqlLeaseStore(test.database),
    // The database's clock can't be moved; moving everything that it is compared with comes to the same.
    elapse: async (ms) => {
      await test.database.query('UPDATE leases SET expires_at_ms = expires_at_ms - ?', [ms]);
    },
  };
});

describe('the MySQL lease store', () => {
  it("judges by the database's clock alone", async () => {
    await test.database.query('DELETE FROM leases');
    const store = new MysqlLeaseStore(test.database);
    await store.acquire({ key: 'clock', owner: 'a', type: 'lock', value: '', ttlMs: 600_000 });
    const rows = await test.database.query<{ remaining: number }[]>(
      'SELECT CAST(expires_at_ms - UNIX_TIMESTAMP() * 1000 AS SIGNED) AS remaining FROM leases',
    );
    expect(rows[0]?.remaining).toBeGreaterThan(540_000);
    expect(rows[0]?.remaining).toBeLessThanOrEqual(601_000);
  });

  it('keeps the row of a released lease, and with it the epoch', async () => {
    await test.database.query('DELETE FROM leases');
    const store = new MysqlLeaseStore(test.database);
    await store.acquire({ key: 'kept', owner: 'a', type: 'lock', value: 'secret', ttlMs: 60_000 });
    await store.release('kept', 'a');
    expect(
      await test.database.query(
        'SELECT CONVERT(owner USING utf8mb4) AS owner, epoch, LENGTH(value) AS length FROM leases',
      ),
    ).toEqual([{ owner: '', epoch: 1, length: 0 }]);
  });
});
