import { task } from '../stack/work.js';
import { quantile, type Report } from './figures.js';
import { REFERENCE } from './reference.js';
import { boundOf } from './stand/bound.js';
import { byCallers } from './stand/callers.js';
import { taskCompleted, taskStarted } from './stand/reports.js';
import { BBS_ALONE, withLoadCells, withStand } from './stand/stand.js';
import { watchUse } from './stand/usage.js';

const CALLERS = 64;
const CELLS = 8;
const WARM_UP = 500;

/** Whole lives of Tasks without containers: desired, started and completed by a session, resolved, deleted; every step durable. */
export function taskLives(report: Report, { tasks }: { tasks: number }): Promise<void> {
  return withStand({ server: BBS_ALONE }, (stand) =>
    withLoadCells(stand, CELLS, async (cells) => {
      const { client, processes, admin } = stand;
      const definition = task('true');
      const live = async (taskGuid: string, number: number) => {
        const cell = cells[number % cells.length];
        await client.tasks.desire({ taskGuid, domain: 'bench', definition });
        await cell?.report([taskStarted(taskGuid)]);
        await cell?.report([taskCompleted(taskGuid)]);
        await client.tasks.resolve(taskGuid);
        await client.tasks.delete(taskGuid);
      };
      await byCallers({ callers: CALLERS, count: WARM_UP }, (number) => live(`warm-${number}`, number));
      const use = await watchUse(processes, admin);
      const latenciesMs = await byCallers({ callers: CALLERS, count: tasks }, (number) =>
        live(`task-${number}`, number),
      );
      const used = await use();
      const conditions = `${tasks} Tasks, ${CALLERS} callers, ${CELLS} sessions, 5 durable steps each, MariaDB on the same cores`;
      const value = tasks / used.seconds;
      report({ name: 'whole Task lives', value, unit: 'lives/s', conditions, reference: REFERENCE.taskLives });
      const p50 = quantile(latenciesMs, 0.5);
      report({ name: 'Task life p50', value: p50, unit: 'ms', conditions, reference: REFERENCE.taskLifeP50 });
      report({ name: 'Task life p99', value: quantile(latenciesMs, 0.99), unit: 'ms', conditions });
      report(boundOf(used));
    }),
  );
}
