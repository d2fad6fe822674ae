import { join } from 'node:path';
import { Writable } from 'node:stream';
import { BidServiceClient } from '@rivera/gen/rivera/auction/v1/bid_service';
import { ActualLrpState } from '@rivera/gen/rivera/bbs/v1/actual_lrp';
import { DesiredLrp } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import { CellSessionServiceClient } from '@rivera/gen/rivera/bbs/v1/session_service';
import { TaskDefinition, TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import { Action } from '@rivera/gen/rivera/recipe/v1/action';
import { ContainerSpec } from '@rivera/gen/rivera/recipe/v1/container';
import { bidi, dial } from '@rivera/kit/grpc/dial';
import { createLogger } from '@rivera/kit/log';
import { connect, type RiveraClient } from '@rivera/sdk/client';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { WireCell } from '../auction/simulation/wire-cell.js';
import { bid } from '../auction/testing/samples.js';
import { presence, RUNNING_FACTS } from '../bbs/core/testing.js';
import { ScriptedCell } from '../bbs/testing.js';
import { PrivateMariaDb } from '../database/private-mariadb.js';
import { useTestDatabase } from '../database/testing.js';
import type { RunningServer } from '../program.js';
import { SERVER_METRICS } from './catalogue.js';
import { ask, metricsOf, ServerBench } from './testing.js';

const test = useTestDatabase();
const eventually = <T>(check: () => Promise<T> | T) => vi.waitFor(check, { timeout: 15_000, interval: 25 });
const SECRET = 'hunter2';

const container = ContainerSpec.fromPartial({
  rootFs: 'preloaded:base',
  memoryMb: 1,
  environmentVariables: [{ name: 'PASSWORD', value: SECRET }],
});
const action = Action.fromPartial({
  action: { $case: 'runAction', value: { path: '/bin/app', user: 'root', args: [SECRET] } },
});

let bench: ServerBench;
let server: RunningServer;
let client: RiveraClient;
const logged: string[] = [];

beforeAll(async () => {
  bench = await ServerBench.open();
  const destination = new Writable({
    write(line, _, done) {
      logged.push(String(line));
      done();
    },
  });
  const log = createLogger({ name: 'server', destination });
  server = await bench.start(test.url, { bbs: { slowCommit: 1 } }, log);
  await eventually(() => expect(server.leading()).toBe(true));
  const { caPem: ca, certPem: cert, keyPem: key } = await bench.identity('client', 'ada');
  client = connect({ servers: [server.address], tls: { ca, cert, key } });
  bench.onClose(() => client.close());
});
afterAll(() => bench.close());

/** A cell that has a session, and bids. */
async function joinCell(cellId: string): Promise<ScriptedCell> {
  const identity = await bench.identity('cell', cellId);
  const sessions = dial(CellSessionServiceClient, server.address, identity);
  const bids = dial(BidServiceClient, server.address, identity);
  const cell = new ScriptedCell(
    cellId,
    bidi(() => sessions.session()),
  );
  const bidder = new WireCell(bids, bid(cellId, { total: { memoryMb: 1000, diskMb: 1000, containers: 1000 } }));
  bench.onClose(() => {
    cell.hangUp();
    bidder.hangUp();
    sessions.close();
    bids.close();
  });
  await cell.say({ $case: 'hello', value: { presence: presence(cellId), incarnation: 'i1' } });
  await cell.hears();
  return cell;
}

const desire = (processGuid: string, instances: number) =>
  client.desiredLrps.desire(
    DesiredLrp.fromPartial({
      processGuid,
      domain: 'd',
      instances,
      container,
      action,
      annotation: SECRET,
      routes: { 'diego-ssh': `{"private_key":"${SECRET}"}` },
    } as never),
  );

async function count<T>(items: AsyncIterable<T>, matches: (item: T) => boolean): Promise<number> {
  let found = 0;
  for await (const item of items) if (matches(item)) found++;
  return found;
}

describe('the metrics of a server that leads', () => {
  it('are the numbers of a listing', async () => {
    const cell = await joinCell('c1');
    await desire('web', 5);
    await desire('other', 2);
    for (const taskGuid of ['t1', 't2', 't3']) {
      const definition = TaskDefinition.fromPartial({ container, action, annotation: SECRET } as never);
      await client.tasks.desire({ taskGuid, domain: 'd', definition });
    }
    const of = (index: number) => ({
      key: { processGuid: 'web', index, domain: 'd' },
      instanceGuid: `i-${index}`,
      includeDefinition: false,
    });
    await cell.reports(
      { $case: 'lrpClaimed', value: of(0) },
      { $case: 'lrpClaimed', value: of(1) },
      { $case: 'lrpClaimed', value: of(2) },
      { $case: 'lrpRunning', value: { ...of(0), ...RUNNING_FACTS } as never },
      { $case: 'lrpRunning', value: { ...of(1), ...RUNNING_FACTS } as never },
      { $case: 'taskStarted', value: { taskGuid: 't1', executionGuid: 'e1', includeDefinition: false } },
      { $case: 'taskStarted', value: { taskGuid: 't2', executionGuid: 'e2', includeDefinition: false } },
      {
        $case: 'taskCompleted',
        value: { taskGuid: 't2', executionGuid: 'e2', failed: true, failureReason: 'no', result: '' },
      },
    );
    await desire('other', 2);
    await client.desiredLrps.remove('other');

    const numbers = await metricsOf(server);
    for (const [state, alias] of [
      ['UNCLAIMED', 'LRPsUnclaimed'],
      ['CLAIMED', 'LRPsClaimed'],
      ['RUNNING', 'LRPsRunning'],
      ['CRASHED', 'CrashedActualLRPs'],
    ] as const) {
      const listed = await count(client.actualLrps.list(), (lrp) => lrp.state === ActualLrpState[state]);
      const name = `rivera_bbs_lrp_instances{presence="ordinary",state="${state.toLowerCase()}"}`;
      expect([state, numbers.get(name), numbers.get(alias)]).toEqual([state, listed, listed]);
    }
    for (const state of ['PENDING', 'RUNNING', 'COMPLETED', 'RESOLVING'] as const) {
      const listed = await count(client.tasks.list(), (task) => task.state === TaskState[state]);
      const name = `rivera_bbs_tasks{state="${state.toLowerCase()}"}`;
      expect([state, numbers.get(name)]).toEqual([state, listed]);
    }
    expect(Object.fromEntries(numbers)).toMatchObject({
      LRPsRunning: 2,
      LRPsClaimed: 1,
      TasksRunning: 1,
      TasksCompleted: 1,
      LRPsDesired: 5,
      PresentCells: 1,
      rivera_bbs_sessions: 1,
      'TasksStarted{cell_id="c1"}': 2,
      'TasksFailed{cell_id="c1"}': 1,
      'LockHeld{lease="bbs"}': 1,
      'LockHeld{lease="auctioneer"}': 1,
      BBSMasterElected: 1,
    });
  });

  it('count what the auctioneer placed, and what fits nowhere', async () => {
    const before = await metricsOf(server);
    await desire('placed', 3);
    const definition = TaskDefinition.fromPartial({
      container: { ...container, memoryMb: 1_000_000 },
      action,
    } as never);
    await client.tasks.desire({ taskGuid: 'huge', domain: 'd', definition });
    await eventually(async () => {
      const now = await metricsOf(server);
      const grown = (name: string) => (now.get(name) ?? 0) - (before.get(name) ?? 0);
      expect(grown('AuctioneerLRPAuctionsStarted')).toBeGreaterThanOrEqual(3);
      expect(grown('AuctioneerTaskAuctionsFailed')).toBeGreaterThanOrEqual(1);
      expect(now.get('rivera_auction_cells{state="open"}')).toBe(1);
      expect(now.get('rivera_auction_capacity_total{resource="memory_mb"}')).toBe(1_000);
    });
  });

  it('tell what commits, calls and the database take', async () => {
    const numbers = await metricsOf(server);
    const commits = numbers.get('rivera_bbs_commits_total') ?? 0;
    expect(commits).toBeGreaterThan(5);
    expect(numbers.get('rivera_bbs_commit_seconds_count')).toBe(commits);
    expect(numbers.get('rivera_bbs_commit_rows_sum')).toBeGreaterThan(10);
    // What the auctioneer tells meanwhile may just be waiting for its transaction.
    await eventually(async () => expect((await metricsOf(server)).get('rivera_bbs_backlog_rows')).toBe(0));
    const call = 'service="rivera.bbs.v1.TaskService",method="DesireTask"';
    expect(numbers.get(`rivera_grpc_calls_total{${call},code="OK"}`)).toBe(4);
    expect(numbers.get('RequestLatency')).toBeGreaterThan(100_000);
    expect(numbers.get('rivera_database_statements_total{pool="state",outcome="ok"}')).toBeGreaterThan(commits);
    expect(numbers.get('rivera_database_statements_total{pool="leases",outcome="ok"}')).toBeGreaterThan(0);
  });

  it('know who watches', async () => {
    const watching = new AbortController();
    const items = client.watch({ signal: watching.signal })[Symbol.asyncIterator]();
    const first = items.next();
    await eventually(async () => expect((await metricsOf(server)).get('rivera_bbs_watchers')).toBe(1));
    watching.abort();
    await first.catch(() => undefined);
    await items.return?.();
    await eventually(async () => expect((await metricsOf(server)).get('rivera_bbs_watchers')).toBe(0));
  });

  it('are those of the documentation, and no others', async () => {
    const text = await (await ask(server, '/metrics')).text();
    const told = [...text.matchAll(/^# TYPE (\S+) /gm)].map((match) => match[1] ?? '');
    const documented = SERVER_METRICS.flatMap(({ specs }) => specs).flatMap(({ name, aliases = [] }) => [
      name,
      ...aliases.map((alias) => alias.name),
    ]);
    expect(told.sort()).toEqual(documented.sort());
  });
});

it('a slow commit is in the log, with what was in it', async () => {
  await eventually(async () => {
    await client.desiredLrps.update('web', { annotation: String(Math.random()) });
    expect(logged.some((line) => line.includes('a commit was slow'))).toBe(true);
  });
  const line = JSON.parse(logged.find((each) => each.includes('a commit was slow')) ?? '');
  expect(line).toMatchObject({
    ms: expect.any(Number),
    rows: expect.any(Number),
    commands: expect.any(Number),
    revision: expect.any(Number),
    written: { desiredLrps: expect.any(Number), actualLrps: expect.any(Number) },
  });
  expect((await metricsOf(server)).get('rivera_bbs_slow_commits_total')).toBeGreaterThan(0);
});

it('the state for support has every record and no secret', async () => {
  const definition = TaskDefinition.fromPartial({
    container,
    action,
    annotation: SECRET,
    completionCallbackUrl: `http://user:${SECRET}@127.0.0.1:1/${SECRET}`,
  } as never);
  await client.tasks.desire({ taskGuid: 'secretive', domain: 'd', definition });
  const text = await (await ask(server, '/debug/state')).text();
  const lines = text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  const of = (kind: string) => lines.filter((line) => line.kind === kind);
  expect(of('server')).toMatchObject([{ standing: 'leading', address: server.address }]);
  expect(of('desired-lrp')).toHaveLength(await count(client.desiredLrps.list(), () => true));
  expect(of('actual-lrp')).toHaveLength(await count(client.actualLrps.list(), () => true));
  expect(of('task').map(({ taskGuid }) => taskGuid)).toContain('secretive');
  expect(of('desired-lrp')[0]).toMatchObject({ routes: ['diego-ssh'], annotationLength: expect.any(Number) });
  expect(of('bidding-cell')).toMatchObject([{ cellId: 'c1', total: { memoryMb: 1_000 } }]);
  expect(lines.at(-1)).toEqual({ kind: 'end', lines: lines.length - 1 });
  expect(text).not.toContain(SECRET);
  expect(logged.join('')).not.toContain(SECRET);
});

describe('readiness', () => {
  const readiness = async (of: RunningServer) => {
    const response = await ask(of, '/readyz');
    return [response.status, ((await response.json()) as { reasons: string[] }).reasons] as const;
  };

  it('is given to the server that leads, and to one that stands by', async () => {
    const standby = await bench.start(test.url);
    expect((await ask(standby, '/healthz')).status).toBe(200);
    expect(await readiness(server)).toEqual([200, []]);
    expect(await readiness(standby)).toEqual([200, []]);
    const numbers = await metricsOf(standby);
    expect(numbers.get('LockHeld{lease="bbs"}')).toBe(0);
    expect([...numbers.keys()].filter((name) => name.startsWith('rivera_bbs_lrp_instances'))).toEqual([]);
    const lines = (await (await ask(standby, '/debug/state')).text()).trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line).kind)).toEqual(['server', 'end']);
  });

  it('is lost with the database, and comes back with it; health stays', async () => {
    const folder = join(bench.folder, 'db');
    let database = await PrivateMariaDb.start({ folder, durable: false, bufferPoolMb: 64 });
    try {
      const alone = await bench.start(database.url, { roles: ['bbs'] });
      await eventually(async () => expect(await readiness(alone)).toEqual([200, []]));
      await database.stop();
      await eventually(async () =>
        expect((await readiness(alone))[1]).toContainEqual(expect.stringMatching(/database/)),
      );
      expect((await ask(alone, '/healthz')).status).toBe(200);
      database = await PrivateMariaDb.start({ folder, durable: false, bufferPoolMb: 64 });
      await eventually(async () => expect(await readiness(alone)).toEqual([200, []]));
      await alone.close();
    } finally {
      await database.stop();
    }
  });
});

it('without a port there is nothing to ask', async () => {
  const quiet = await bench.start(test.url, { admin: {}, roles: ['locket'] });
  expect(quiet.adminAddress).toBeUndefined();
});
