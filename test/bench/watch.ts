import { setTimeout as sleep } from 'node:timers/promises';
import type { Report } from './figures.js';
import { REFERENCE } from './reference.js';
import { boundOf } from './stand/bound.js';
import type { LoadCell } from './stand/load-cell.js';
import { desireAll, guids, reportAll, runAll } from './stand/lrps.js';
import { claimed, crashed } from './stand/reports.js';
import { BBS_ALONE, type Stand, withLoadCells, withStand } from './stand/stand.js';
import { rssMb, watchUse } from './stand/usage.js';
import { type Watchers, withWatchers } from './stand/watchers.js';
import type { Watched } from './stand/watchers-process.js';

const CELLS = 20;
const WATCHERS = 50;
/** What the reference still does with so many watchers. */
const PACED_PER_S = 760;
const PACED_S = 15;
const STEPS_PER_S = 20;

/** What watchers see and when, and what they cost those who write. */
export function watch(report: Report, { lrps }: { lrps: number }): Promise<void> {
  return withStand({ server: BBS_ALONE }, async (stand) => {
    const server = stand.processes.server;
    await desireAll(stand.client, lrps);
    await withLoadCells(stand, CELLS, async (cells) => {
      const crashAll = (count: number) => reportAll(cells, count, (guid) => [crashed(guid)]);
      const alone = await fullSpeed(cells, lrps);
      await crashAll(lrps);
      report({ name: 'server before', value: rssMb(server), unit: 'MiB', conditions: `${lrps} LRPs, no watcher` });
      await withWatchers(stand, WATCHERS, async (watchers) => {
        const count = Math.min(lrps, PACED_PER_S * PACED_S);
        await paced({ report, stand, cells, watchers }, count);
        await crashAll(count);
        // What they saw of this is of no interest.
        await watchers.seen();
        await unpaced({ report, stand, cells, watchers }, { lrps, alone });
        report({
          name: 'server after',
          value: rssMb(server),
          unit: 'MiB',
          conditions: `${lrps} LRPs, ${WATCHERS} watchers`,
        });
        report({ name: 'watchers', value: rssMb(watchers.pid), unit: 'MiB', conditions: `${WATCHERS} in one process` });
      });
    });
  });
}

interface Watching {
  readonly report: Report;
  readonly stand: Stand;
  readonly cells: readonly LoadCell[];
  readonly watchers: Watchers;
}

/** At a pace that leaves nobody behind: what the way itself takes. */
async function paced({ report, stand, cells, watchers }: Watching, count: number): Promise<void> {
  const fromMs = Date.now();
  const use = await watchUse({ ...stand.processes, watchers: watchers.pid }, stand.admin);
  // Each cell has the share that it will have of everything.
  const shares = cells.map((_, first) => [...guids(count, { first, step: cells.length })]);
  const together = Math.ceil(PACED_PER_S / STEPS_PER_S);
  for (let done = 0; done < count; ) {
    for (const [i, share] of shares.entries()) {
      const part = share.splice(0, together);
      done += part.length;
      await cells[i]?.report(part.map(claimed));
      await sleep(fromMs + (1000 * done) / PACED_PER_S - Date.now());
    }
  }
  const used = await use();
  const seen = await watchers.seen();
  const conditions = `${PACED_PER_S} claims/s asked for, ${WATCHERS} watchers of all instances, from the decision, its transaction included`;
  report({
    name: 'paced: claims',
    value: count / used.seconds,
    unit: 'claims/s',
    conditions,
    reference: REFERENCE.watchedTransitions,
  });
  reportSeen({ report, pace: 'paced', conditions, fromMs }, seen);
  report(boundOf(used));
}

/** As fast as cells can: what watchers cost the writers, and whether they keep up. */
async function unpaced(
  { report, stand, cells, watchers }: Watching,
  { lrps, alone }: { lrps: number; alone: number },
): Promise<void> {
  const fromMs = Date.now();
  const use = await watchUse({ ...stand.processes, watchers: watchers.pid }, stand.admin);
  const watched = await fullSpeed(cells, lrps);
  const used = await use();
  const seen = await watchers.seen();
  const conditions = `${lrps} LRPs claimed and run at full speed, ${CELLS} sessions, ${WATCHERS} watchers of all instances`;
  const without = `${lrps} LRPs claimed and run at full speed, ${CELLS} sessions, no watcher`;
  report({ name: 'full speed: transitions alone', value: alone, unit: 'transitions/s', conditions: without });
  report({
    name: 'full speed: transitions watched',
    value: watched,
    unit: 'transitions/s',
    conditions,
    reference: REFERENCE.watchedTransitions,
  });
  report({ name: 'full speed: watched / alone', value: watched / alone, unit: 'ratio', conditions });
  reportSeen({ report, pace: 'full speed', conditions, fromMs }, seen);
  report(boundOf(used));
}

function reportSeen(
  { report, pace, conditions, fromMs }: { report: Report; pace: string; conditions: string; fromMs: number },
  { events, cutOff, p50Ms, p99Ms, lastAtMs }: Watched,
): void {
  const value = events / ((lastAtMs - fromMs) / 1000);
  const reference = REFERENCE.eventsDelivered;
  report({ name: `${pace}: events delivered`, value, unit: 'events/s', conditions, reference });
  report({ name: `${pace}: decision to delivery p50`, value: p50Ms, unit: 'ms', conditions });
  report({ name: `${pace}: decision to delivery p99`, value: p99Ms, unit: 'ms', conditions });
  report({ name: `${pace}: watchers cut off`, value: cutOff, unit: 'streams', conditions });
}

/** @returns transitions a second */
async function fullSpeed(cells: readonly LoadCell[], lrps: number): Promise<number> {
  const from = performance.now();
  await runAll(cells, lrps);
  return (2 * lrps) / ((performance.now() - from) / 1000);
}
