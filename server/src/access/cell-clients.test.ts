import { fromStatus } from '@rivera/kit/errors';
import { serverStream } from '@rivera/kit/grpc/dial';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { CellClients } from './cell-clients.js';
import { AccessBench } from './testing.js';

let bench: AccessBench;
let clients: CellClients;
beforeEach(async () => {
  bench = await AccessBench.start();
  clients = new CellClients(await bench.bed.identity('server'), 2);
});
afterEach(async () => {
  clients.close();
  await bench.close();
});

it('one client serves a cell as long as its address stays', () => {
  const first = clients.get('c1', '127.0.0.1:1');
  expect(clients.get('c1', '127.0.0.1:1')).toBe(first);
  expect(clients.get('c1', '127.0.0.1:2')).not.toBe(first);
});

it('the client that was not used for longest makes room, and its streams go on', async () => {
  await bench.cell('c1', {
    async *readFiles() {
      for (let part = 0; part < 200; part++) yield { data: Buffer.alloc(10_000) };
    },
  });
  const client = clients.get('c1', bench.cells.get('c1')?.address ?? '');
  const reading = serverStream(() => client.readFiles({ target: undefined, path: '/', user: '' }));
  await reading.next();
  for (const cellId of ['c2', 'c3']) clients.get(cellId, '127.0.0.1:1');
  expect(clients.get('c1', bench.cells.get('c1')?.address ?? '')).not.toBe(client);
  let parts = 1;
  for await (const _ of reading) parts++;
  expect(parts).toBe(200);
});

it('a cell without a proper address is unreachable', () => {
  let thrown: unknown;
  try {
    clients.get('c1', '');
  } catch (error) {
    thrown = error;
  }
  expect(fromStatus(thrown)).toMatchObject({ reason: 'CELL_UNREACHABLE', metadata: { cell_id: 'c1' } });
});

it('after the end nothing is dialled any more', () => {
  clients.close();
  expect(() => clients.get('c1', '127.0.0.1:1')).toThrow('the server is closing');
});
