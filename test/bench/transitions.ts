import { Stack } from '../stack/stack.js';
import { until } from '../stack/until.js';
import { claimed, cpuSeconds, LoadCell, running, smallLrp } from './bbs-stand.js';
import type { Report } from './figures.js';

const CELLS = 20;

/** Durable LRP transitions a second: every LRP claimed and run, by sessions of cells, into MariaDB. */
export async function transitions(report: Report, { lrps }: { lrps: number }): Promise<void> {
  const stack = await Stack.start({ cells: 0, durable: true, server: { roles: ['bbs', 'locket'] } });
  try {
    const client = await stack.client();
    await until('the server leads', () => client.domains.upsert('bench').then(() => true));
    const guids = Array.from({ length: lrps }, (_, i) => `lrp-${i}`);
    const desiredFrom = performance.now();
    for await (const result of client.desiredLrps.desireMany(guids.map((guid) => smallLrp(guid)))) {
      if ('error' in result && result.error !== undefined) throw result.error;
    }
    const conditions = `${lrps} LRPs, ${CELLS} sessions, durable MariaDB on the same cores`;
    report({
      name: 'bulk desires',
      value: lrps / ((performance.now() - desiredFrom) / 1000),
      unit: 'LRPs/s',
      conditions,
    });
    const cells: LoadCell[] = [];
    for (let i = 0; i < CELLS; i++) {
      const cell = new LoadCell(`load-${i}`, stack.addresses[0] ?? '', await stack.identity('cell', `load-${i}`));
      await cell.open();
      cells.push(cell);
    }
    const serverPid = stack.servers[0]?.pid ?? 0;
    const cpu = { server: cpuSeconds(serverPid), database: cpuSeconds(stack.databasePid), driver: process.cpuUsage() };
    const from = performance.now();
    const refused = await Promise.all(
      cells.map((cell, i) => {
        const mine = guids.filter((_, n) => n % CELLS === i);
        return cell.report(mine.flatMap((guid) => [claimed(guid), running(guid)]));
      }),
    );
    const seconds = (performance.now() - from) / 1000;
    if (refused.some((count) => count > 0)) throw new Error(`transitions were refused: ${refused}`);
    const used = process.cpuUsage(cpu.driver);
    report({ name: 'durable transitions', value: (2 * lrps) / seconds, unit: 'transitions/s', conditions });
    const perTransition = (cpuS: number) => (cpuS * 1e6) / (2 * lrps);
    for (const [name, cpuS] of [
      ['server', cpuSeconds(serverPid) - cpu.server],
      ['database', cpuSeconds(stack.databasePid) - cpu.database],
      ['driver', (used.user + used.system) / 1e6],
    ] as const) {
      report({ name: `CPU of the ${name}`, value: perTransition(cpuS), unit: 'µs/transition', conditions });
    }
    for (const cell of cells) cell.close();
  } finally {
    await stack.close();
  }
}
