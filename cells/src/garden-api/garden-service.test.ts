import { status } from '@grpc/grpc-js';
import { ContainerSpec, ProcessSpec } from '@rivera/gen/rivera/garden/v1/container';
import {
  type AttachRequest,
  type AttachResponse,
  GardenServiceClient,
  GardenServiceService,
  type RunRequest,
  type RunResponse,
} from '@rivera/gen/rivera/garden/v1/garden_service';
import { ManualClock, systemClock } from '@rivera/kit/clock';
import type { RiveraError } from '@rivera/kit/errors';
import { bidi, unary } from '@rivera/kit/grpc/dial';
import { TestBed } from '@rivera/kit/grpc/test-bed';
import { ROLES } from '@rivera/kit/tls/identity';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { OWNER, OWNER_PROPERTY } from '../executor/containers/garden-spec.js';
import { plainProcess, plainSpec } from '../garden/contract.js';
import { SimMachine } from '../garden/sim/machine.js';
import { SimGarden } from '../garden/sim/sim-garden.js';
import { GARDEN_ACCESS, gardenService } from './garden-service.js';

let bed: TestBed;
let garden: SimGarden;
let client: GardenServiceClient;
let port: number;
let made = 0;

beforeAll(async () => {
  bed = await TestBed.create();
});
beforeEach(async () => {
  garden = new SimGarden(new SimMachine({ clock: systemClock, containers: 3 }));
  const host = await bed.host({ identity: await bed.identity('cell', 'cell-1') });
  host.add(GardenServiceService, gardenService({ garden, cellId: 'cell-1' }), GARDEN_ACCESS);
  ({ port } = await host.listen('127.0.0.1:0'));
  client = bed.dial(GardenServiceClient, port, await bed.identity('garden', 'tests'), { expect: 'cell' });
});
afterAll(() => bed?.close());

const spec = (more: Partial<ContainerSpec> = {}) =>
  ContainerSpec.fromPartial({ handle: `c${++made}`, rootFs: 'preloaded:busybox', ...more });
const refusal = (call: Promise<unknown>): Promise<RiveraError> =>
  call.then(
    () => expect.fail('it was not refused'),
    (error: RiveraError) => error,
  );

it('is for certificates of its own role alone', async () => {
  for (const role of ROLES.filter((each) => each !== 'garden')) {
    const stranger = bed.dial(GardenServiceClient, port, await bed.identity(role, 'x'), { expect: 'cell' });
    await expect(unary(stranger, stranger.ping, {})).rejects.toMatchObject({ reason: 'PERMISSION_DENIED' });
  }
  await unary(client, client.ping, {});
});

it('tells all broken rules of a request at once, each with its field', async () => {
  const bad = spec({
    handle: '../x',
    rootFs: '',
    env: ['A=1', 'B'],
    properties: { 'executor:owner': 'executor' },
    limits: { memoryBytes: 1, diskBytes: 0, pids: 5_000_000, cpuShares: 0, cpuMillicores: 0, inodes: 0 },
    egressRules: [{ protocol: 'sctp', networks: [], ports: [], icmp: undefined, log: false }],
    ports: [80, 70_000],
    bindMounts: [{ source: 'relative', destination: '/d', readOnly: true }],
    graceTime: { seconds: -1, nanos: 0 },
  });
  const error = await refusal(unary(client, client.createContainer, { spec: bad, imageCredentials: undefined }));
  expect(error).toMatchObject({ reason: 'INVALID_REQUEST', code: status.INVALID_ARGUMENT });
  expect(error.violations.map(({ field }) => field)).toEqual([
    'spec.handle',
    'spec.root_fs',
    'spec.env[1]',
    'spec.properties',
    'spec.limits.pids',
    'spec.ports',
    'spec.egress_rules[0]',
    'spec.bind_mounts[0].source',
    'spec.grace_time',
  ]);
});

