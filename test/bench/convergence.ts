import { setTimeout as sleep } from 'node:timers/promises';
import { quantile, type Report } from './figures.js';
import { REFERENCE } from './reference.js';
import type { AdminPort } from './stand/admin-port.js';
import { boundOf } from './stand/bound.js';
import { desireAll, reportAll, runAll } from './stand/lrps.js';
import { crashed } from './stand/reports.js';
import { BBS_ALONE, withLoadCells, withStand } from './stand/stand.js';
import { watchUse } from './stand/usage.js';

const CELLS = 20;
const DUE_PART = 0.01;
/** Of a server by default: after so long an instance that waits for a cell is offered again. */
const KICK_MS = 30_000;
/** Shorter than a server has it by default, so that there are several audits to look at; one costs the same. */
const AUDIT_INTERVAL_S = 5;
const IDLE_MS = 25_000;
/** What is to be placed comes up twice meanwhile. */
const DUE_MS = 2 * KICK_MS + 5_000;
/** A pass is every 250 ms: looked at so often, none is missed. */
const LOOK_MS = 50;

type Kind = 'due' | 'audit';
interface Pass {
  readonly seconds: number;
  /** Records that were looked at since the pass before. */
  readonly looks: number;
}

/** What it costs the server to see that there is nothing to do, and to do what is due: by its own metrics. */
export function convergence(report: Report, { lrps }: { lrps: number }): Promise<void> {
  const server = { ...BBS_ALONE, bbs: { auditInterval: `${AUDIT_INTERVAL_S}s` } };
  return withStand({ server }, async (stand) => {
    const { client, processes, admin } = stand;
    const due = Math.ceil(lrps * DUE_PART);
    await desireAll(client, lrps);
    await withLoadCells(stand, CELLS, async (cells) => {
      await runAll(cells, lrps);
      // What the filling has left to be looked at is looked at before.
      await sleep(KICK_MS);

      const idleUse = await watchUse(processes, admin);
      const idle = await passesDuring(admin, IDLE_MS);
      const idleUsed = await idleUse();
      const nothing = `${lrps} LRPs RUNNING, ${CELLS} cells, nothing to do`;
      const reference = REFERENCE.convergencePass;
      report({ name: 'pass over what is due', ...median(idle.due), conditions: nothing, reference });
      report({ name: 'pass over everything (audit)', ...median(idle.audit), conditions: nothing, reference });
      const serverCores = idleUsed.processes.find(({ name }) => name === 'server')?.cores ?? Number.NaN;
      const everySo = `${nothing}, an audit every ${AUDIT_INTERVAL_S} s instead of 30 s`;
      report({ name: 'CPU of the idle server', value: serverCores, unit: 'cores', conditions: everySo });

      // Without an auctioneer a crashed instance waits, and is due again after each kick.
      await reportAll(cells, due, (guid) => [crashed(guid)]);
      const use = await watchUse(processes, admin);
      const busy = await passesDuring(admin, DUE_MS);
      const used = await use();
      const conditions = `${lrps} LRPs RUNNING, of which ${due} are to be placed, offered again every ${KICK_MS / 1000} s`;
      const full = busy.due.filter(({ looks }) => looks >= due / 2);
      report({ name: 'pass over what is due, 1 % due', ...median(full), conditions, reference });
      report({
        name: 'looks in such a pass',
        value: quantile(
          full.map((pass) => pass.looks),
          0.5,
        ),
        unit: 'LRPs',
        conditions,
      });
      report({ name: 'audit, 1 % due', ...median(busy.audit), conditions, reference });
      report(boundOf(used));
    });
  });
}

/** The passes of a span, each with what it cost. */
async function passesDuring(admin: AdminPort, spanMs: number): Promise<Record<Kind, Pass[]>> {
  const passes: Record<Kind, Pass[]> = { due: [], audit: [] };
  const until = performance.now() + spanMs;
  let before = await admin.metrics();
  while (performance.now() < until) {
    await sleep(LOOK_MS);
    const now = await admin.metrics();
    const grown = (name: string, labels = {}) => now.sum(name, labels) - before.sum(name, labels);
    for (const kind of ['due', 'audit'] as const) {
      const count = grown('rivera_bbs_convergence_seconds_count', { kind });
      if (count === 0) continue;
      const seconds = grown('rivera_bbs_convergence_seconds_sum', { kind }) / count;
      passes[kind].push({ seconds, looks: kind === 'due' ? grown('rivera_bbs_due_looks_total') : 0 });
    }
    before = now;
  }
  return passes;
}

function median(passes: readonly Pass[]) {
  return {
    value:
      1000 *
      quantile(
        passes.map(({ seconds }) => seconds),
        0.5,
      ),
    unit: 'ms',
  };
}
