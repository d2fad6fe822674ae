import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { DesiredLrp } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import { TaskDefinition } from '@rivera/gen/rivera/bbs/v1/task';
import { ContainerSpec as ContainerSpecOfGarden } from '@rivera/gen/rivera/garden/v1/container';
import { GardenServiceClient } from '@rivera/gen/rivera/garden/v1/garden_service';
import { type Action, RunAction } from '@rivera/gen/rivera/recipe/v1/action';
import { ContainerSpec } from '@rivera/gen/rivera/recipe/v1/container';
import type { ExecOutput } from '@rivera/gen/rivera/rep/v1/container';
import { type ExecRequest, ReadLogsRequest, RepServiceClient } from '@rivera/gen/rivera/rep/v1/rep_service';
import { systemClock } from '@rivera/kit/clock';
import { bidi, dial, serverStream, unary } from '@rivera/kit/grpc/dial';
import { TestBed } from '@rivera/kit/grpc/test-bed';
import { createLogger, type Logger, silentLogger } from '@rivera/kit/log';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { SimMachine } from '../garden/sim/machine.js';
import { FakeAuctioneer, lrpWork, taskWork } from '../rep/testing/fake-auctioneer.js';
import { FakeBbs } from '../rep/testing/fake-bbs.js';
import { CellAgent } from './cell-agent.js';
import { type CellConfig, cellConfig } from './config.js';
import { type SimulatedMachine, simulateMachine } from './parts.js';

const eventually = (check: () => void) => vi.waitFor(check, { timeout: 10_000, interval: 10 });
const runs = (path: string, ...args: string[]): Action => ({
  action: { $case: 'runAction', value: RunAction.fromPartial({ path, args, user: 'root' }) },
});
const container = ContainerSpec.fromPartial({ rootFs: 'preloaded:busybox', memoryMb: 10, diskMb: 10, logGuid: 'log' });

let bed: TestBed;
let dir: string;
let bbs: FakeBbs;
let auctioneer: FakeAuctioneer;
let config: CellConfig;
let simulated: SimulatedMachine;
let agents: CellAgent[];

beforeAll(async () => {
  bed = await TestBed.create();
});
afterAll(() => bed.close());

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rivera-agent-'));
  agents = [];
  bbs = new FakeBbs();
  bbs.definition = {
    ...DesiredLrp.fromPartial({ processGuid: 'web', domain: 'd' }),
    container,
    action: runs('/sim/run'),
    ports: [8080],
  };
  bbs.task = {
    ...TaskDefinition.fromPartial({ resultFile: '/result' }),
    container,
    action: runs('/sim/write', '/result', '42'),
  };
  auctioneer = new FakeAuctioneer();
  const host = await bed.host();
  bbs.serveOn(host);
  auctioneer.serveOn(host);
  const { port } = await host.listen('127.0.0.1:0');
  config = cellConfig.parse({
    cellId: 'cell-1',
    servers: [`127.0.0.1:${port}`],
    listen: '127.0.0.1:0',
    dataDir: dir,
    backend: 'sim',
    memoryMb: 1_000,
    stopTimeout: '5s',
    tls: { ca: 'given', cert: 'given', key: 'given' },
  });
  simulated = simulateMachine(config, systemClock);
});
afterEach(async () => {
  for (const agent of agents) await agent.close({ stopContainers: false });
  await rm(dir, { recursive: true });
});

async function make(
  changes: Partial<CellConfig> = {},
  { name = 'cell-1', logger = silentLogger }: { name?: string; logger?: Logger } = {},
): Promise<CellAgent> {
  const identity = await bed.identity('cell', name);
  const agent = new CellAgent({ ...config, ...changes }, { logger, identity, simulated });
  agents.push(agent);
  return agent;
}

async function started(logger?: Logger): Promise<CellAgent> {
  const agent = await make({}, logger === undefined ? {} : { logger });
  await agent.start();
  await eventually(() => expect(agent.connected).toBe(true));
  return agent;
}

