import { until } from '../stack/until.js';
import { task } from '../stack/work.js';
import { quantile, type Report } from './figures.js';
import { runAction } from './programs.js';
import { withStand } from './stand/stand.js';

/** From asking for a Task to knowing that it has ended, `/bin/true` in a real container. */
export function taskLatency(report: Report, { tasks }: { tasks: number }): Promise<void> {
  return withStand({ cells: 1 }, async ({ client }) => {
    await until('the cell is there', async () => {
      for await (const _ of client.cells.list()) return true;
      return false;
    });
    const definition = { ...task(''), action: runAction('/bin/true') };
    const run = async (taskGuid: string) => {
      const from = performance.now();
      await client.tasks.desire({ taskGuid, domain: 'bench', definition });
      const done = await client.tasks.waitForCompletion(taskGuid, { timeoutMs: 60_000 });
      if (done.failed) throw new Error(done.failureReason);
      return performance.now() - from;
    };
    for (let i = 0; i < 5; i++) await run(`warm-${i}`);
    const latencies: number[] = [];
    for (let i = 0; i < tasks; i++) latencies.push(await run(`task-${i}`));
    const conditions = `${tasks} tasks one after the other, /bin/true, 32 MiB disk quota, network`;
    report({ name: 'task p50', value: quantile(latencies, 0.5), unit: 'ms', conditions });
    report({ name: 'task p99', value: quantile(latencies, 0.99), unit: 'ms', conditions });
  });
}
