import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ProcessIndex } from './process-index.js';

const CELLS = [0, 1, 2, 3].map((n) => ({ id: `c${n}`, zone: `z${n % 2}` }));

describe('the counts of a process', () => {
  it('are those of all that was added and not removed, per cell and per zone', () => {
    const step = fc.record({ cell: fc.nat(3), add: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const index = new ProcessIndex<(typeof CELLS)[number]>();
        const counts = [0, 0, 0, 0];
        for (const { cell, add } of steps) {
          const place = CELLS[cell] as (typeof CELLS)[number];
          if (add) index.add('p', place);
          else index.remove('p', place);
          counts[cell] = Math.max(0, (counts[cell] ?? 0) + (add ? 1 : -1));
        }
        const [a = 0, b = 0, c = 0, d = 0] = counts;
        const process = index.get('p');
        expect(CELLS.map((cell) => process?.on(cell) ?? 0)).toEqual(counts);
        expect([process?.inZone('z0') ?? 0, process?.inZone('z1') ?? 0]).toEqual([a + c, b + d]);
        expect(process === undefined).toBe(a + b + c + d === 0);
      }),
    );
  });
});
