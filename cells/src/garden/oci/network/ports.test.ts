import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { PortPool } from './ports.js';

let base: string;
/** A range of this process alone, below those that anybody hands out. */
const first = 20_000 + (process.pid % 1000) * 10;
const range = { first, last: first + 3 };
const pool = (cellId: string) => new PortPool({ cellId, dataDir: join(base, cellId) }, range, join(base, 'claims'));

beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'rivera-ports-'));
  await mkdir(join(base, 'a'));
  await mkdir(join(base, 'b'));
});
afterEach(() => rm(base, { recursive: true, force: true }));

it('never gives a port twice, not even to another cell', async () => {
  const [one, two] = await Promise.all([pool('a').take('x', [80, 81]), pool('b').take('y', [80, 81])]);
  const ports = [...one, ...two].map((mapping) => mapping.hostPort);
  expect([...ports].sort()).toEqual([first, first + 1, first + 2, first + 3]);
  await expect(pool('a').take('z', [80])).rejects.toMatchObject({ kind: 'no-ports' });
});

it('keeps nothing of a request that it can’t fulfil', async () => {
  const a = pool('a');
  await expect(a.take('x', [1, 2, 3, 4, 5])).rejects.toMatchObject({ kind: 'no-ports' });
  expect(await a.claims()).toEqual([]);
  expect(await a.take('x', [1, 2, 3, 4])).toHaveLength(4);
});

it('maps a port that is asked for twice once', async () => {
  expect(await pool('a').take('x', [80, 80])).toHaveLength(1);
});

it('knows its claims in a later life, and frees those of one container', async () => {
  await pool('a').take('x', [80]);
  await pool('a').take('y', [80]);
  await pool('a').release('x');
  expect((await pool('a').claims()).map((claim) => claim.handle)).toEqual(['y']);
});

it('leaves ports alone that a program of the host listens on', async () => {
  const server: Server = createServer();
  await new Promise<void>((resolve) => server.listen(first + 1, '127.0.0.1', resolve));
  try {
    const ports = (await pool('a').take('x', [1, 2, 3])).map((mapping) => mapping.hostPort);
    expect(ports).not.toContain(first + 1);
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
});

it('takes back the ports of a cell whose data is gone', async () => {
  await pool('b').take('y', [1, 2, 3, 4]);
  await rm(join(base, 'b'), { recursive: true });
  const a = pool('a');
  await expect(a.take('x', [1])).rejects.toMatchObject({ kind: 'no-ports' });
  expect(await a.take('x', [1])).toHaveLength(1);
});
