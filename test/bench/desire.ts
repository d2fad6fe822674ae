import { Stack } from '../stack/stack.js';
import { until } from '../stack/until.js';
import { smallLrp } from './bbs-stand.js';
import { quantile, type Report } from './figures.js';

const CALLERS = 64;

/** Desires a second by single calls, each durable before it is answered. */
export async function desire(report: Report, { lrps }: { lrps: number }): Promise<void> {
  const stack = await Stack.start({ cells: 0, durable: true, server: { roles: ['bbs', 'locket'] } });
  try {
    const client = await stack.client();
    await until('the server leads', () => client.domains.upsert('bench').then(() => true));
    for (let i = 0; i < 500; i++) await client.desiredLrps.desire(smallLrp(`warm-${i}`));
    let next = 0;
    const latencies: number[] = [];
    const from = performance.now();
    const caller = async () => {
      while (next < lrps) {
        const guid = `lrp-${next++}`;
        const sent = performance.now();
        await client.desiredLrps.desire(smallLrp(guid));
        latencies.push(performance.now() - sent);
      }
    };
    await Promise.all(Array.from({ length: CALLERS }, caller));
    const seconds = (performance.now() - from) / 1000;
    const conditions = `${lrps} LRPs, ${CALLERS} callers, durable MariaDB on the same cores`;
    report({ name: 'unary desires', value: lrps / seconds, unit: 'LRPs/s', conditions });
    report({ name: 'desire p50', value: quantile(latencies, 0.5), unit: 'ms', conditions });
    report({ name: 'desire p99', value: quantile(latencies, 0.99), unit: 'ms', conditions });
  } finally {
    await stack.close();
  }
}
