import { join } from 'node:path';
import { SimCells } from '@rivera/cells/agent/sim-cells';
import { createLogger } from '@rivera/kit/log';
import { Authority } from '@rivera/kit/tls/authority';
import { endWithParent, say, settings } from './forked-process.js';

export interface SimCellsSettings {
  readonly servers: string[];
  readonly folder: string;
  readonly firstNumber: number;
  readonly cells: number;
}

/** Many simulated cells as a process of their own. */
endWithParent();
const { servers, folder, firstNumber, cells } = settings<SimCellsSettings>();
const simulated = new SimCells({
  servers,
  authority: await Authority.open(join(folder, 'ca')),
  dataDir: join(folder, 'sim'),
  firstNumber,
  logger: createLogger({ name: 'cells', level: 'error' }),
  zones: ['z1', 'z2'],
  config: { memoryMb: 1_000_000, diskMb: 1_000_000, containers: 10_000 },
});
/** Started so many at a time: each hello is a transaction, and all at once would time out. */
const TOGETHER = 50;
for (let left = cells; left > 0; left -= TOGETHER) await simulated.add(Math.min(left, TOGETHER));
while (!simulated.connected) await new Promise((resolve) => setTimeout(resolve, 50));
say('ready');