it('answers each error of the garden with a status, a reason and what it is about', async () => {
  await unary(client, client.createContainer, { spec: spec({ handle: 'c' }), imageCredentials: undefined });
  const create = (more: Partial<ContainerSpec>) =>
    unary(client, client.createContainer, { spec: spec(more), imageCredentials: undefined });
  const resource = { type: 'container', name: 'nobody' };
  const nobody = { reason: 'CONTAINER_NOT_FOUND', code: status.NOT_FOUND, message: 'unknown handle: nobody', resource };
  const handle = 'nobody';
  await expect(unary(client, client.getContainer, { handle })).rejects.toMatchObject(nobody);
  await expect(unary(client, client.destroyContainer, { handle })).rejects.toMatchObject(nobody);
  await expect(unary(client, client.getMetrics, { handle })).rejects.toMatchObject(nobody);
  const stop = { kill: false, grace: undefined };
  await expect(unary(client, client.stopContainer, { handle, ...stop })).rejects.toMatchObject(nobody);
  await expect(create({ handle: 'c' })).rejects.toMatchObject({
    reason: 'CONTAINER_EXISTS',
    code: status.ALREADY_EXISTS,
    message: "Handle 'c' already in use",
  });
  await expect(create({ rootFs: 'preloaded:none' })).rejects.toMatchObject({ reason: 'ROOT_FS_NOT_FOUND' });
  await expect(create({ privileged: true })).rejects.toMatchObject({ reason: 'NOT_SUPPORTED' });
  await expect(unary(client, client.getProperty, { handle: 'c', name: 'p' })).rejects.toMatchObject({
    reason: 'PROPERTY_NOT_FOUND',
    message: 'property does not exist: p',
  });
  await expect(
    unary(client, client.stopContainer, { handle: 'c', kill: false, grace: { seconds: 3601, nanos: 0 } }),
  ).rejects.toMatchObject({ violations: [{ field: 'grace' }] });
  await expect(unary(client, client.batchGetContainers, { handles: [] })).rejects.toMatchObject({
    violations: [{ field: 'handles' }],
  });
});

it('makes up a handle, and no more containers than there may be, also when many are asked for at once', async () => {
  const asked = await Promise.allSettled(
    Array.from({ length: 5 }, () =>
      unary(client, client.createContainer, { spec: spec({ handle: '' }), imageCredentials: undefined }),
    ),
  );
  expect(asked.map((each) => (each.status === 'rejected' ? each.reason.reason : 'made')).sort()).toEqual([
    'TOO_MANY_CONTAINERS',
    'TOO_MANY_CONTAINERS',
    'made',
    'made',
    'made',
  ]);
  expect(garden.list().every(({ handle }) => /^[0-9a-f-]{36}$/.test(handle))).toBe(true);
});

it('lists pages of what has all the properties that are asked for', async () => {
  for (const [handle, a] of Object.entries({ one: '1', two: '2', three: '1' }))
    await garden.create(plainSpec(handle, 'preloaded:busybox', { properties: { a } }));
  const list = (properties: Record<string, string>, pageToken = '') =>
    unary(client, client.listContainers, { properties, pageSize: 1, pageToken });
  const first = await list({ a: '1' });
  expect(first.containers.map(({ spec: made }) => made?.handle)).toEqual(['one']);
  const second = await list({ a: '1' }, first.nextPageToken);
  expect(second.containers.map(({ spec: made }) => made?.handle)).toEqual(['three']);
  expect(second.nextPageToken).toBe('');
});

