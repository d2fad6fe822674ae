import { DesiredLrpView } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import type { Report } from './figures.js';
import { REFERENCE } from './reference.js';
import { boundOf } from './stand/bound.js';
import { desireAll, runAll } from './stand/lrps.js';
import { BBS_ALONE, withLoadCells, withStand } from './stand/stand.js';
import { rssMb, watchUse } from './stand/usage.js';

const CELLS = 20;
const ACTUAL_PAGE = 5_000;
const DESIRED_PAGE = 1_000;

/** All records through the API, page by page, as one client reads them. */
export function listing(report: Report, { lrps }: { lrps: number }): Promise<void> {
  return withStand({ server: BBS_ALONE }, async (stand) => {
    const { client, processes, admin } = stand;
    await desireAll(client, lrps);
    await withLoadCells(stand, CELLS, (cells) => runAll(cells, lrps));
    report({
      name: 'server before',
      value: rssMb(processes.server),
      unit: 'MiB',
      conditions: `${lrps} LRPs RUNNING`,
    });

    const { actualLrps, desiredLrps } = client;
    const lists = [
      {
        name: 'all actual LRPs',
        page: ACTUAL_PAGE,
        list: () => actualLrps.list({ pageSize: ACTUAL_PAGE }),
        reference: REFERENCE.listActual,
      },
      {
        name: 'all desired LRPs, scheduling view',
        page: DESIRED_PAGE,
        list: () => desiredLrps.list({ pageSize: DESIRED_PAGE, view: DesiredLrpView.SCHEDULING }),
        reference: undefined,
      },
      {
        name: 'all desired LRPs, full view',
        page: DESIRED_PAGE,
        list: () => desiredLrps.list({ pageSize: DESIRED_PAGE, view: DesiredLrpView.FULL }),
        reference: REFERENCE.listDesired,
      },
    ];
    for (const { name, page, list, reference } of lists) {
      const use = await watchUse(processes, admin);
      const count = await length(list());
      const used = await use();
      if (count !== lrps) throw new Error(`${name}: ${count} of ${lrps} were listed`);
      const conditions = `${lrps} LRPs RUNNING, pages of at most ${page}, one client`;
      report({ name, value: used.seconds, unit: 's', conditions, ...(reference && { reference }) });
      report({ name, value: lrps / used.seconds, unit: 'LRPs/s', conditions });
      report(boundOf(used));
    }
    report({
      name: 'server after',
      value: rssMb(processes.server),
      unit: 'MiB',
      conditions: `${lrps} LRPs RUNNING, all listed three times`,
      reference: REFERENCE.memoryAfterBulkReads,
    });
  });
}

async function length(records: AsyncIterable<unknown>): Promise<number> {
  let count = 0;
  for await (const _ of records) count++;
  return count;
}
