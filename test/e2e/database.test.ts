import type { RiveraClient } from '@rivera/sdk/client';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Stack } from '../stack/stack.js';
import { until } from '../stack/until.js';

let stack: Stack;
let client: RiveraClient;

beforeAll(async () => {
  stack = await Stack.start({ cells: 0, durable: true });
  client = await stack.client();
  await until('the server leads', () => client.domains.upsert('first').then(() => true));
}, 120_000);
afterAll(async () => {
  await stack?.close();
}, 60_000);

it('loses nothing that was acknowledged when mariadbd is killed, and works again when it is back', async () => {
  const acknowledged: string[] = [];
  const refusals: string[] = [];
  let stop = false;
  const writer = async (name: string) => {
    for (let i = 0; !stop; i++) {
      const domain = `${name}-${i}`;
      try {
        await client.domains.upsert(domain);
        acknowledged.push(domain);
      } catch (error) {
        refusals.push((error as { codeName?: string }).codeName ?? String(error));
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  };
  const writers = Array.from({ length: 8 }, (_, i) => writer(`w${i}`));
  await until('writes flow', () => acknowledged.length > 200);
  await stack.killDatabase();
  const written = acknowledged.length;
  await until('a write is refused', () => refusals.length > 0);
  await stack.startDatabase();
  await until('writes flow again', () => acknowledged.length > written + 200);
  stop = true;
  await Promise.all(writers);

  const stored = new Set<string>();
  for await (const { domain } of client.domains.list()) stored.add(domain);
  expect(acknowledged.filter((domain) => !stored.has(domain))).toEqual([]);
  // What could not be written was refused as such, or its outcome was declared unknown.
  expect(
    [...new Set(refusals)].filter((code) => !['UNAVAILABLE', 'DEADLINE_EXCEEDED', 'UNKNOWN'].includes(code)),
  ).toEqual([]);
}, 180_000);
