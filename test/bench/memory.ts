import { fork } from 'node:child_process';
import { once } from 'node:events';
import { ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { Stack } from '../stack/stack.js';
import { until } from '../stack/until.js';
import { rssMb, smallLrp } from './bbs-stand.js';
import type { Report } from './figures.js';

const CELLS = 100;

/** Resident memory of each process with many LRPs RUNNING on simulated cells, and how long it took to get there. */
export async function memory(report: Report, { lrps }: { lrps: number }): Promise<void> {
  const stack = await Stack.start({ cells: 0, durable: true });
  const cells = fork(new URL('./sim-cells-process.ts', import.meta.url), {
    execArgv: ['--conditions=source', '--import', 'tsx'],
    env: { ...process.env, SIM: JSON.stringify({ servers: stack.addresses, folder: stack.folder, cells: CELLS }) },
  });
  try {
    const client = await stack.client();
    await until('the server leads', () => client.domains.upsert('bench').then(() => true));
    const serverPid = stack.servers[0]?.pid ?? 0;
    const idle = rssMb(serverPid);
    await once(cells, 'message');
    const from = performance.now();
    for await (const result of client.desiredLrps.desireMany(
      Array.from({ length: lrps }, (_, i) => smallLrp(`lrp-${i}`)),
    )) {
      if ('error' in result && result.error !== undefined) throw result.error;
    }
    await until(
      'all run',
      async () => {
        for await (const _ of client.actualLrps.list({ states: [ActualLrpState.UNCLAIMED, ActualLrpState.CLAIMED] })) {
          return false;
        }
        return true;
      },
      300_000,
    );
    const seconds = (performance.now() - from) / 1000;
    const conditions = `${lrps} LRPs RUNNING on ${CELLS} simulated cells in one process`;
    report({ name: 'desire to RUNNING', value: lrps / seconds, unit: 'instances/s', conditions });
    report({ name: 'server, idle', value: idle, unit: 'MiB', conditions: 'before the first LRP' });
    report({ name: 'server', value: rssMb(serverPid), unit: 'MiB', conditions });
    report({ name: 'database', value: rssMb(stack.databasePid), unit: 'MiB', conditions });
    report({ name: 'cells', value: rssMb(cells.pid ?? 0), unit: 'MiB', conditions });
  } finally {
    cells.kill('SIGTERM');
    await stack.close();
  }
}
