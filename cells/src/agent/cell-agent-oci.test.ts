import { DesiredLrp } from '@rivera/gen/rivera/bbs/v1/desired_lrp';
import { TaskDefinition } from '@rivera/gen/rivera/bbs/v1/task';
import { type Action, RunAction } from '@rivera/gen/rivera/recipe/v1/action';
import { ContainerSpec } from '@rivera/gen/rivera/recipe/v1/container';
import { type ExecOutput, ExecStart } from '@rivera/gen/rivera/rep/v1/container';
import { RepServiceClient } from '@rivera/gen/rivera/rep/v1/rep_service';
import { systemClock } from '@rivera/kit/clock';
import { bidi, dial, serverStream } from '@rivera/kit/grpc/dial';
import { TestBed } from '@rivera/kit/grpc/test-bed';
import { silentLogger } from '@rivera/kit/log';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { type ScratchCell, scratchCell } from '../garden/oci/scratch-cell.js';
import { FakeAuctioneer, lrpWork, taskWork } from '../rep/testing/fake-auctioneer.js';
import { FakeBbs } from '../rep/testing/fake-bbs.js';
import { CellAgent } from './cell-agent.js';
import { type CellConfig, cellConfig } from './config.js';
import { RuntimeCheck } from './runtime-check.js';

const eventually = (check: () => void | Promise<void>) => vi.waitFor(check, { timeout: 20_000, interval: 20 });
const shell = (script: string): Action => ({
  action: { $case: 'runAction', value: RunAction.fromPartial({ path: '/bin/sh', args: ['-c', script], user: 'root' }) },
});
const container = ContainerSpec.fromPartial({
  rootFs: 'preloaded:busybox',
  memoryMb: 32,
  diskMb: 32,
  logGuid: 'log',
  environmentVariables: [{ name: 'GREETING', value: 'hello' }],
});
const web = { target: { $case: 'instance', value: { processGuid: 'web', index: 0 } } } as const;

let bed: TestBed;
let cell: ScratchCell;
let agent: CellAgent | undefined;
let config: CellConfig;
const bbs = new FakeBbs();
const auctioneer = new FakeAuctioneer();

beforeAll(async () => {
  bed = await TestBed.create();
  cell = await scratchCell();
  const host = await bed.host();
  bbs.serveOn(host);
  auctioneer.serveOn(host);
  const { port } = await host.listen('127.0.0.1:0');
  const { cellId, dataDir, rootFsDir, subnet, bridge } = cell.options;
  config = cellConfig.parse({
    cellId,
    servers: [`127.0.0.1:${port}`],
    listen: '127.0.0.1:0',
    dataDir,
    rootFsDir,
    subnet,
    bridge,
    memoryMb: 256,
    diskMb: 1_024,
    tls: { ca: 'given', cert: 'given', key: 'given' },
  });
});
afterAll(async () => {
  await agent?.close({ stopContainers: false });
  await cell?.remove();
  await bed?.close();
});

async function start(): Promise<CellAgent> {
  const identity = await bed.identity('cell', config.cellId);
  const made = new CellAgent(config, { logger: silentLogger, identity });
  agent = made;
  await made.start();
  await eventually(() => expect(made.connected).toBe(true));
  return made;
}

/** Host port of the newest announcement. */
function hostPort(): number {
  const announced = bbs.transitions.flatMap(({ transition }) =>
    transition?.$case === 'lrpRunning' ? [transition.value] : [],
  );
  return announced.at(-1)?.netInfo?.ports[0]?.hostPort ?? 0;
}

async function page(): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${hostPort()}/`, { headers: { connection: 'close' } });
  return response.text();
}

it('runs a web app and Tasks in real containers, lets people in, and finds everything again after a restart', async () => {
  bbs.definition = {
    ...DesiredLrp.fromPartial({ processGuid: 'web', domain: 'd' }),
    container,
    ports: [8080],
    action: shell(
      'mkdir -p /www && echo "$GREETING $INSTANCE_INDEX" > /www/index.html && exec httpd -f -p 8080 -h /www',
    ),
  };
  let running = await start();
  const rootFsProviders = [
    { name: 'preloaded', properties: ['busybox'] },
    { name: 'preloaded+layer', properties: ['busybox'] },
    { name: 'docker', properties: [] },
  ];
  expect(bbs.hellos[0]).toMatchObject({ presence: { rootFsProviders } });
  auctioneer.send([lrpWork('w1', 0, 32)], { cellId: config.cellId });
  await eventually(async () => expect(await page()).toBe('hello 0\n'));

  const server = await bed.identity('server');
  const client = dial(RepServiceClient, running.repAddress, server, { expect: 'cell', expectName: config.cellId });
  try {
    const stream = bidi(() => client.exec());
    const start = ExecStart.fromPartial({
      path: '/bin/sh',
      args: ['-c', 'read line; echo "$line $CF_INSTANCE_INDEX"; exit 7'],
    });
    await stream.write({ input: { input: { $case: 'start', value: { ...start, target: web } } } });
    await stream.write({ input: { input: { $case: 'stdin', value: Buffer.from('index\n') } } });
    const outputs: NonNullable<ExecOutput['output']>[] = [];
    for await (const { output } of stream.responses) if (output?.output) outputs.push(output.output);
    expect(outputs.flatMap((one) => (one.$case === 'stdout' ? [one.value.toString()] : [])).join('')).toBe('index 0\n');
    expect(outputs.at(-1)).toMatchObject({ $case: 'exit', value: { code: 7 } });

    const tar: Buffer[] = [];
    const request = { target: web, path: '/www/index.html', user: '' };
    for await (const { data } of serverStream(() => client.readFiles(request))) tar.push(data);
    expect(Buffer.concat(tar).toString('latin1')).toContain('hello 0\n');
  } finally {
    client.close();
  }

  await running.close();
  expect(await page()).toBe('hello 0\n');
  const before = bbs.transitions.length;
  running = await start();
  await eventually(() => expect(bbs.transitions.length).toBeGreaterThan(before));
  expect(bbs.seen.slice(before)).toEqual([expect.stringMatching(/^running /)]);
  expect(await page()).toBe('hello 0\n');

  bbs.task = {
    ...TaskDefinition.fromPartial({ resultFile: '/tmp/result' }),
    container,
    action: shell('printf 42 > /tmp/result'),
  };
  auctioneer.send([taskWork('w2', 'good', 32)], { cellId: config.cellId });
  await eventually(() => expect(bbs.seen).toContain('complete good: 42'));
  bbs.task = { ...bbs.task, action: shell('exit 3') };
  auctioneer.send([taskWork('w3', 'bad', 32)], { cellId: config.cellId });
  await eventually(() => expect(bbs.seen.at(-1)).toMatch(/^complete bad: failed .*Exited with status 3$/));

  await running.close({ stopContainers: true });
  expect(bbs.seen.at(-1)).toMatch(/^remove /);
  expect(await cell.leaks()).toEqual([]);
}, 90_000);

it('a real runtime passes the check of it, which leaves nothing', async () => {
  const garden = await cell.open();
  const { command } = config.runtimeCheck;
  const times = { intervalMs: 10, timeoutMs: 60_000, full: () => false };
  const check = new RuntimeCheck({ garden, clock: systemClock, log: silentLogger, command, ...times });
  const destroy = vi.spyOn(garden, 'destroy');
  check.start();
  await eventually(() => expect(destroy).toHaveBeenCalledTimes(2));
  expect(check.failures).toBe(0);
  await check.close();
  await garden.dissolve();
  await garden.close();
  expect(await cell.leaks()).toEqual([]);
}, 60_000);
