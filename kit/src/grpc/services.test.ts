import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { connect } from 'node:net';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Client, type ClientReadableStream, makeGenericClientConstructor } from '@grpc/grpc-js';
import { ErrorInfo } from '@rivera/gen/google/rpc/error_details';
import { CellSessionServiceClient, CellSessionServiceService } from '@rivera/gen/rivera/bbs/v1/session_service';
import { Task } from '@rivera/gen/rivera/bbs/v1/task';
import { type GetTaskRequest, TaskServiceClient, TaskServiceService } from '@rivera/gen/rivera/bbs/v1/task_service';
import { service as healthService } from 'grpc-health-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { RiveraError } from '../errors.js';
import { bidi, serverStream, type UnaryMethod, unary } from './dial.js';
import type { GrpcHost, Handlers } from './host.js';
import { EchoClient, EchoService, echo, TestBed } from './test-bed.js';

let bed: TestBed;
beforeAll(async () => {
  bed = await TestBed.create();
});
afterAll(() => bed.close());

const missing = (): never => {
  throw new RiveraError('TASK_NOT_FOUND', 'no such task', { resource: { type: 'task', name: 'guid-1' } });
};
const tasks: Handlers<typeof TaskServiceService> = {
  desireTask: missing,
  desireTasks: missing,
  getTask: missing,
  listTasks: missing,
  cancelTask: missing,
  resolveTask: missing,
  resolveTasks: missing,
  deleteTask: missing,
  deleteTasks: missing,
  retryTaskCallback: missing,
};

async function serveTasks(): Promise<{ host: GrpcHost; port: number }> {
  const host = await bed.host();
  host.add(TaskServiceService, tasks, { default: ['client'] });
  return { host, ...(await host.listen('127.0.0.1:0')) };
}

describe('health', () => {
  interface HealthClient extends Client {
    check: UnaryMethod<{ service: string }, { status: string }>;
    watch(request: { service: string }): ClientReadableStream<{ status: string }>;
  }
  const HealthClient = makeGenericClientConstructor(healthService, 'Health') as unknown as new (
    ...of: ConstructorParameters<typeof Client>
  ) => HealthClient;
  const service = 'rivera.bbs.v1.TaskService';

  test('knows the server and every service, and what they are set to', async () => {
    const { host, port } = await serveTasks();
    const client = bed.dial(HealthClient, port, await bed.identity('reader'));
    const check = async (name: string) => (await unary(client, client.check, { service: name })).status;
    expect(await check('')).toBe('SERVING');
    expect(await check(service)).toBe('SERVING');
    host.setServing(service, false);
    expect(await check(service)).toBe('NOT_SERVING');
    await expect(check('rivera.bbs.v1.Nothing')).rejects.toMatchObject({ code: 5 });
  });

  test('tells a watcher of changes, and ends with the server', async () => {
    const { host, port } = await serveTasks();
    const client = bed.dial(HealthClient, port, await bed.identity('client'));
    const states = serverStream(() => client.watch({ service }));
    expect((await states.next()).value?.status).toBe('SERVING');
    host.setServing(service, false);
    expect((await states.next()).value?.status).toBe('NOT_SERVING');
    const closed = host.close();
    const rest = (async () => {
      for await (const state of states) expect(state.status).toBe('NOT_SERVING');
    })();
    await expect(rest).rejects.toMatchObject({ reason: 'SHUTTING_DOWN' });
    await closed;
  });
});

describe('a client that has no stubs, and knows TLS alone', () => {
  const buf = createRequire(import.meta.url).resolve('@bufbuild/buf/bin/buf');
  let dir: string;
  let port: number;
  let credentials: string[];

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'rivera-reflection-'));
    const { ca, cert, key } = await bed.authority.writeIdentity(dir, { role: 'client', name: 'curl' });
    credentials = ['--cacert', ca, '--cert', cert, '--key', key, '--servername', 'rivera-server'];
    ({ port } = await serveTasks());
  });
  afterAll(() => rm(dir, { recursive: true, force: true }));

  const curl = (...args: string[]) =>
    promisify(execFile)(buf, ['curl', '--protocol', 'grpc', ...credentials, ...args], { cwd: dir, timeout: 20_000 });

  test('lists services and methods by reflection', async () => {
    const { stdout } = await curl('--list-methods', `https://127.0.0.1:${port}`);
    expect(stdout.trim().split('\n').sort()).toEqual(
      Object.values(TaskServiceService)
        .map(({ path }) => path.slice(1))
        .sort(),
    );
  });

  test('calls a method, and reads the details of the error', async () => {
    const url = `https://127.0.0.1:${port}/rivera.bbs.v1.TaskService/GetTask`;
    const failure = await curl('-d', '{"task_guid": "guid-1"}', url).catch((error: unknown) => error);
    const { stderr } = failure as { stderr: string };
    const { code, message, details } = JSON.parse(stderr);
    expect({ code, message }).toEqual({ code: 'not_found', message: 'no such task' });
    expect(details.map(({ type }: { type: string }) => type)).toEqual([
      'google.rpc.ErrorInfo',
      'google.rpc.ResourceInfo',
    ]);
    expect(ErrorInfo.decode(Buffer.from(details[0].value, 'base64'))).toMatchObject({
      reason: 'TASK_NOT_FOUND',
      domain: 'rivera',
    });
  });
});

