import { quantile, type Report } from './figures.js';
import { REFERENCE } from './reference.js';
import { boundOf } from './stand/bound.js';
import { byCallers } from './stand/callers.js';
import { desireAll, smallLrp } from './stand/lrps.js';
import { BBS_ALONE, withStand } from './stand/stand.js';
import { watchUse } from './stand/usage.js';

const CALLERS = 64;
const WARM_UP = 500;

/** Desires a second by single calls and over one stream, each durable before it is answered. */
export function desire(report: Report, { lrps }: { lrps: number }): Promise<void> {
  return withStand({ server: BBS_ALONE }, async ({ client, processes, admin }) => {
    for (let i = 0; i < WARM_UP; i++) await client.desiredLrps.desire(smallLrp(`warm-${i}`));

    const unaryUse = await watchUse(processes, admin);
    const latenciesMs = await byCallers({ callers: CALLERS, count: lrps }, async (number) => {
      await client.desiredLrps.desire(smallLrp(`unary-${number}`));
    });
    const unary = await unaryUse();
    const conditions = `${lrps} LRPs, ${CALLERS} callers, durable MariaDB on the same cores`;
    const reference = REFERENCE.desires;
    report({ name: 'unary desires', value: lrps / unary.seconds, unit: 'LRPs/s', conditions, reference });
    report({ name: 'desire p50', value: quantile(latenciesMs, 0.5), unit: 'ms', conditions });
    report({ name: 'desire p99', value: quantile(latenciesMs, 0.99), unit: 'ms', conditions });
    report(boundOf(unary));

    const streamUse = await watchUse(processes, admin);
    const refused = await desireAll(client, lrps);
    const streamed = await streamUse();
    const inBulk = `${lrps} LRPs over one stream, durable MariaDB on the same cores`;
    report({
      name: 'bulk desires',
      value: lrps / streamed.seconds,
      unit: 'LRPs/s',
      conditions: inBulk,
      reference,
    });
    report({ name: 'bulk desires refused, sent again', value: refused, unit: 'LRPs', conditions: inBulk });
    report(boundOf(streamed));
  });
}
