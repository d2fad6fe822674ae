import { RiveraError } from '@rivera/kit/errors';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type AdverseCell, AdverseCluster, CONFIG } from './testing/adversaries.js';

/** Few enough for honest cells to hold all, when three of them are there. */
const MOST_SLOTS = 20;
const CHARACTERS = ['honest', 'liar', 'refuser', 'mute'] as const;

const step = fc.record({
  act: fc.constantFrom(
    ...(['desire', 'desire', 'look', 'look', 'look', 'look', 'again'] as const),
    ...(['join', 'join', 'hangUp', 'flap', 'vanish', 'crash', 'turn', 'wait', 'takeOver'] as const),
  ),
  cell: fc.nat(3),
  n: fc.nat(3),
});
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

async function perform(cluster: AdverseCluster, { act, cell: number, n }: Step): Promise<void> {
  const cell = cluster.cells[number] as AdverseCell;
  switch (act) {
    case 'desire':
      if (cluster.slots.size < MOST_SLOTS) cluster.desire();
      break;
    case 'again':
      cluster.offerAgain();
      break;
    case 'look':
      for (let looks = 0; looks <= n; looks++) cluster.look(cell);
      break;
    case 'join':
      // Not always at the one that has the lease.
      cluster.connect(cell, n === 0 ? cluster.auctioneers[0] : undefined);
      break;
    case 'hangUp':
      cluster.hangUp(cell);
      break;
    case 'flap':
      for (let times = 0; times <= n; times++) cluster.connect(cell);
      break;
    case 'vanish':
      cluster.vanish(cell);
      break;
    case 'crash':
      cluster.crash(cell);
      break;
    case 'turn':
      cell.character = CHARACTERS[n] as (typeof CHARACTERS)[number];
      break;
    case 'wait':
      await cluster.wait([500, 3_000, 11_000, 30_000][n] as number);
      break;
    case 'takeOver':
      if (cluster.auctioneers.length < 3) cluster.takeOver();
      break;
  }
  cluster.pass();
}

/** All cells are there and honest, and those who lost the lease know it; the BBS offers what is left, for as long as anybody is avoided. */
async function heal(cluster: AdverseCluster): Promise<void> {
  for (const auctioneer of cluster.auctioneers.slice(0, -1)) {
    auctioneer.close(new RiveraError('NOT_LEADER', 'the lease is lost'));
  }
  for (const cell of cluster.cells) {
    cell.character = 'honest';
    cluster.connect(cell);
  }
  for (let round = 0; round < 30; round++) {
    await cluster.wait(CONFIG.avoidForMs);
    cluster.offerAgain();
    cluster.pass();
    for (const cell of cluster.cells) while (cell.inbox.length > 0) cluster.look(cell);
    cluster.pass();
  }
}

describe('with cells that lie, refuse, keep silent, vanish and flap, and auctioneers that do not know that they are replaced', () => {
  it('nothing is handed out twice while a cell may still take it, and nothing is lost', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 120, size: 'max' }), async (steps) => {
        const cluster = new AdverseCluster();
        for (const each of steps) {
          await perform(cluster, each);
          expect(cluster.broken).toEqual([]);
        }
        await heal(cluster);
        expect(cluster.broken).toEqual([]);
        const holders = [...cluster.slots].map(([index]) =>
          cluster.cells.filter(({ held }) => held.has(`l/p/${index}`)).map(({ cellId }) => cellId),
        );
        expect(holders).toEqual([...cluster.slots.values()].map((cellId) => [cellId]));
        const active = cluster.auctioneers.at(-1);
        expect(active?.queued).toBe(0);
        for (const known of active?.cells() ?? []) {
          const cell = cluster.cells.find(({ cellId }) => cellId === known.id);
          expect(known.held.size).toBe(cell?.held.size);
          expect(known.assignments.size).toBe(0);
        }
      }),
      { numRuns: Number(process.env.RIVERA_PROPERTY_RUNS ?? 500) },
    );
  }, 120_000);
});
