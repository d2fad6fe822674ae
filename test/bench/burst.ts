import type { Report } from './figures.js';
import { boundOf } from './stand/bound.js';
import { desireAndRun, withSimCells } from './stand/sim-cells.js';
import { withStand } from './stand/stand.js';
import { rssMb, watchUse } from './stand/usage.js';

/** From an empty cluster to so many instances RUNNING: desired over one stream, placed, claimed, started, all of it durable. */
export function burst(report: Report, { lrps, cells }: { lrps: number; cells: number }): Promise<void> {
  return withStand({}, (stand) =>
    withSimCells(stand, cells, async (simulated) => {
      const processes = { ...stand.processes, cells: simulated };
      const use = await watchUse(processes, stand.admin);
      const { seconds, desiredSeconds, refused } = await desireAndRun(stand, lrps);
      const used = await use();
      const conditions = `${lrps} LRPs of one instance, ${cells} simulated cells, auctioneer and BBS in one server`;
      report({ name: 'empty to all RUNNING', value: seconds, unit: 's', conditions });
      report({ name: 'desire to RUNNING', value: lrps / seconds, unit: 'instances/s', conditions });
      report({ name: 'of this, all desired after', value: desiredSeconds, unit: 's', conditions });
      report({ name: 'desires refused, sent again', value: refused, unit: 'LRPs', conditions });
      for (const { name, cores } of used.processes) {
        const value = (cores * used.seconds * 1e6) / lrps;
        report({ name: `CPU of the ${name}`, value, unit: 'µs/instance', conditions });
      }
      for (const [name, pid] of Object.entries(processes)) {
        report({ name: `memory of the ${name}`, value: rssMb(pid), unit: 'MiB', conditions });
      }
      report(boundOf(used));
    }),
  );
}