test('without descriptors there is no reflection, and all else works', async () => {
  const host = await bed.host({ descriptors: new Uint8Array() });
  host.add(TaskServiceService, tasks, { default: ['client'] });
  const { port } = await host.listen('127.0.0.1:0');
  expect(port).toBeGreaterThan(0);
});

describe('stubs made by ts-proto', () => {
  test('a unary method needs no types of its own, and a class may handle it', async () => {
    class Tasks implements Pick<Handlers<typeof TaskServiceService>, 'getTask'> {
      readonly #known = new Map([['guid-1', Task.fromPartial({ taskGuid: 'guid-1', domain: 'd' })]]);
      getTask({ taskGuid }: GetTaskRequest) {
        return { task: this.#known.get(taskGuid) };
      }
    }
    const host = await bed.host();
    const handlers = new Tasks();
    host.add(
      TaskServiceService,
      { ...tasks, getTask: (request) => handlers.getTask(request) },
      { default: ['client'] },
    );
    const { port } = await host.listen('127.0.0.1:0');
    const client = bed.dial(TaskServiceClient, port, await bed.identity('client'));
    const { task } = await unary(client, client.getTask, { taskGuid: 'guid-1' });
    expect(task?.domain).toBe('d');
    await expect(unary(client, client.cancelTask, { taskGuid: 'guid-1' })).rejects.toMatchObject({
      reason: 'TASK_NOT_FOUND',
    });
  });

  test('a stream in both directions neither', async () => {
    const host = await bed.host();
    host.add(
      CellSessionServiceService,
      {
        async *session(requests, { peer }) {
          for await (const { message } of requests) {
            if (message?.$case !== 'hello') continue;
            const { incarnation } = message.value;
            if (peer.name !== incarnation) throw new RiveraError('CELL_MISMATCH', `${peer.name} is not ${incarnation}`);
            yield { message: { $case: 'inventoryRequest' as const, value: { requestId: 1 } } };
          }
        },
      },
      { default: ['cell'] },
    );
    const { port } = await host.listen('127.0.0.1:0');
    const client = bed.dial(CellSessionServiceClient, port, await bed.identity('cell', 'cell-1'));
    const stream = bidi(() => client.session());
    const responses = stream.responses[Symbol.asyncIterator]();
    await stream.write({ message: { $case: 'hello', value: { presence: undefined, incarnation: 'cell-1' } } });
    expect((await responses.next()).value?.message?.$case).toBe('inventoryRequest');
    await stream.write({ message: { $case: 'hello', value: { presence: undefined, incarnation: 'cell-2' } } });
    await expect(responses.next()).rejects.toMatchObject({ reason: 'CELL_MISMATCH', code: 7 });
  });
});

describe('listening', () => {
  test('two hosts on one port: the second is told', async () => {
    const { port } = await serveTasks();
    const host = await bed.host();
    await expect(host.listen(`127.0.0.1:${port}`)).rejects.toThrow('EADDRINUSE');
  });

  test.each(['8889', 'localhost', '::1:80', '127.0.0.1:70000', ''])('"%s" is no address', async (address) => {
    const host = await bed.host();
    await expect(host.listen(address)).rejects.toThrow('as in "127.0.0.1:8889"');
  });

  const hasIpv6 = Object.values(networkInterfaces()).some((all) => all?.some(({ address }) => address === '::1'));
  test.skipIf(!hasIpv6)('also on IPv6', async () => {
    const host = await bed.host();
    host.add(EchoService, echo, { default: ['client'] });
    const { port } = await host.listen('[::1]:0');
    const client = bed.dialAt(EchoClient, `[::1]:${port}`, await bed.identity('client'));
    expect(await unary(client, client.ask, 'hi')).toBe('hi');
  });

  test('more connections than it can bear are closed', async () => {
    const { client, port } = await bed.echo({}, { maxConnections: 1 });
    expect(await unary(client, client.ask, 'hi')).toBe('hi');
    const second = bed.dial(EchoClient, port, await bed.identity('client'));
    await expect(unary(second, second.ask, 'hi')).rejects.toMatchObject({ reason: 'UNAVAILABLE' });
    expect(await unary(client, client.ask, 'hi')).toBe('hi');
  });

  test('a connection that never says anything does not outlive the host', async () => {
    const { host, port } = await serveTasks();
    const silent = connect(port, '127.0.0.1');
    await once(silent, 'connect');
    const closed = once(silent, 'close');
    silent.on('error', () => undefined);
    await host.close(50);
    await closed;
  });
});
