import { join } from 'node:path';
import { SimCells } from '@rivera/cells/agent/sim-cells';
import { type ActualLrp, ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { CellState } from '@rivera/gen/rivera/bbs/v1/cell';
import { silentLogger } from '@rivera/kit/log';
import type { RiveraClient } from '@rivera/sdk/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Invariants } from '../simulation/invariants.js';
import { Stack } from '../stack/stack.js';
import { until } from '../stack/until.js';
import { simulatedLrp } from '../stack/work.js';

const CELLS = 20;
const REMOVED = 5;
const LRPS = 1_000;
/** Fifteen cells can hold all, and not much more. */
const CONTAINERS_PER_CELL = 80;
const MEMORY_MB = 16;

let stack: Stack;
let client: RiveraClient;
let cells: SimCells;
let invariants: Invariants;

beforeAll(async () => {
  const server = {
    bbs: { presenceTtl: '5s', leaseTtl: '2s', kick: '2s', callbackTimeout: '1s', auditInterval: '2s' },
    log: { level: 'warn' },
    // Else a cell gets up to 20 instances more (a quarter of CONTAINERS_PER_CELL) for each start that takes longer elsewhere.
    auction: { startingContainerWeight: 0 },
  };
  stack = await Stack.start({ cells: 0, server });
  client = await stack.client();
  await until('the server leads', () => client.domains.upsert('sim').then(() => true));
  cells = new SimCells({
    servers: stack.addresses,
    authority: stack.authority,
    dataDir: join(stack.folder, 'sim'),
    logger: silentLogger,
    zones: ['z1', 'z2'],
    config: { memoryMb: CONTAINERS_PER_CELL * MEMORY_MB, diskMb: CONTAINERS_PER_CELL, containers: CONTAINERS_PER_CELL },
  });
  invariants = await Invariants.watchOver(stack);
}, 120_000);
afterAll(async () => {
  await invariants?.close();
  await cells?.close();
  await stack?.close();
}, 60_000);

describe(`${LRPS} LRPs on ${CELLS} simulated cells`, () => {
  it('all run, spread evenly', async () => {
    await cells.add(CELLS);
    await until('all cells are connected', () => cells.connected);
    for await (const { error } of client.desiredLrps.desireMany(
      Array.from({ length: LRPS }, (_, i) => simulatedLrp(`lrp-${i}`, 1, MEMORY_MB)),
    )) {
      if (error !== undefined) throw error;
    }
    const perCell = countByCell(await allRunning(LRPS));
    expect(perCell.size).toBe(CELLS);
    const spread = Math.max(...perCell.values()) - Math.min(...perCell.values());
    expect(spread, `${JSON.stringify([...perCell])}\n${stack.logs()}`).toBeLessThanOrEqual(2);
    expect(await invariants.atQuietMoment()).toEqual([]);
  });

  it('move away from cells that vanish, and nothing else moves', async () => {
    const before = await instances();
    const gone = new Set(cells.cellIds.slice(0, REMOVED));
    await Promise.all([...gone].map((cellId) => cells.remove(cellId)));
    await until('they are missed', async () => (await missing()).size === REMOVED);
    await allRunning(LRPS);
    expect(await invariants.atQuietMoment()).toEqual([]);
    const after = await allRunning(LRPS);
    expect([...countByCell(after).keys()].filter((cellId) => gone.has(cellId))).toEqual([]);
    expect(changed(before, after)).toEqual(before.filter((each) => gone.has(each.cellId)).map(slotOf));
  });

  it('are adopted by agents that were killed and started again', async () => {
    const before = await instances();
    const killed = cells.cellIds.slice(0, REMOVED);
    await Promise.all(killed.map((cellId) => cells.kill(cellId)));
    await Promise.all(killed.map((cellId) => cells.restart(cellId)));
    await until('they are back', () => cells.connected);
    // Whatever an agent had lost would be missed and placed anew before all sides agree.
    expect(await invariants.atQuietMoment()).toEqual([]);
    expect(changed(before, await allRunning(LRPS))).toEqual([]);
    expect((await missing()).size).toBe(REMOVED);
  });

  it('survive kill -9 of the server in the middle of changes, but for those on a cell that vanishes meanwhile', async () => {
    const before = await instances();
    const server = stack.servers[0];
    const gone = cells.cellIds.at(-1);
    if (server === undefined || gone === undefined) throw new Error('no server, or no cell');
    const scaled = Array.from({ length: 100 }, (_, i) => `lrp-${i}`);
    const scaling = scaled.map((guid) => client.desiredLrps.update(guid, { instances: 2 }));
    await Promise.race(scaling);
    await server.kill();
    await cells.remove(gone);
    server.start();
    await Promise.all(scaling);
    await until('it is missed', async () => (await missing()).has(gone));
    await allRunning(LRPS + scaled.length);
    expect(await invariants.atQuietMoment()).toEqual([]);
    const after = await allRunning(LRPS + scaled.length);
    expect(changed(before, after)).toEqual(before.filter((each) => each.cellId === gone).map(slotOf));
  });

  it('go when they are not wanted, and nothing else goes', async () => {
    const before = await instances();
    const removed = Array.from({ length: 100 }, (_, i) => `lrp-${LRPS - 1 - i}`);
    const scaled = Array.from({ length: 100 }, (_, i) => `lrp-${i}`);
    await Promise.all([
      ...removed.map((guid) => client.desiredLrps.remove(guid)),
      ...scaled.map((guid) => client.desiredLrps.update(guid, { instances: 1 })),
    ]);
    await allRunning(LRPS - removed.length);
    expect(await invariants.atQuietMoment()).toEqual([]);
    const unwanted = [...removed.map((guid) => `${guid}/0`), ...scaled.map((guid) => `${guid}/1`)];
    expect(changed(before, await instances()).sort()).toEqual(unwanted.sort());
  });

  it('kept every promise meanwhile', () => {
    expect(invariants.violations).toEqual([]);
    // What has to be done is done when it becomes true; the audit is there for defects.
    expect(stack.servers[0]?.log()).not.toContain('the audit had to mend rows');
    expect(invariants.writes.acknowledged).toBeGreaterThan(50);
    expect(invariants.compared.listings).toBeGreaterThan(5);
    expect(invariants.compared.databases).toBeGreaterThan(5);
  });
});

async function instances(): Promise<ActualLrp[]> {
  const all: ActualLrp[] = [];
  for await (const instance of client.actualLrps.list()) all.push(instance);
  return all;
}

/** Waits until so many instances are there and all of them run. */
async function allRunning(count: number): Promise<ActualLrp[]> {
  return until(`${count} instances run`, async () => {
    const all = await instances();
    return all.length === count && all.every(({ state }) => state === ActualLrpState.RUNNING) ? all : undefined;
  });
}

async function missing(): Promise<Set<string>> {
  const found = new Set<string>();
  for await (const { presence, state } of client.cells.list()) {
    if (state === CellState.MISSING) found.add(presence?.cellId ?? '');
  }
  return found;
}

function countByCell(all: readonly ActualLrp[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { cellId } of all) counts.set(cellId, (counts.get(cellId) ?? 0) + 1);
  return counts;
}

/** Slots that had another container before. */
function changed(before: readonly ActualLrp[], after: readonly ActualLrp[]): string[] {
  const now = new Map(after.map((each) => [slotOf(each), each.instanceGuid]));
  return before.filter((each) => now.get(slotOf(each)) !== each.instanceGuid).map(slotOf);
}

function slotOf({ key }: ActualLrp): string {
  return `${key?.processGuid}/${key?.index}`;
}
