import type { Program } from '../stack/program.js';
import { until } from '../stack/until.js';
import { quantile, type Report } from './figures.js';
import { boundOf } from './stand/bound.js';
import { desireAll, runAll } from './stand/lrps.js';
import { BBS_ALONE, withLoadCells, withStand } from './stand/stand.js';
import { type Use, watchUse } from './stand/usage.js';
import { WriteProbe } from './stand/write-probe.js';

const CELLS = 20;
const LEASE_TTL_S = 15;
const PATIENCE_MS = 600_000;

interface Server {
  readonly program: Program;
  readonly probe: WriteProbe;
}

interface Round {
  readonly seconds: number;
  /** Between the last write that the leader took and the first that its successor did. */
  readonly pauseSeconds: number;
  readonly loadSeconds: number;
  readonly use: Use;
}

/** From the end of the leader to the first write that the standby takes, as whoever asks it all the time sees it. */
export function takeover(report: Report, { lrps, rounds }: { lrps: number; rounds: number }): Promise<void> {
  // The cells of the filling do not come back: nobody is to miss them.
  const server = { ...BBS_ALONE, bbs: { presenceTtl: '1h', leaseTtl: `${LEASE_TTL_S}s` } };
  return withStand({ servers: 2, server }, async (stand) => {
    const { stack, client } = stand;
    await desireAll(client, lrps);
    await withLoadCells(stand, CELLS, (cells) => runAll(cells, lrps));
    const identity = await stack.identity('client', 'probe');
    const servers = stack.servers.map((program, i) => ({
      program,
      probe: new WriteProbe(stack.addresses[i] ?? '', identity),
    }));
    try {
      for (const [name, end] of [
        ['kill -9', (leader: Program) => leader.kill()],
        ['SIGTERM', (leader: Program) => leader.stop()],
      ] as const) {
        const found: Round[] = [];
        for (let i = 0; i < rounds; i++) found.push(await round(servers, stack.databasePid, end));
        const conditions = `${lrps} LRPs RUNNING, lease TTL ${LEASE_TTL_S} s, median of ${rounds}`;
        const median = (of: (each: Round) => number) => quantile(found.map(of), 0.5);
        report({ name: `${name} to first write`, value: median(({ seconds }) => seconds), unit: 's', conditions });
        report({
          name: `${name}, nobody takes writes for`,
          value: median((each) => each.pauseSeconds),
          unit: 's',
          conditions,
        });
        report({
          name: 'of this, reading the state',
          value: median((each) => each.loadSeconds),
          unit: 's',
          conditions,
        });
        for (const { use } of found.slice(-1)) report(boundOf(use));
      }
    } finally {
      for (const { probe } of servers) probe.close();
    }
  });
}

/** Ends the leader in some way, waits for the standby's first write, and lets the other come back as the standby. */
async function round(
  servers: readonly Server[],
  database: number,
  end: (leader: Program) => Promise<void>,
): Promise<Round> {
  const { leader, standby } = await until('one of two leads', () => partsOf(servers));
  const use = await watchUse({ standby: standby.program.pid, database });
  const from = performance.now();
  const lastTaken = leader.probe.untilRefused();
  const ended = end(leader.program);
  await standby.probe.untilWritten(PATIENCE_MS);
  const writtenAt = performance.now();
  const seconds = (writtenAt - from) / 1000;
  const pauseSeconds = (writtenAt - (await lastTaken)) / 1000;
  const used = await use();
  await ended;
  leader.program.start();
  await until('the other stands by', () => leader.probe.standsBy());
  return { seconds, pauseSeconds, loadSeconds: loadSecondsOf(standby.program), use: used };
}

async function partsOf([one, other]: readonly Server[]): Promise<{ leader: Server; standby: Server } | undefined> {
  if (one === undefined || other === undefined) return undefined;
  if (await one.probe.writes()) return { leader: one, standby: other };
  return (await other.probe.writes()) ? { leader: other, standby: one } : undefined;
}

/** What the latest beginning of a term says of itself. */
function loadSecondsOf(program: Program): number {
  const begun =
    program
      .log()
      .split('\n')
      .findLast((line) => line.includes('"msg":"leading"')) ?? '{}';
  const { tookMs = Number.NaN } = JSON.parse(begun) as { tookMs?: number };
  return tookMs / 1000;
}
