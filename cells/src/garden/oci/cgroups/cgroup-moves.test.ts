import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { prepareMoves } from './cgroup-moves.js';

it('leaves this program in its control groups, and is one move however many ask for it', async () => {
  const groups = () => readFile('/proc/self/cgroup', 'utf8');
  const before = await groups();
  const moves = [prepareMoves(), prepareMoves()];
  expect(moves[0]).toBe(moves[1]);
  await Promise.all(moves);
  expect(await groups()).toBe(before);
});
