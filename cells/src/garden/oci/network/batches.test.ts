import { expect, it } from 'vitest';
import { Batches } from './batches.js';

it('does together what is asked for meanwhile, and fails only those that fail', async () => {
  const done: string[] = [];
  const batches = new Batches<string>(async (items) => {
    await new Promise(setImmediate);
    if (items.includes('bad')) throw new Error('no');
    done.push(items.join(' '));
  });
  const first = Promise.all([batches.add('a'), batches.add('b')]);
  await Promise.resolve();
  await Promise.resolve();
  const [c, bad, d] = [batches.add('c'), batches.add('bad'), batches.add('d')];
  await expect(bad).rejects.toThrow('no');
  await Promise.all([first, c, d]);
  expect(done).toEqual(['a b', 'c', 'd']);
  await batches.idle();
});