it.each(['127.0.0.1:0', 'unix:'])('serves its garden at %s when it is told to, and to nobody else', async (where) => {
  const listen = where === 'unix:' ? `unix:${join(dir, 'garden.sock')}` : where;
  const agent = await make({ garden: { listen } });
  await agent.start();
  await eventually(() => expect(agent.connected).toBe(true));
  auctioneer.send([lrpWork('w1', 0)]);
  await eventually(() => expect(announced()).toHaveLength(1));
  const identity = await bed.identity('garden', 'ops');
  const garden = dial(GardenServiceClient, agent.gardenAddress ?? '', identity, {
    expect: 'cell',
    expectName: 'cell-1',
  });
  const stranger = dial(GardenServiceClient, agent.gardenAddress ?? '', await bed.identity('server'), {
    expect: 'cell',
  });
  try {
    const all = { properties: {}, pageSize: 0, pageToken: '' };
    const { containers } = await unary(garden, garden.listContainers, all);
    expect(containers).toMatchObject([{ managed: true }]);
    const handle = containers[0]?.spec?.handle ?? '';
    await expect(unary(garden, garden.destroyContainer, { handle })).rejects.toMatchObject({
      reason: 'CONTAINER_MANAGED',
    });
    const spec = ContainerSpecOfGarden.fromPartial({ handle: 'mine', rootFs: 'preloaded:busybox' });
    await unary(garden, garden.createContainer, { spec, imageCredentials: undefined });
    await expect(unary(stranger, stranger.ping, {})).rejects.toMatchObject({ reason: 'PERMISSION_DENIED' });
    // What clients made outlives the agent as the rest does, and isn't taken for a leftover.
    await agent.close({ stopContainers: false });
    const later = await make({ garden: { listen } });
    await later.start();
    expect(later.gardenAddress).toBeDefined();
    expect([...simulated.machine.containers.keys()].sort()).toEqual([handle, 'mine'].sort());
    await later.close({ stopContainers: false });
  } finally {
    garden.close();
    stranger.close();
  }
  expect((await make()).gardenAddress).toBeUndefined();
});

const announced = () => bbs.seen.filter((seen) => seen.startsWith('running '));

