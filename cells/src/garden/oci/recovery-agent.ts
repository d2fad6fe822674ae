import { systemClock } from '@rivera/kit/clock';
import { silentLogger } from '@rivera/kit/log';
import { plainProcess, plainSpec } from '../contract.js';
import { OciGarden } from './oci-garden.js';
import type { OciGardenOptions } from './options.js';

// A program for recovery.test.ts: makes, uses and destroys containers until it is killed.
const options = JSON.parse(process.argv[2] ?? '{}') as OciGardenOptions;
const garden = new OciGarden({ ...options, log: silentLogger, clock: systemClock });
await garden.start();
process.stdout.write('started\n');
const limits = { memoryBytes: 0, diskBytes: 4 * 1024 * 1024, pids: 0, cpuShares: 0 };

async function churn(lane: string): Promise<void> {
  for (let round = 0; ; round++) {
    const handle = `${lane}${round}`;
    const container = await garden.create(plainSpec(handle, 'preloaded:busybox', { ports: [8080], limits }));
    await container.run(plainProcess('p', { path: '/bin/sleep', args: ['0.02'] }));
    await garden.destroy(handle);
  }
}

await Promise.all([churn('a'), churn('b')]);
