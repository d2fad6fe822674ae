import type { Report } from './figures.js';
import { desireAndRun, withSimCells } from './stand/sim-cells.js';
import { withStand } from './stand/stand.js';
import { rssMb } from './stand/usage.js';

const CELLS = 100;

/** Resident memory of each process with many LRPs RUNNING on simulated cells. */
export function memory(report: Report, { lrps }: { lrps: number }): Promise<void> {
  return withStand({}, (stand) =>
    withSimCells(stand, CELLS, async (cells) => {
      const { server, database } = stand.processes;
      const idle = rssMb(server);
      const { seconds } = await desireAndRun(stand, lrps);
      const conditions = `${lrps} LRPs RUNNING on ${CELLS} simulated cells in one process`;
      report({ name: 'desire to RUNNING', value: lrps / seconds, unit: 'instances/s', conditions });
      report({ name: 'server, idle', value: idle, unit: 'MiB', conditions: 'before the first LRP' });
      report({ name: 'server', value: rssMb(server), unit: 'MiB', conditions });
      report({ name: 'database', value: rssMb(database), unit: 'MiB', conditions });
      report({ name: 'cells', value: rssMb(cells), unit: 'MiB', conditions });
    }),
  );
}
