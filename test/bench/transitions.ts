import type { Report } from './figures.js';
import { REFERENCE } from './reference.js';
import { boundOf } from './stand/bound.js';
import { desireAll, reportAll } from './stand/lrps.js';
import { type CellReport, claimed, crashed, running } from './stand/reports.js';
import { BBS_ALONE, withLoadCells, withStand } from './stand/stand.js';
import { rssMb, watchUse } from './stand/usage.js';

const CELLS = 20;

/** Each pass begins with what the one before has left: crashes below three make an instance UNCLAIMED again. */
const PASSES: readonly {
  readonly name: string;
  readonly unit: string;
  readonly of: (processGuid: string) => readonly CellReport[];
  readonly reference?: string;
}[] = [
  { name: 'claims', unit: 'claims/s', of: (guid) => [claimed(guid)], reference: REFERENCE.claims },
  { name: 'starts', unit: 'starts/s', of: (guid) => [running(guid)], reference: REFERENCE.starts },
  { name: 'crashes', unit: 'crashes/s', of: (guid) => [crashed(guid)], reference: REFERENCE.crashes },
  {
    name: 'whole lives: claim, start, crash',
    unit: 'lives/s',
    of: (guid) => [claimed(guid), running(guid), crashed(guid)],
  },
];

/** Durable LRP transitions a second, by sessions of cells, into MariaDB. */
export function transitions(report: Report, { lrps }: { lrps: number }): Promise<void> {
  return withStand({ server: BBS_ALONE }, async (stand) => {
    const { client, processes, admin } = stand;
    const conditions = `${lrps} LRPs, ${CELLS} sessions, durable MariaDB on the same cores`;
    await desireAll(client, lrps);
    await withLoadCells(stand, CELLS, async (cells) => {
      for (const { name, unit, of, reference } of PASSES) {
        const from = performance.now();
        await reportAll(cells, lrps, of);
        const value = lrps / ((performance.now() - from) / 1000);
        report({ name, value, unit, conditions, ...(reference && { reference }) });
      }
      const use = await watchUse(processes, admin);
      const from = performance.now();
      await reportAll(cells, lrps, (guid) => [claimed(guid), running(guid)]);
      const seconds = (performance.now() - from) / 1000;
      const used = await use();
      report({ name: 'durable transitions', value: (2 * lrps) / seconds, unit: 'transitions/s', conditions });
      for (const { name, cores } of used.processes) {
        const value = (cores * used.seconds * 1e6) / (2 * lrps);
        report({ name: `CPU of the ${name}`, value, unit: 'µs/transition', conditions });
      }
      report({ name: 'server', value: rssMb(processes.server), unit: 'MiB', conditions });
      report({ name: 'driver', value: rssMb(processes.driver), unit: 'MiB', conditions });
      report(boundOf(used));
    });
  });
}
