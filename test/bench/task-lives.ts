import type { RiveraClient } from '@rivera/sdk/client';
import { task } from '../stack/work.js';
import { quantile, type Report } from './figures.js';
import { REFERENCE } from './reference.js';
import { boundOf } from './stand/bound.js';
import { byCallers } from './stand/callers.js';
import type { LoadCell } from './stand/load-cell.js';
import { taskCompleted, taskStarted } from './stand/reports.js';
import { BBS_ALONE, withLoadCells, withStand } from './stand/stand.js';
import { watchUse } from './stand/usage.js';

const CALLERS = 64;
const CELLS = 8;
const WARM_UP = 500;
/** Tasks that a session reports on at a time. */
const REPORTED_TOGETHER = 100;

/**
 * Whole lives of Tasks without containers: desired, started and completed by a session, resolved, deleted; every step durable. By single
 * calls, of which each caller waits for one after the other, and over three streams.
 */
export function taskLives(report: Report, { tasks }: { tasks: number }): Promise<void> {
  return withStand({ server: BBS_ALONE }, (stand) =>
    withLoadCells(stand, CELLS, async (cells) => {
      const { client, processes, admin } = stand;
      await byCallers({ callers: CALLERS, count: WARM_UP }, (number) =>
        live({ client, cells, number, prefix: 'warm' }),
      );

      const singleUse = await watchUse(processes, admin);
      const latenciesMs = await byCallers({ callers: CALLERS, count: tasks }, (number) =>
        live({ client, cells, number, prefix: 'single' }),
      );
      const single = await singleUse();
      const conditions = `${tasks} Tasks, ${CALLERS} callers, ${CELLS} sessions, 5 durable steps each, MariaDB on the same cores`;
      const reference = REFERENCE.taskLives;
      report({ name: 'whole Task lives', value: tasks / single.seconds, unit: 'lives/s', conditions, reference });
      const p50 = quantile(latenciesMs, 0.5);
      report({ name: 'Task life p50', value: p50, unit: 'ms', conditions, reference: REFERENCE.taskLifeP50 });
      report({ name: 'Task life p99', value: quantile(latenciesMs, 0.99), unit: 'ms', conditions });
      report(boundOf(single));

      const streamUse = await watchUse(processes, admin);
      await liveInBulk({ client, cells, count: tasks });
      const streamed = await streamUse();
      const value = tasks / streamed.seconds;
      const inBulk = `${tasks} Tasks over 3 streams and ${CELLS} sessions, 5 durable steps each, MariaDB on the same cores`;
      report({ name: 'whole Task lives in bulk', value, unit: 'lives/s', conditions: inBulk, reference });
      report(boundOf(streamed));
    }),
  );
}

const definition = task('true');

async function live(o: {
  client: RiveraClient;
  cells: readonly LoadCell[];
  number: number;
  prefix: string;
}): Promise<void> {
  const { tasks } = o.client;
  const taskGuid = `${o.prefix}-${o.number}`;
  const cell = o.cells[o.number % o.cells.length];
  await tasks.desire({ taskGuid, domain: 'bench', definition });
  await cell?.report([taskStarted(taskGuid)]);
  await cell?.report([taskCompleted(taskGuid)]);
  await tasks.resolve(taskGuid);
  await tasks.delete(taskGuid);
}

/** Each stage takes what the one before has done: a Task is never ahead of what is durable of it. */
async function liveInBulk(o: { client: RiveraClient; cells: readonly LoadCell[]; count: number }): Promise<void> {
  const { tasks } = o.client;
  const wanted = Array.from({ length: o.count }, (_, n) => ({ taskGuid: `bulk-${n}`, domain: 'bench', definition }));
  const desired = done(tasks.desireMany(wanted));
  const resolved = done(tasks.resolveMany(run(desired, o.cells)));
  let lives = 0;
  for await (const _taskGuid of done(tasks.deleteMany(resolved))) lives++;
  if (lives !== o.count) throw new Error(`${lives} of ${o.count} Tasks came to their end`);
}

async function* done(
  results: AsyncIterable<{ taskGuid: string; error: Error | undefined }>,
): AsyncGenerator<string, void, undefined> {
  for await (const { taskGuid, error } of results) {
    if (error !== undefined) throw error;
    yield taskGuid;
  }
}

/** Starts and completes Tasks on all cells at a time. */
async function* run(taskGuids: AsyncIterable<string>, cells: readonly LoadCell[]): AsyncGenerator<string> {
  const running: Promise<string[]>[] = [];
  let chunk: string[] = [];
  let turn = 0;
  const start = () => {
    const guids = chunk;
    chunk = [];
    const ended = runOn(cells[turn++ % cells.length] as LoadCell, guids);
    // Awaited when its turn comes.
    ended.catch(() => undefined);
    running.push(ended);
  };
  for await (const taskGuid of taskGuids) {
    chunk.push(taskGuid);
    if (chunk.length === REPORTED_TOGETHER) start();
    if (running.length === cells.length) yield* await (running.shift() as Promise<string[]>);
  }
  if (chunk.length > 0) start();
  for (const ended of running) yield* await ended;
}

async function runOn(cell: LoadCell, taskGuids: string[]): Promise<string[]> {
  await cell.report(taskGuids.map(taskStarted));
  await cell.report(taskGuids.map(taskCompleted));
  return taskGuids;
}
