import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DesiredLrp } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import { RunAction } from '@rivera/gen/rivera/recipe/v1/action';
import { ContainerSpec } from '@rivera/gen/rivera/recipe/v1/container';
import { RepServiceClient } from '@rivera/gen/rivera/rep/v1/rep_service';
import { systemClock } from '@rivera/kit/clock';
import { bidi, dial, unary } from '@rivera/kit/grpc/dial';
import { TestBed } from '@rivera/kit/grpc/test-bed';
import { silentLogger } from '@rivera/kit/log';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { FakeAuctioneer, lrpWork } from '../rep/testing/fake-auctioneer.js';
import { FakeBbs } from '../rep/testing/fake-bbs.js';
import { CellAgent } from './cell-agent.js';
import { ALL_CELL_METRICS } from './cell-metrics.js';
import { cellConfig } from './config.js';
import { simulateMachine } from './parts.js';

const SECRET = 'hunter2';
const eventually = <T>(check: () => Promise<T> | T) => vi.waitFor(check, { timeout: 10_000, interval: 20 });

let bed: TestBed;
let dir: string;
let bbs: FakeBbs;
let auctioneer: FakeAuctioneer;
let agent: CellAgent;

beforeEach(async () => {
  bed = await TestBed.create();
  dir = await mkdtemp(join(tmpdir(), 'rivera-cell-admin-'));
  bbs = new FakeBbs();
  bbs.definition = {
    ...DesiredLrp.fromPartial({ processGuid: 'web', domain: 'd' }),
    container: ContainerSpec.fromPartial({
      rootFs: 'preloaded:busybox',
      memoryMb: 10,
      diskMb: 10,
      logGuid: 'log',
      environmentVariables: [{ name: 'PASSWORD', value: SECRET }],
    }),
    action: { action: { $case: 'runAction', value: RunAction.fromPartial({ path: '/sim/run', user: 'root' }) } },
    ports: [8080],
  };
  auctioneer = new FakeAuctioneer();
});
afterEach(async () => {
  await agent.close({ stopContainers: false });
  await bed.close();
  await rm(dir, { recursive: true });
});

async function start(servers?: string[]): Promise<void> {
  const host = await bed.host();
  bbs.serveOn(host);
  auctioneer.serveOn(host);
  const { port } = await host.listen('127.0.0.1:0');
  const config = cellConfig.parse({
    cellId: 'cell-1',
    servers: servers ?? [`127.0.0.1:${port}`],
    listen: '127.0.0.1:0',
    dataDir: dir,
    backend: 'sim',
    memoryMb: 1_000,
    diskMb: 2_000,
    tls: { ca: 'given', cert: 'given', key: 'given' },
    admin: { port: 0 },
    audit: { file: join(dir, 'audit.log') },
  });
  const identity = await bed.identity('cell', 'cell-1');
  agent = new CellAgent(config, { logger: silentLogger, identity, simulated: simulateMachine(config, systemClock) });
  await agent.start();
}

const ask = (path: string) => fetch(`http://${agent.adminAddress}${path}`);
const readiness = async () => {
  const response = await ask('/readyz');
  return [response.status, ((await response.json()) as { reasons: string[] }).reasons] as const;
};
async function numbers(): Promise<Map<string, number>> {
  const lines = (await (await ask('/metrics')).text()).split('\n').filter((line) => /^[a-zA-Z]/.test(line));
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]),
  );
}

it('a cell is ready once BBS and auctioneer know it, and measures what it has', async () => {
  await start();
  await eventually(async () => expect(await readiness()).toEqual([200, []]));
  auctioneer.send([lrpWork('w1', 0)]);
  await eventually(async () => {
    expect((await numbers()).get('rivera_cell_containers{zone="z1",state="running"}')).toBe(1);
  });
  const now = Object.fromEntries(await numbers());
  expect(now).toMatchObject({
    'CapacityTotalMemory{zone="z1"}': 1_000,
    'CapacityTotalDisk{zone="z1"}': 2_000,
    'ContainerCount{zone="z1"}': 1,
    'StartingContainerCount{zone="z1"}': 0,
    'rivera_cell_connected{stream="session"}': 1,
    'rivera_cell_connected{stream="bids"}': 1,
    'rivera_cell_garden_seconds_count{work="create",outcome="ok"}': 1,
    rivera_cell_evacuating: 0,
  });
  const remaining = now['CapacityRemainingMemory{zone="z1"}'] ?? 0;
  expect(remaining).toBeLessThan(1_000);
  expect(now['CapacityAllocatedMemory{zone="z1"}']).toBe(1_000 - remaining);
  expect(now.ContainerCreationDuration).toBeGreaterThan(0);
  expect(now.rivera_cell_log_lines_total).toBeGreaterThan(0);
});

it('a cell that nobody knows is alive, not ready, and says why', async () => {
  await start(['127.0.0.1:1']);
  expect((await ask('/healthz')).status).toBe(200);
  expect(await readiness()).toEqual([
    503,
    ['no BBS has a session with this cell', 'no auctioneer takes bids of this cell'],
  ]);
  expect((await numbers()).get('rivera_cell_connected{stream="session"}')).toBe(0);
});

it('its metrics are those of the documentation, and no others', async () => {
  await start();
  const text = await (await ask('/metrics')).text();
  const told = [...text.matchAll(/^# TYPE (\S+) /gm)].map((match) => match[1] ?? '');
  const documented = ALL_CELL_METRICS.flatMap(({ specs }) => specs).flatMap(({ name, aliases = [] }) => [
    name,
    ...aliases.map((alias) => alias.name),
  ]);
  expect(told.sort()).toEqual(documented.sort());
});

it('its state names its containers, and no secret', async () => {
  await start();
  await eventually(() => expect(agent.connected).toBe(true));
  auctioneer.send([lrpWork('w1', 0)]);
  await eventually(async () => {
    const text = await (await ask('/debug/state')).text();
    const lines = text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(lines.map(({ kind }) => kind)).toEqual(['cell-agent', 'container', 'end']);
    expect(lines[1]).toMatchObject({ state: 'running', resources: { memoryMb: 10, diskMb: 10 } });
    expect(text).not.toContain(SECRET);
  });
});

it('writes down who ran what in its containers, as servers alone may do, and nothing that only reads', async () => {
  await start();
  const server = dial(RepServiceClient, agent.repAddress, await bed.identity('server', 'server-1'), {
    expect: 'cell',
  });
  try {
    await unary(server, server.getState, {});
    const instance = { processGuid: 'web', index: 0, instanceGuid: '' };
    const stream = bidi(() => server.exec());
    await stream.write({
      input: {
        input: {
          $case: 'start',
          value: {
            target: { target: { $case: 'instance', value: instance } },
            path: '/bin/sh',
            args: [SECRET],
            env: [],
            dir: '',
            user: 'root',
            terminal: undefined,
          },
        },
      },
    });
    const answers = (async () => {
      for await (const _ of stream.responses);
    })();
    await expect(answers).rejects.toThrow();
    const text = await eventually(async () => {
      const written = await readFile(join(dir, 'audit.log'), 'utf8');
      expect(written).toContain('/Exec');
      return written;
    });
    expect(JSON.parse(text.split('\n').find((line) => line.includes('/Exec')) ?? '')).toMatchObject({
      role: 'server',
      peer: 'server-1',
      processGuid: 'web',
      index: 0,
      path: '/bin/sh',
    });
    expect(text.trimEnd().split('\n')).toHaveLength(1);
    expect(text).not.toContain(SECRET);
  } finally {
    server.close();
  }
});