describe('a cell agent', () => {
  it('announces itself, takes work and runs it', async () => {
    const agent = await started();
    expect(bbs.hellos[0]).toMatchObject({
      presence: {
        cellId: 'cell-1',
        repAddress: agent.repAddress,
        capacity: { memoryMb: 1_000 },
        rootFsProviders: [
          { name: 'preloaded', properties: ['busybox'] },
          { name: 'preloaded+layer', properties: ['busybox'] },
        ],
      },
    });
    auctioneer.send([lrpWork('w1', 0), taskWork('w2', 'job')]);
    await eventually(() => expect(bbs.seen).toContain('complete job: 42'));
    await eventually(() => expect(announced()).toHaveLength(1));
    const running = bbs.transitions.find(({ transition }) => transition?.$case === 'lrpRunning')?.transition;
    expect(running?.value).toMatchObject({
      netInfo: { address: '127.0.0.1', ports: [{ containerPort: 8080, hostPort: 61_001 }] },
      routable: true,
    });
    await eventually(() => expect(auctioneer.deltas.at(-1)?.available).toMatchObject({ memoryMb: 990 }));
  });

  it('that is told to drain at its end waits until the BBS had everything stopped', async () => {
    const agent = await started();
    auctioneer.send([lrpWork('w1', 0)]);
    await eventually(() => expect(announced()).toHaveLength(1));
    const instanceGuid = announced()[0]?.slice('running '.length) ?? '';
    const closed = agent.close({ drains: true });
    await eventually(() => expect(bbs.updates).toEqual([true]));
    expect(simulated.machine.containers.size).toBe(1);
    bbs.command({
      $case: 'stopLrp',
      value: { key: { processGuid: 'web', index: 0, domain: 'd' }, instanceGuid, reason: 'its replacement runs' },
    });
    await closed;
    expect(bbs.seen).toContain(`remove ${instanceGuid}`);
    expect(simulated.machine.containers.size).toBe(0);
  });

  it('leaves containers behind and goes on with them when it is started again', async () => {
    const first = await started();
    auctioneer.send([lrpWork('w1', 0)]);
    await eventually(() => expect(announced()).toHaveLength(1));
    await first.close();
    expect(bbs.seen.some((seen) => seen.startsWith('crash') || seen.startsWith('remove'))).toBe(false);
    await started();
    await eventually(() => expect(announced()).toHaveLength(2));
    expect(new Set(announced()).size).toBe(1);
    expect(simulated.machine.containers.size).toBe(1);
    expect(auctioneer.bids.at(-1)?.held).toHaveLength(1);
  });

  it('tells what ended while it was away', async () => {
    bbs.definition = { ...(bbs.definition as DesiredLrp), action: runs('/sim/exit', '3', '300') };
    const first = await started();
    auctioneer.send([lrpWork('w1', 0)]);
    await eventually(() => expect(announced()).toHaveLength(1));
    await first.close();
    const [process] = [...simulated.machine.containers.values()].flatMap((one) => [...one.processes.values()]);
    await eventually(() => expect(process?.status?.code).toBe(3));
    await started();
    await eventually(() => expect(bbs.seen.at(-1)).toMatch(/^crash .*: .*Exited with status 3$/));
    await eventually(() => expect(simulated.machine.containers.size).toBe(0));
  });

  it('stops its containers on exit when it is told to, and the BBS knows', async () => {
    const agent = await started();
    auctioneer.send([lrpWork('w1', 0), lrpWork('w2', 1)]);
    await eventually(() => expect(announced()).toHaveLength(2));
    await agent.close({ stopContainers: true });
    expect(bbs.seen.filter((seen) => seen.startsWith('remove '))).toHaveLength(2);
    expect(bbs.updates).toEqual([true]);
    expect(simulated.machine.containers.size).toBe(0);
  });

  it('does not wait for ever for a BBS that does not answer', async () => {
    const agent = await make({ stopTimeout: 300 });
    await agent.start();
    await eventually(() => expect(agent.connected).toBe(true));
    auctioneer.send([lrpWork('w1', 0)]);
    await eventually(() => expect(announced()).toHaveLength(1));
    bbs.answer = () => undefined;
    await agent.close({ stopContainers: true });
    expect(bbs.seen.at(-1)).toMatch(/^remove /);
  });

  it.each([
    [[], 1],
    [['busybox'], 0],
  ])('with the root filesystems %j warns of their lack %d times, and names the folder', async (rootFs, warnings) => {
    simulated = { ...simulated, machine: new SimMachine({ clock: systemClock, rootFs }) };
    const written = new PassThrough();
    await started(createLogger({ name: 'cell', level: 'warn', destination: written }));
    const lines = String(written.read() ?? '')
      .split('\n')
      .filter((line) => line.includes('no root filesystem'));
    expect(lines).toHaveLength(warnings);
    for (const line of lines) expect(JSON.parse(line)).toMatchObject({ rootFsDir: join(dir, 'rootfs') });
  });

  it('shares its data folder with no other agent, and gives it up when it ends', async () => {
    const first = await started();
    await expect((await make()).start()).rejects.toThrow('another cell agent is using the data folder');
    await first.close();
    await started();
  });

  it('refuses an identity that is not its own', async () => {
    await expect((await make({}, { name: 'cell-2' })).start()).rejects.toThrow('the certificate is for cell "cell-2"');
    await started();
  });
});

describe('through its rep service', () => {
  it('people reach a container by the name of its work', async () => {
    const agent = await started();
    auctioneer.send([lrpWork('w1', 0)]);
    await eventually(() => expect(announced()).toHaveLength(1));
    const client = dial(RepServiceClient, agent.repAddress, await bed.identity('server'), { expect: 'cell' });
    try {
      const stream = bidi(() => client.exec());
      const target = { target: { $case: 'instance', value: { processGuid: 'web', index: 0 } } } as const;
      const start: ExecRequest = {
        input: {
          input: {
            $case: 'start',
            value: {
              target,
              path: '/sim/print',
              args: ['hello', 'world'],
              env: [],
              dir: '',
              user: '',
              terminal: undefined,
            },
          },
        },
      };
      await stream.write(start);
      const outputs: NonNullable<ExecOutput['output']>[] = [];
      for await (const { output } of stream.responses) if (output?.output) outputs.push(output.output);
      expect(outputs.map(({ $case }) => $case)).toEqual(['started', 'stdout', 'exit']);
      expect(String(outputs[1]?.value)).toBe('hello\nworld\n');
      const filter = {
        processGuid: 'web',
        taskGuid: '',
        index: undefined,
        source: '',
        since: undefined,
        tail: 0,
        follow: false,
      };
      const lines: string[] = [];
      for await (const { entries } of serverStream(() => client.readLogs(ReadLogsRequest.create({ filter })))) {
        lines.push(...entries.map(({ payload }) => payload.toString()));
      }
      expect(lines.some((line) => line.includes('successfully created container'))).toBe(true);
    } finally {
      client.close();
    }
  });
});