it('shows what the cell made for itself and lets it be entered, and refuses to change or end it', async () => {
  const handle = 'lrp';
  const properties = { [OWNER_PROPERTY]: OWNER };
  const own = await garden.create(plainSpec(handle, 'preloaded:busybox', { properties }));
  await own.run(plainProcess('app', { path: '/sim/cat', args: [] }, { stdin: true }));
  const { containers } = await unary(client, client.listContainers, { properties, pageSize: 0, pageToken: '' });
  expect(containers).toMatchObject([{ managed: true, spec: { handle }, processes: [{ id: 'app', ended: false }] }]);
  await unary(client, client.getMetrics, { handle });
  const refused: [string, Promise<unknown>][] = [
    ['destroy', unary(client, client.destroyContainer, { handle })],
    ['stop', unary(client, client.stopContainer, { handle, kill: true, grace: undefined })],
    ['limits', unary(client, client.setLimits, { handle, pids: 1 })],
    ['grace', unary(client, client.setGraceTime, { handle, graceTime: { seconds: 1, nanos: 0 } })],
    ['set', unary(client, client.setProperty, { handle, name: 'a', value: 'b' })],
    ['remove', unary(client, client.removeProperty, { handle, name: 'a' })],
    ['run', said(run({ handle, process: ProcessSpec.fromPartial({ id: 'x', path: '/sim/run' }) }))],
    ['signal', said(attach({ handle, processId: 'app' }, { $case: 'signal', value: 'KILL' }))],
    ['input', said(attach({ handle, processId: 'app' }, { $case: 'stdinClosed', value: true }))],
  ];
  for (const [what, call] of refused) {
    const error = await refusal(call);
    expect([what, error.reason, error.resource?.name ?? handle]).toEqual([what, 'CONTAINER_MANAGED', handle]);
  }
  expect((await own.status()).processes).toEqual([{ id: 'app', ended: false }]);
  // And nobody can make theirs look like the executor's, which would have it reaped.
  const name = OWNER_PROPERTY;
  await garden.create(plainSpec('theirs', 'preloaded:busybox'));
  await expect(unary(client, client.setProperty, { handle: 'theirs', name, value: OWNER })).rejects.toMatchObject({
    reason: 'INVALID_REQUEST',
    violations: [{ field: 'name' }],
  });
});

it('refuses what can not be run or met, with its field', async () => {
  await garden.create(plainSpec('c', 'preloaded:busybox'));
  const process = (more: Partial<ProcessSpec>) =>
    run({ handle: 'c', process: ProcessSpec.fromPartial({ id: 'p', path: '/sim/run', ...more }) });
  const windowSize = { columns: 0, rows: 1001 };
  const fields = async (call: Promise<unknown>) => (await refusal(call)).violations.map(({ field }) => field);
  expect(await fields(said(process({ path: '' })))).toEqual(['process.path']);
  expect(await fields(said(process({ id: '../x' })))).toEqual(['process.id']);
  expect(await fields(said(process({ rlimits: { many: 1 } })))).toEqual(['process.rlimits']);
  expect(await fields(said(process({ memoryShare: { name: '/', bytes: 0 } })))).toEqual([
    'process.memory_share.name',
    'process.memory_share.bytes',
  ]);
  expect(await fields(said(process({ terminal: { term: '', windowSize } })))).toEqual([
    'process.terminal.window_size.columns',
    'process.terminal.window_size.rows',
  ]);
  expect(await refusal(said(attach({ handle: 'c', processId: 'nobody' })))).toMatchObject({
    reason: 'PROCESS_NOT_FOUND',
    message: 'unknown process: nobody',
  });
  expect(await refusal(said(attach({ handle: 'x', processId: 'p' })))).toMatchObject({ reason: 'CONTAINER_NOT_FOUND' });
  const bad = [{ path: '/sim/missing' }, { user: 'stranger' }];
  for (const more of bad) expect(await refusal(said(process(more)))).toMatchObject({ reason: 'EXEC_FAILED' });
  await said(process({ id: 'over', path: '/sim/exit' }));
  expect(await refusal(said(process({ id: 'over' })))).toMatchObject({ reason: 'PROCESS_EXISTS' });
  await garden.lookup('c')?.run(plainProcess('on', { path: '/sim/run', args: [] }));
  const noSignal = attach({ handle: 'c', processId: 'on' }, { $case: 'signal', value: 'NONE' });
  expect(await fields(said(noSignal))).toEqual(['input.signal']);
});

