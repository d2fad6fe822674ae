import { execFile } from 'node:child_process';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { SimCells } from '@rivera/cells/agent/sim-cells';
import type { ActualLrp } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { silentLogger } from '@rivera/kit/log';
import type { RiveraClient } from '@rivera/sdk/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Invariants } from '../simulation/invariants.js';
import { Stack } from '../stack/stack.js';
import { until } from '../stack/until.js';
import { isRunning, simulatedLrp } from '../stack/work.js';

const RIVERA = resolve(import.meta.dirname, '../../cli/bin/rivera.mjs');
const CELLS = 4;
const PROCESSES = 40;
/** One instance each, and a second one for every fourth process. */
const INSTANCES = PROCESSES + PROCESSES / 4;

let stack: Stack;
let client: RiveraClient;
let cells: SimCells;
let invariants: Invariants;

beforeAll(async () => {
  stack = await Stack.start({ cells: 0, server: { log: { level: 'warn' } } });
  client = await stack.client();
  await until('the server leads', () => client.domains.upsert('sim').then(() => true));
  cells = new SimCells({
    servers: stack.addresses,
    authority: stack.authority,
    dataDir: join(stack.folder, 'sim'),
    logger: silentLogger,
    zones: ['z1', 'z2'],
    config: { memoryMb: 1_600, diskMb: 1_600, containers: 100 },
  });
  invariants = await Invariants.watchOver(stack);
}, 120_000);
afterAll(async () => {
  await invariants?.close();
  await cells?.close();
  await stack?.close();
}, 60_000);

describe('cells that join', () => {
  it('get nothing of what runs by themselves', async () => {
    await cells.add(CELLS);
    await until('all cells are connected', () => cells.connected);
    for (let n = 0; n < PROCESSES; n++) {
      await client.desiredLrps.desire(simulatedLrp(`app-${n}`, n % 4 === 0 ? 2 : 1, 16));
    }
    await allRunning();
    await cells.add(CELLS);
    await until('the new cells are connected', () => cells.connected);
    expect(differenceOf(await allRunning())).toBeGreaterThanOrEqual(INSTANCES / CELLS - 1);
  });

  it('get their part by a rebalance, and no slot is ever without an instance that runs', async () => {
    const before = await allRunning();
    const planned = await rivera('rebalance', '--dry-run', '--json');
    const moves = planned.trim().split('\n').length;
    const watched = new SlotWatch(before);
    const lines = (await rivera('rebalance', '--yes', '--json')).trim().split('\n');
    await watched.close();
    expect(watched.gaps).toEqual([]);
    expect(watched.looks).toBeGreaterThan(20);
    expect(lines.map((line) => JSON.parse(line).kind)).toEqual(lines.map(() => 'moved'));
    expect(lines).toHaveLength(moves);
    const after = await allRunning();
    expect(differenceOf(after)).toBeLessThanOrEqual(2);
    const kept = new Set(before.map(({ instanceGuid }) => instanceGuid));
    expect(after.filter(({ instanceGuid }) => !kept.has(instanceGuid))).toHaveLength(moves);
    expect(await invariants.atQuietMoment()).toEqual([]);
  }, 120_000);

  it('leave nothing to be moved once all is even', async () => {
    expect(await rivera('rebalance', '--dry-run', '--json')).toBe('');
    expect(invariants.violations).toEqual([]);
    expect(stack.servers[0]?.log()).not.toContain('the audit had to mend rows');
  });
});

/** Looks at all slots again and again while something goes on. */
class SlotWatch {
  readonly gaps: string[] = [];
  looks = 0;
  private over = false;
  private readonly watching: Promise<void>;

  constructor(before: readonly ActualLrp[]) {
    this.watching = this.watch(new Set(before.map(slotOf)));
  }

  async close(): Promise<void> {
    this.over = true;
    await this.watching;
  }

  private async watch(slots: ReadonlySet<string>): Promise<void> {
    while (!this.over) {
      this.looks++;
      const running = new Set((await instances()).filter(isRunning).map(slotOf));
      for (const slot of slots) if (!running.has(slot)) this.gaps.push(`${slot} at look ${this.looks}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

async function rivera(...args: string[]): Promise<string> {
  const env = await stack.cliEnvironment();
  return (await promisify(execFile)(process.execPath, [RIVERA, ...args], { env })).stdout;
}

async function instances(): Promise<ActualLrp[]> {
  const all: ActualLrp[] = [];
  for await (const instance of client.actualLrps.list()) all.push(instance);
  return all;
}

async function allRunning(): Promise<ActualLrp[]> {
  return until(`${INSTANCES} instances run`, async () => {
    const all = await instances();
    return all.length === INSTANCES && all.every(isRunning) ? all : undefined;
  });
}

/** Between the cell with the most instances and the one with the fewest. */
function differenceOf(all: readonly ActualLrp[]): number {
  const counts = cells.cellIds.map((cellId) => all.filter((each) => each.cellId === cellId).length);
  return Math.max(...counts) - Math.min(...counts);
}

function slotOf({ key }: ActualLrp): string {
  return `${key?.processGuid}/${key?.index}`;
}
