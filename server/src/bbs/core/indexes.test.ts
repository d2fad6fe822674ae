import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DueQueue } from './due-queue.js';
import { OrderedKeys } from './ordered-keys.js';

const key = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f');

describe('OrderedKeys', () => {
  it('yields what a sorted set would, whatever was added and deleted between reads', () => {
    const step = fc.oneof(
      fc.record({ op: fc.constant('add' as const), key }),
      fc.record({ op: fc.constant('delete' as const), key }),
      fc.record({ op: fc.constant('read' as const), key: fc.oneof(key, fc.constant('')) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const keys = new OrderedKeys();
        const model = new Set<string>();
        for (const { op, key: k } of steps) {
          // Callers add what is not there and delete what is, as rows do.
          if (op === 'add' && !model.has(k)) {
            model.add(k);
            keys.add(k);
          } else if (op === 'delete' && model.has(k)) {
            model.delete(k);
            keys.delete(k);
          } else if (op === 'read') {
            expect([...keys.after(k)]).toEqual([...model].sort().filter((m) => m > k));
          }
        }
      }),
    );
  });
});

describe('DueQueue', () => {
  it('hands out each key once, at its latest time, earliest first', () => {
    const step = fc.oneof(
      fc.record({ op: fc.constant('set' as const), key, at: fc.integer({ min: 0, max: 100 }) }),
      fc.record({ op: fc.constant('clear' as const), key, at: fc.constant(0) }),
      fc.record({ op: fc.constant('take' as const), key, at: fc.integer({ min: 0, max: 100 }) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const queue = new DueQueue();
        const model = new Map<string, number>();
        for (const { op, key: k, at } of steps) {
          if (op === 'set') {
            queue.set(k, at);
            model.set(k, at);
          } else if (op === 'clear') {
            queue.clear(k);
            model.delete(k);
          } else {
            const taken = queue.take(at, 100);
            const due = [...model].filter(([, due]) => due <= at);
            expect(new Set(taken)).toEqual(new Set(due.map(([name]) => name)));
            const times = taken.map((name) => model.get(name) as number);
            expect(times).toEqual([...times].sort((x, y) => x - y));
            for (const name of taken) model.delete(name);
          }
          expect(queue.next()).toBe(model.size === 0 ? undefined : Math.min(...model.values()));
        }
      }),
    );
  });
});