it('lets several meet one process: each hears all of it, who goes away leaves it running, and input has an order', async () => {
  const container = await garden.create(plainSpec('c', 'preloaded:busybox'));
  const first = run({ handle: 'c', process: ProcessSpec.fromPartial({ id: 'p', path: '/sim/cat', stdin: true }) });
  const heard = said(first);
  await expect.poll(() => container.attach('p')).toBeDefined();
  const second = attach({ handle: 'c', processId: 'p' });
  const alsoHeard = said(second);
  const third = attach({ handle: 'c', processId: 'p' });
  third.cancel();
  await expect(said(third)).rejects.toMatchObject({ reason: 'CANCELLED' });
  const input = (value: string) =>
    ({ message: { $case: 'input', value: { input: { $case: 'stdin', value: Buffer.from(value) } } } }) as const;
  for (let index = 0; index < 500; index++) await first.write(input(`${index}\n`));
  await first.write({ message: { $case: 'input', value: { input: { $case: 'stdinClosed', value: true } } } });
  const all = [...Array.from({ length: 500 }, (_, index) => `${index}`), 'exit 0'];
  expect(await heard).toEqual(all);
  expect(await alsoHeard).toEqual(all);
});

it('bears a client that goes away before anybody reads what it sends', async () => {
  const container = await garden.create(plainSpec('c', 'preloaded:busybox'));
  const call = client.streamIn(() => undefined);
  call.on('error', () => undefined);
  const ended = new Promise<unknown>((resolve) => {
    // A real container starts a program first, which takes a while.
    container.streamIn = async (_path, _user, tar) => {
      call.cancel();
      await new Promise((closed) => tar.once('close', closed));
      resolve(tar.errored);
    };
  });
  call.write({ message: { $case: 'start', value: { handle: 'c', path: '/tmp', user: 'root' } } });
  expect(await ended).toMatchObject({ reason: 'CANCELLED' });
  await unary(client, client.ping, {});
});

it('takes its time for grace from the clock, and a client that hears a process counts as one that uses it', async () => {
  const clock = new ManualClock();
  const quiet = new SimGarden(new SimMachine({ clock }));
  const host = await bed.host({ identity: await bed.identity('cell', 'cell-1') });
  host.add(GardenServiceService, gardenService({ garden: quiet, cellId: 'cell-1' }), GARDEN_ACCESS);
  const { port: other } = await host.listen('127.0.0.1:0');
  const asking = bed.dial(GardenServiceClient, other, await bed.identity('garden', 'tests'), { expect: 'cell' });
  await quiet.create(plainSpec('c', 'preloaded:busybox', { graceTimeMs: 1000 }));
  const stream = bidi<RunRequest, RunResponse>(() => asking.run());
  const start = { handle: 'c', process: ProcessSpec.fromPartial({ id: 'p', path: '/sim/run' }) };
  await stream.write({ message: { $case: 'start', value: start } });
  await stream.responses[Symbol.asyncIterator]().next();
  await clock.advance(5_000);
  expect(quiet.lookup('c')).toBeDefined();
  stream.cancel();
  await expect.poll(() => clock.pending).toBe(1);
  await clock.advance(999);
  expect(quiet.lookup('c')).toBeDefined();
  await clock.advance(1);
  expect(quiet.lookup('c')).toBeUndefined();
});

function run(value: { handle: string; process: ProcessSpec }) {
  const stream = bidi<RunRequest, RunResponse>(() => client.run());
  void stream.write({ message: { $case: 'start', value } });
  return stream;
}

type Input = NonNullable<Extract<AttachRequest['message'], { $case: 'input' }>>['value']['input'];

function attach(start: { handle: string; processId: string }, input?: Input) {
  const stream = bidi<AttachRequest, AttachResponse>(() => client.attach());
  void stream.write({ message: { $case: 'start', value: { ...start, withoutOutput: false } } });
  if (input) void stream.write({ message: { $case: 'input', value: { input } } });
  return stream;
}

/** What a process says, line by line, to its end. */
async function said(stream: { responses: AsyncIterable<RunResponse | AttachResponse> }): Promise<string[]> {
  const lines: string[] = [];
  for await (const { output } of stream.responses) {
    if (output?.output?.$case === 'pieces')
      lines.push(...output.output.value.pieces.map(({ data }) => data.toString()));
    if (output?.output?.$case === 'exit') lines.push(`exit ${output.output.value.code}`);
  }
  return lines;
}
