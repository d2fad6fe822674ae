import { DomainServiceClient } from '@rivera/gen/rivera/bbs/v1/domain_service';
import { dial, unary } from '@rivera/kit/grpc/dial';
import type { RiveraClient } from '@rivera/sdk/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Stack } from '../stack/stack.js';
import { until } from '../stack/until.js';

const LEASE_TTL_MS = 6_000;
let stack: Stack;
let client: RiveraClient;

beforeAll(async () => {
  stack = await Stack.start({ servers: 2, cells: 0, server: { bbs: { leaseTtl: LEASE_TTL_MS } } });
  client = await stack.client();
  await until('a server leads', () => client.domains.upsert('first').then(() => true));
}, 120_000);
afterAll(async () => {
  await stack?.close();
}, 60_000);

/** Index of the server that answers for itself; the other one names it. */
async function leader(): Promise<number> {
  return until('one leads', async () => {
    const leading = await Promise.all(stack.addresses.map((address) => leads(address)));
    expect(leading.filter(Boolean).length).toBeLessThan(2);
    const index = leading.indexOf(true);
    return index < 0 ? undefined : index + 1;
  }).then((number) => number - 1);
}

/** Asks one server alone, without following it to another one. */
async function direct<T>(address: string, call: (client: DomainServiceClient) => Promise<T>): Promise<T> {
  const client = dial(DomainServiceClient, address, await stack.identity('client', 'test-client'));
  try {
    return await call(client);
  } finally {
    client.close();
  }
}

async function leads(address: string): Promise<boolean> {
  const request = { pageSize: 1, pageToken: '' };
  return direct(address, (client) => unary(client, client.listDomains, request, { deadlineMs: 1_000 }))
    .then(() => true)
    .catch(() => false);
}

describe('two servers on one database', () => {
  it('hand over when the leader is killed', async () => {
    const first = await leader();
    await stack.servers[first]?.kill();
    // How soon is a benchmark's affair.
    await until('the other one acts', () => client.domains.upsert('second').then(() => true));
    expect(await leader()).toBe(1 - first);
    stack.servers[first]?.start();
    await until('the killed one stands by', () => stack.servers[first]?.log().split('server listens').length === 3);
  }, 90_000);

  it('hand over at once when the leader is told to end', async () => {
    const first = await leader();
    const writes = { last: 0, gapMs: 0, over: false };
    const writing = (async () => {
      for (let i = 0; !writes.over; i++) {
        const startedAtMs = Date.now();
        await client.domains.upsert(`handed-over-${i % 10}`);
        writes.gapMs = Math.max(writes.gapMs, Date.now() - startedAtMs);
        writes.last = i;
      }
    })();
    await until('writes are under way', () => writes.last > 10);
    await stack.servers[first]?.stop();
    const atEnd = writes.last;
    await until('writes go on', () => writes.last > atEnd + 10);
    writes.over = true;
    await writing;
    expect(await leader()).toBe(1 - first);
    expect(stack.servers[1 - first]?.log()).toContain('read the state of a leader that ends');
    // Nobody had to wait for the lease to run out; what it takes without load is a benchmark's affair.
    expect(writes.gapMs).toBeLessThan(LEASE_TTL_MS);
    stack.servers[first]?.start();
    await until('the other one stands by', () => (stack.servers[first]?.log().split('server listens').length ?? 0) > 2);
  }, 90_000);

  it('let a leader that slept past its lease write nothing', async () => {
    const sleeper = await leader();
    const address = stack.addresses[sleeper] ?? '';
    await direct(address, async (connected) => {
      const write = (domain: string) =>
        unary(connected, connected.upsertDomain, { domain, ttl: undefined }, { deadlineMs: 30_000 });
      // A connection that stands before the sleep, with writes on their way while the leader sleeps.
      await write('before');
      stack.servers[sleeper]?.signal('SIGSTOP');
      const late = Array.from({ length: 20 }, (_, i) =>
        write(`late-${i}`).then(
          () => i,
          () => undefined,
        ),
      );
      await until('the other one leads', () => leads(stack.addresses[1 - sleeper] ?? ''));
      await client.domains.upsert('meanwhile');
      stack.servers[sleeper]?.signal('SIGCONT');
      expect((await Promise.all(late)).filter((answer) => answer !== undefined)).toEqual([]);
    });
    const stored = new Set<string>();
    for await (const { domain } of client.domains.list()) stored.add(domain);
    expect(stored.has('meanwhile')).toBe(true);
    expect([...stored].filter((domain) => domain.startsWith('late-'))).toEqual([]);
    expect(await leader()).toBe(1 - sleeper);
  }, 90_000);
});
