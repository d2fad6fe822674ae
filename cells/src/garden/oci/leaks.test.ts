import { expect, it } from 'vitest';
import { collectOutput, plainProcess, plainSpec } from '../contract.js';
import { scratchCell } from './scratch-cell.js';

const CONTAINERS = 40;
const ROUNDS = 2;

// The long form is `npm run bench -- container-leaks`.
it('many containers at once leave nothing on the machine, nor does the cell', { timeout: 240_000 }, async () => {
  const cell = await scratchCell();
  const garden = await cell.open();
  const limits = { memoryBytes: 32 << 20, diskBytes: 8 << 20, pids: 32, cpuShares: 64 };
  for (let round = 0; round < ROUNDS; round++) {
    const names = Array.from({ length: CONTAINERS }, (_, index) => `r${round}-${index}`);
    const containers = await Promise.all(
      names.map((name) => garden.create(plainSpec(name, cell.rootFs, { ports: [8080], limits }))),
    );
    const processes = await Promise.all(
      containers.map((container) => container.run(plainProcess('p', { path: '/bin/hostname', args: [] }))),
    );
    expect(await Promise.all(processes.map(collectOutput))).toEqual(names.map((name) => [`stdout: ${name}`]));
    await Promise.all(names.map((name) => garden.destroy(name)));
    expect(await cell.leaks()).toEqual([]);
  }
  await garden.close();
  // Looks itself for what the cell as a whole leaves.
  await cell.remove();
});
