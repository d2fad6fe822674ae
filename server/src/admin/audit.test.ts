import { readdir, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { type Client, Metadata, makeGenericClientConstructor, type ServiceDefinition } from '@grpc/grpc-js';
import {
  ReadFilesRequest as AccessReadFilesRequest,
  ExecRequest,
  WriteFilesRequest,
} from '@rivera/gen/rivera/access/v1/access_service';
import { BidRequest } from '@rivera/gen/rivera/auction/v1/bid_service';
import { MoveActualLrpRequest, RetireActualLrpRequest } from '@rivera/gen/rivera/bbs/v1/actual_lrp_service';
import { DeclareCellMissingRequest, EvacuateCellRequest } from '@rivera/gen/rivera/bbs/v1/cell_service';
import {
  DesireLrpRequest,
  DesireLrpsRequest,
  RemoveDesiredLrpRequest,
  UpdateDesiredLrpRequest,
} from '@rivera/gen/rivera/bbs/v1/desired_lrp_service';
import { UpsertDomainRequest } from '@rivera/gen/rivera/bbs/v1/domain_service';
import { PlaceRequest } from '@rivera/gen/rivera/bbs/v1/placement_service';
import { SessionRequest } from '@rivera/gen/rivera/bbs/v1/session_service';
import {
  CancelTaskRequest,
  DeleteTaskRequest,
  DeleteTasksRequest,
  DesireTaskRequest,
  DesireTasksRequest,
  ResolveTaskRequest,
  ResolveTasksRequest,
  RetryTaskCallbackRequest,
} from '@rivera/gen/rivera/bbs/v1/task_service';
import { LockRequest, ReleaseRequest } from '@rivera/gen/rivera/locket/v1/locket_service';
import { dial } from '@rivera/kit/grpc/dial';
import type { Role } from '@rivera/kit/tls/identity';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { presence } from '../bbs/core/testing.js';
import { useTestDatabase } from '../database/testing.js';
import type { RunningServer } from '../program.js';
import { ServerBench } from './testing.js';

const GEN = resolve(import.meta.dirname, '../../../gen/src/rivera');
const SECRET = 'hunter2';

/** A method as its stub describes it. */
interface Method {
  readonly path: string;
  readonly service: ServiceDefinition;
  readonly requestStream: boolean;
}

type Line = Record<string, unknown>;

const action = { action: { $case: 'runAction', value: { path: '/bin/app', user: 'root', args: [SECRET] } } };
const container = {
  rootFs: 'preloaded:base',
  memoryMb: 1,
  environmentVariables: [{ name: 'PASSWORD', value: SECRET }],
};
const desiredLrp = { processGuid: 'p', domain: 'd', instances: 1, container, action, annotation: SECRET } as never;
const target = { target: { $case: 'instance', value: { processGuid: 'p', index: 3, instanceGuid: '' } } } as never;
const execStart = { target, path: '/bin/sh', user: 'root', args: [SECRET], env: [`PASSWORD=${SECRET}`] };

/**
 * For each method that may change something: who may call it, a request, and what of it has to be in its line. A method that is
 * not here makes the test below fail.
 */
const SAMPLES: Readonly<Record<string, { role: Role; name?: string; request: unknown; subject: Line }>> = {
  '/rivera.bbs.v1.TaskService/DesireTask': {
    role: 'client',
    request: DesireTaskRequest.fromPartial({ taskGuid: 't', domain: 'd', definition: { container, action } as never }),
    subject: { taskGuid: 't', domain: 'd', outcome: 'OK' },
  },
  '/rivera.bbs.v1.TaskService/CancelTask': {
    role: 'client',
    request: CancelTaskRequest.fromPartial({ taskGuid: 't' }),
    subject: { taskGuid: 't', outcome: 'OK' },
  },
  '/rivera.bbs.v1.TaskService/ResolveTask': {
    role: 'client',
    request: ResolveTaskRequest.fromPartial({ taskGuid: 't' }),
    subject: { taskGuid: 't', outcome: 'OK' },
  },
  '/rivera.bbs.v1.TaskService/DeleteTask': {
    role: 'client',
    request: DeleteTaskRequest.fromPartial({ taskGuid: 't' }),
    subject: { taskGuid: 't', outcome: 'OK' },
  },
  '/rivera.bbs.v1.TaskService/DesireTasks': {
    role: 'client',
    request: DesireTasksRequest.fromPartial({
      sequence: 1,
      task: { taskGuid: 't2', domain: 'd', definition: { container, action } as never },
    }),
    subject: { messages: 1, outcome: 'OK' },
  },
  '/rivera.bbs.v1.TaskService/ResolveTasks': {
    role: 'client',
    request: ResolveTasksRequest.fromPartial({ sequence: 1, taskGuid: 't2' }),
    subject: { messages: 1, outcome: 'OK' },
  },
  '/rivera.bbs.v1.TaskService/DeleteTasks': {
    role: 'client',
    request: DeleteTasksRequest.fromPartial({ sequence: 1, taskGuid: 't2' }),
    subject: { messages: 1, outcome: 'OK' },
  },
  '/rivera.bbs.v1.TaskService/RetryTaskCallback': {
    role: 'client',
    request: RetryTaskCallbackRequest.fromPartial({ taskGuid: 'nothing' }),
    subject: { taskGuid: 'nothing', outcome: 'NOT_FOUND' },
  },
  '/rivera.bbs.v1.DesiredLrpService/DesireLrp': {
    role: 'client',
    request: DesireLrpRequest.fromPartial({ desiredLrp }),
    subject: { processGuid: 'p', domain: 'd', outcome: 'OK' },
  },
  '/rivera.bbs.v1.DesiredLrpService/DesireLrps': {
    role: 'client',
    request: DesireLrpsRequest.fromPartial({ sequence: 1, desiredLrp }),
    subject: { messages: 1, outcome: 'OK' },
  },
  '/rivera.bbs.v1.DesiredLrpService/UpdateDesiredLrp': {
    role: 'client',
    request: UpdateDesiredLrpRequest.fromPartial({ processGuid: 'p', update: { annotation: SECRET } }),
    subject: { processGuid: 'p', outcome: 'OK' },
  },
  '/rivera.bbs.v1.ActualLrpService/RetireActualLrp': {
    role: 'client',
    request: RetireActualLrpRequest.fromPartial({ processGuid: 'p', index: 0 }),
    subject: { processGuid: 'p', index: 0, outcome: 'OK' },
  },
  '/rivera.bbs.v1.ActualLrpService/MoveActualLrp': {
    role: 'client',
    request: MoveActualLrpRequest.fromPartial({ processGuid: 'nothing', index: 0, instanceGuid: 'i' }),
    subject: { processGuid: 'nothing', index: 0, instanceGuid: 'i', outcome: 'NOT_FOUND' },
  },
  '/rivera.bbs.v1.DesiredLrpService/RemoveDesiredLrp': {
    role: 'client',
    request: RemoveDesiredLrpRequest.fromPartial({ processGuid: 'p' }),
    subject: { processGuid: 'p', outcome: 'OK' },
  },
  '/rivera.bbs.v1.DomainService/UpsertDomain': {
    role: 'client',
    request: UpsertDomainRequest.fromPartial({ domain: 'd', ttl: { seconds: 60, nanos: 0 } }),
    subject: { domain: 'd', outcome: 'OK' },
  },
  '/rivera.bbs.v1.CellService/EvacuateCell': {
    role: 'client',
    request: EvacuateCellRequest.fromPartial({ cellId: 'nowhere' }),
    subject: { cellId: 'nowhere', outcome: 'NOT_FOUND' },
  },
  '/rivera.bbs.v1.CellService/DeclareCellMissing': {
    role: 'client',
    request: DeclareCellMissingRequest.fromPartial({ cellId: 'nowhere' }),
    subject: { cellId: 'nowhere', outcome: 'NOT_FOUND' },
  },
  '/rivera.bbs.v1.CellSessionService/Session': {
    role: 'cell',
    name: 'c1',
    request: SessionRequest.fromPartial({
      message: { $case: 'hello', value: { presence: presence('c1'), incarnation: 'i1' } },
    }),
    subject: { cellId: 'c1', zone: 'z1', messages: 1 },
  },
  '/rivera.bbs.v1.PlacementService/Place': {
    role: 'server',
    request: PlaceRequest.fromPartial({ message: { $case: 'hello', value: { auctioneerId: 'a1', epoch: 1_000 } } }),
    subject: { auctioneerId: 'a1', epoch: 1_000, messages: 1 },
  },
  '/rivera.auction.v1.BidService/Bid': {
    role: 'cell',
    name: 'c1',
    request: BidRequest.fromPartial({ message: { $case: 'bid', value: { cellId: 'c1', zone: 'z1' } } }),
    subject: { cellId: 'c1', zone: 'z1', messages: 1 },
  },
  '/rivera.locket.v1.LocketService/Lock': {
    role: 'client',
    request: LockRequest.fromPartial({
      resource: { key: 'k', owner: 'o', value: SECRET, type: 1 },
      ttl: { seconds: 15, nanos: 0 },
    } as never),
    subject: { lock: 'k', owner: 'o', outcome: 'OK' },
  },
  '/rivera.locket.v1.LocketService/Release': {
    role: 'client',
    request: ReleaseRequest.fromPartial({ key: 'k', owner: 'o' }),
    subject: { lock: 'k', owner: 'o', outcome: 'OK' },
  },
  '/rivera.access.v1.AccessService/Exec': {
    role: 'client',
    request: ExecRequest.fromPartial({ input: { input: { $case: 'start', value: execStart } } } as never),
    subject: { processGuid: 'p', index: 3, path: '/bin/sh', user: 'root' },
  },
  '/rivera.access.v1.AccessService/ReadFiles': {
    role: 'client',
    request: AccessReadFilesRequest.fromPartial({ target, path: '/etc/passwd', user: 'root' }),
    subject: { processGuid: 'p', index: 3, path: '/etc/passwd' },
  },
  '/rivera.access.v1.AccessService/WriteFiles': {
    role: 'client',
    request: WriteFilesRequest.fromPartial({
      message: { $case: 'start', value: { target, path: '/app', user: 'root' } },
    } as never),
    subject: { processGuid: 'p', index: 3, path: '/app', messages: 1 },
  },
};

const test = useTestDatabase();
let bench: ServerBench;
let server: RunningServer;
let methods: Method[];

beforeAll(async () => {
  bench = await ServerBench.open();
  server = await bench.start(test.url, { audit: { file: join(bench.folder, 'audit.log') } });
  await vi.waitFor(() => expect(server.leading()).toBe(true), { timeout: 15_000 });
  methods = await servedMethods();
});
afterAll(() => bench.close());

/** Every method of every stub, but for those that cells serve. */
async function servedMethods(): Promise<Method[]> {
  const files = (await readdir(GEN, { recursive: true })).filter(
    (file) => file.endsWith('_service.ts') && !file.startsWith('rep/'),
  );
  const modules = await Promise.all(files.map((file): Promise<Record<string, unknown>> => import(join(GEN, file))));
  return modules
    .flatMap((module) => Object.values(module).filter(isService))
    .flatMap((service) => Object.values(service).map(({ path, requestStream }) => ({ path, service, requestStream })));
}

function isService(value: unknown): value is ServiceDefinition {
  const [first] = typeof value === 'object' && value !== null ? Object.values(value) : [];
  return typeof first === 'object' && first !== null && 'path' in first && 'requestSerialize' in first;
}

const nameOf = ({ path }: Method) => path.split('/').at(-1) ?? '';
const fileLines = async (): Promise<Line[]> =>
  (await readFile(join(bench.folder, 'audit.log'), 'utf8'))
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
/** The lines that calls of a certificate with this name made. */
const linesOf = async (peer: string) => (await fileLines()).filter((line) => line.peer === peer);

/** One call, whatever becomes of it; a stream that goes on by itself is hung up once something was heard. */
async function call(method: Method, request: unknown, of: { role: Role; name: string }): Promise<void> {
  const ctor = makeGenericClientConstructor(method.service, 'Any');
  const identity = await bench.identity(of.role, of.name);
  const client = dial(
    ctor as unknown as new (
      ...args: ConstructorParameters<typeof Client>
    ) => Client,
    server.address,
    identity,
  );
  const serialize = Object.values(method.service).find(({ path }) => path === method.path)?.requestSerialize;
  if (serialize === undefined) throw new Error(`${method.path} is not there`);
  try {
    await new Promise<void>((done) => {
      const stream = client.makeBidiStreamRequest(method.path, serialize, (bytes: Buffer) => bytes, new Metadata(), {
        deadline: Date.now() + 10_000,
      });
      stream.on('error', () => {});
      stream.on('status', () => done());
      stream.write(request);
      if (!OPEN_ENDED.has(nameOf(method))) stream.end();
      stream.on('data', () => {
        if (OPEN_ENDED.has(nameOf(method))) stream.end();
      });
    });
  } finally {
    client.close();
  }
}

/** Streams that a server ends only when its client has heard enough. */
const OPEN_ENDED = new Set(['Session', 'Bid']);

/** What the line of the one command says that a stream of commands begins with. */
const NUMBERED: Readonly<Record<string, Line>> = {
  DesireLrps: { processGuid: 'p', domain: 'd', outcome: 'OK' },
  DesireTasks: { taskGuid: 't2', domain: 'd', outcome: 'OK' },
  ResolveTasks: { taskGuid: 't2', outcome: 'FAILED_PRECONDITION' },
  DeleteTasks: { taskGuid: 't2', outcome: 'FAILED_PRECONDITION' },
};

describe('the methods that may change something', () => {
  it('are those that readers may not call, each of them has a sample, and each refusal is a line', async () => {
    const empty = (method: Method) => SAMPLES[method.path]?.request ?? emptyRequest(method);
    const refused: string[] = [];
    for (const method of methods) {
      if (WATCHING.has(nameOf(method))) continue;
      await call(method, empty(method), { role: 'reader', name: `reader-${nameOf(method)}` });
    }
    await settled();
    for (const line of await fileLines()) if (line.outcome === 'PERMISSION_DENIED') refused.push(String(line.method));
    expect(refused.sort()).toEqual(Object.keys(SAMPLES).sort());
  });

  it.each(Object.keys(SAMPLES))('%s is one line with who, from where, what, when and the outcome', async (path) => {
    const { role, name = `a-${role}`, request, subject } = SAMPLES[path] as (typeof SAMPLES)[string];
    const method = methods.find((each) => each.path === path);
    if (method === undefined) throw new Error(`${path} is not there`);
    const before = (await linesOf(name)).length;
    await call(method, request, { role, name });
    const fresh = await vi.waitFor(
      async () => {
        const lines = (await linesOf(name)).slice(before);
        expect(lines.some((line) => line.ms !== undefined)).toBe(true);
        return lines;
      },
      { timeout: 10_000 },
    );
    const own = fresh.filter((line) => line.ms !== undefined);
    expect(own).toHaveLength(1);
    expect(own[0]).toMatchObject({
      ...subject,
      audit: true,
      time: expect.stringMatching(/^\d{4}-/),
      method: path,
      role,
      peer: name,
      from: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
      outcome: expect.any(String),
    });
    expect(own[0]?.outcome).not.toBe('PERMISSION_DENIED');
    // A stream of numbered commands has a line for each of them besides.
    const numbered = NUMBERED[path.slice(path.lastIndexOf('/') + 1)];
    if (numbered !== undefined) expect(fresh[0]).toMatchObject(numbered);
    else expect(fresh).toHaveLength(1);
  });
});

it('holds no secret of any request', async () => {
  expect(await readFile(join(bench.folder, 'audit.log'), 'utf8')).not.toContain(SECRET);
});

it('has no line of a method that only reads', async () => {
  const reads = new Set(methods.map(({ path }) => path).filter((path) => !(path in SAMPLES)));
  expect((await fileLines()).filter((line) => reads.has(String(line.method)))).toEqual([]);
});

/** They go on for ever, and are for readers. */
const WATCHING = new Set(['Watch', 'WatchResources']);

/** Lines are written at the end of the turn in which a call ends. */
async function settled(): Promise<void> {
  let before = -1;
  await expect
    .poll(async () => {
      const now = (await fileLines()).length;
      const still = now === before;
      before = now;
      return still;
    })
    .toBe(true);
}

/** A request with nothing in it. */
function emptyRequest(method: Method): unknown {
  const definition = Object.values(method.service).find(({ path }) => path === method.path);
  return definition?.requestDeserialize(Buffer.alloc(0));
}
