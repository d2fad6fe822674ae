import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { EgressRule, PortMapping } from '../../garden.js';
import type { Cell } from '../cell.js';
import type { ContainerPlaces } from '../places.js';
import type { ContainerRecord } from '../record.js';
import { Passage } from './passage.js';

const rule: EgressRule = { protocol: 'all', networks: [], ports: [], log: false };
const mapping: PortMapping = { hostPort: 61_001, containerPort: 80 };
let base: string;
let released: PortMapping[];
let broken: boolean;
let passage: Passage;

function open(): Passage {
  const cell = {
    ports: {
      takeOne: async () => mapping,
      release: async (_: string, ports: PortMapping[]) => void released.push(...ports),
    },
    network: { change: async () => (broken ? Promise.reject(new Error('nft failed')) : undefined) },
  } as unknown as Cell;
  const places = { handle: 'h', passage: join(base, 'c', 'passage.json') } as ContainerPlaces;
  return new Passage(cell, places, { spec: { egress: [] }, info: { ports: [] } } as unknown as ContainerRecord);
}

beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'rivera-passage-'));
  await mkdir(join(base, 'c'));
  released = [];
  broken = false;
  passage = open();
});
afterEach(() => rm(base, { recursive: true, force: true }));

it('is known to the next agent', async () => {
  await passage.allow([rule]);
  await passage.map({});
  const next = open();
  await next.load();
  expect([next.egress, next.ports]).toEqual([[rule], [mapping]]);
});

it.each(['disk', 'firewall'])('is as before when a change is one that the %s does not take', async (what) => {
  const kind = what === 'disk' ? 'unavailable' : 'process-failed';
  if (what === 'disk') await rm(join(base, 'c'), { recursive: true });
  broken = what === 'firewall';
  await expect(passage.allow([rule])).rejects.toMatchObject({ kind });
  await expect(passage.map({})).rejects.toMatchObject({ kind });
  expect([passage.egress, passage.ports, released]).toEqual([[], [], [mapping]]);
  broken = false;
  await mkdir(join(base, 'c'), { recursive: true });
  expect(await passage.map({})).toEqual(mapping);
});
