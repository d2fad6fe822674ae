import { PlacementResult } from '@rivera/gen/rivera/bbs/v1/placement_service';
import { MetricsRegistry } from '@rivera/kit/metrics';
import { expect, it } from 'vitest';
import { AuctionMetrics } from './auction-metrics.js';

it('counts what became of work, and what stood in the way of what was not placed', () => {
  const registry = new MetricsRegistry();
  const metrics = new AuctionMetrics(registry, () => undefined);
  const lrp = { key: { $case: 'lrp', value: { processGuid: 'p', index: 0 } } } as const;
  const task = { key: { $case: 'taskGuid', value: 't' } } as const;
  const obstacle = (kind: string) => ({ kind, description: '', cells: 3, exampleCellIds: [] });
  const notPlaced = (...kinds: string[]) =>
    ({ $case: 'notPlaced', value: { reason: 'insufficient resources', obstacles: kinds.map(obstacle) } }) as const;
  metrics.take([
    PlacementResult.fromPartial({ key: lrp, outcome: { $case: 'placed', value: { cellId: 'c' } } }),
    PlacementResult.fromPartial({ key: lrp, outcome: notPlaced('MEMORY', 'REFUSED') }),
    PlacementResult.fromPartial({ key: task, outcome: notPlaced('MEMORY') }),
  ]);
  const text = registry.text();
  expect(text).toContain('rivera_auction_placed_total{kind="lrp"} 1');
  expect(text).toContain('rivera_auction_failed_total{kind="lrp"} 1');
  expect(text).toContain('rivera_auction_failed_total{kind="task"} 1');
  expect(text).toContain('rivera_auction_obstacles_total{obstacle="memory"} 2');
  expect(text).toContain('rivera_auction_obstacles_total{obstacle="refused"} 1');
});
