import { join } from 'node:path';
import { SimCells } from '@rivera/cells/agent/sim-cells';
import { createLogger } from '@rivera/kit/log';
import { Authority } from '@rivera/kit/tls/authority';

/** Many simulated cells as a process of their own, so that their memory and CPU can be told from the server's. */
const { servers, folder, cells } = JSON.parse(process.env.SIM ?? '{}') as {
  servers: string[];
  folder: string;
  cells: number;
};
const simulated = new SimCells({
  servers,
  authority: await Authority.open(join(folder, 'ca')),
  dataDir: join(folder, 'sim'),
  logger: createLogger({ name: 'cells', level: 'error' }),
  zones: ['z1', 'z2'],
  config: { memoryMb: 1_000_000, diskMb: 1_000_000, containers: 10_000 },
});
await simulated.add(cells);
while (!simulated.connected) await new Promise((resolve) => setTimeout(resolve, 50));
process.send?.('ready');
process.once('SIGTERM', () => process.exit(0));
