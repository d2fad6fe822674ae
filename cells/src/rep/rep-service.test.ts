import { once } from 'node:events';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { CellPresence } from '@rivera/gen/rivera/bbs/v1/cell';
import {
  ContainerState,
  type ExecInput,
  type ExecOutput,
  ExecStart,
  LogFilter,
} from '@rivera/gen/rivera/rep/v1/container';
import {
  type ExecRequest,
  type ExecResponse,
  ListContainersRequest,
  RepServiceClient,
  RepServiceService,
} from '@rivera/gen/rivera/rep/v1/rep_service';
import { systemClock } from '@rivera/kit/clock';
import { fromStatus, RiveraError } from '@rivera/kit/errors';
import { type BidiStream, bidi, serverStream, unary } from '@rivera/kit/grpc/dial';
import { TestBed } from '@rivera/kit/grpc/test-bed';
import { silentLogger } from '@rivera/kit/log';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { ContainerFate, Executor } from '../executor/executor.js';
import { GardenError } from '../garden/garden.js';
import { MetricsSampler } from './metrics-sampler.js';
import { REP_ACCESS, repService } from './rep-service.js';
import { ScriptedExecutor } from './testing/scripted-executor.js';
import { ScriptedProcess } from './testing/scripted-process.js';
import { tagsOf } from './work.js';

const eventually = (check: () => void) => vi.waitFor(check, { timeout: 20_000, interval: 5 });
const MIB = 1024 * 1024;
const byInstance = { target: { $case: 'instance', value: { processGuid: 'web', index: 0 } } } as const;
const byGuid = (value: string) => ({ target: { $case: 'containerGuid', value } }) as const;

class PeopleExecutor extends ScriptedExecutor {
  process: ScriptedProcess | undefined;
  fate: ContainerFate = { kind: 'lives' };
  readonly written: { path: string; user: string; bytes: Buffer }[] = [];
  content = Buffer.alloc(0);
  logLines: string[] = [];

  override exec: Executor['exec'] = async (_guid, spec) => {
    this.process = new ScriptedProcess(spec);
    return Object.assign(this.process, { fate: async () => this.fate });
  };

  override streamIn: Executor['streamIn'] = async (_guid, path, user, tar) => {
    this.written.push({ path, user, bytes: await buffer(tar) });
  };

  override streamOut: Executor['streamOut'] = async (_guid, path) => {
    if (path === '/none') throw new GardenError('path-not-found', 'there is no /none');
    return Readable.from([this.content], { objectMode: false });
  };
}

let bed: TestBed;
let executor: PeopleExecutor;
let metrics: MetricsSampler;
let port: number;
let client: RepServiceClient;

beforeAll(async () => {
  bed = await TestBed.create();
});
afterAll(() => bed.close());

beforeEach(async () => {
  executor = new PeopleExecutor();
  metrics = new MetricsSampler({ executor, clock: systemClock, logger: silentLogger });
  const presence = CellPresence.fromPartial({ cellId: 'cell-1', repAddress: 'here' });
  const host = await bed.host({ identity: await bed.identity('cell', 'cell-1') });
  host.add(
    RepServiceService,
    repService({ executor, presence, metrics, evacuating: () => false, broken: () => 'no more' }),
    REP_ACCESS,
  );
  port = (await host.listen('127.0.0.1:0')).port;
  client = bed.dial(RepServiceClient, port, await bed.identity('server'), { expect: 'cell', expectName: 'cell-1' });
  reserve('a');
  executor.become('a', 'running', { routable: true });
});

function reserve(guid: string): void {
  const work = { kind: 'lrp', key: { processGuid: 'web', index: 0, domain: 'd' }, instanceGuid: guid } as const;
  executor.reserve({ guid, memoryMb: 64, diskMb: 128, rootFs: 'preloaded:busybox', tags: tagsOf(work) });
}

type Stream = BidiStream<ExecRequest, ExecResponse>;
type Output = NonNullable<ExecOutput['output']>;

function say(stream: Stream, input: NonNullable<ExecInput['input']>): Promise<void> {
  return stream.write({ input: { input } });
}

async function open(start: Partial<ExecStart> = {}, signal?: AbortSignal) {
  const stream = bidi(() => client.exec(), signal);
  const value = ExecStart.fromPartial({ path: '/bin/sh', ...start, target: undefined });
  await say(stream, { $case: 'start', value: { ...value, target: start.target ?? byInstance } });
  const outputs = (async function* (): AsyncGenerator<Output, void> {
    for await (const { output } of stream.responses) if (output?.output) yield output.output;
  })();
  const first = await outputs.next();
  const { process } = executor;
  if (first.done || !process) throw new Error('it did not start');
  return { stream, outputs, process, started: first.value };
}

async function rest(outputs: AsyncIterable<Output>) {
  const all = { stdout: '', stderr: '', exit: undefined as unknown };
  for await (const output of outputs) {
    if (output.$case === 'stdout' || output.$case === 'stderr') all[output.$case] += output.value.toString();
    else if (output.$case === 'exit') all.exit = { code: output.value.code, signal: output.value.signal };
  }
  return all;
}

const reasonOf = async (attempt: Promise<unknown>) => {
  const error = await attempt.then(
    () => undefined,
    (failure: unknown) => failure,
  );
  return error === undefined ? 'none' : fromStatus(error).reason;
};

describe('exec', () => {
  it('says where the process runs, relays both directions and ends with the exit', async () => {
    const { stream, outputs, process, started } = await open({ args: ['-l'], env: ['A=b=c'], dir: '/tmp' });
    expect(started).toMatchObject({ $case: 'started', value: { containerGuid: 'a', cellId: 'cell-1' } });
    expect(process.spec).toEqual({ path: '/bin/sh', args: ['-l'], env: { A: 'b=c' }, dir: '/tmp', user: 'root' });
    await say(stream, { $case: 'stdin', value: Buffer.from('hello ') });
    await say(stream, { $case: 'stdin', value: Buffer.from('world') });
    await say(stream, { $case: 'stdinClosed', value: true });
    expect((await buffer(process.stdin)).toString()).toBe('hello world');
    process.stdout.write('out');
    process.stderr.write('err');
    process.exit(3);
    expect(await rest(outputs)).toEqual({ stdout: 'out', stderr: 'err', exit: { code: 3, signal: '' } });
  });

  it('passes terminal, sizes and signals on', async () => {
    const { stream, outputs, process } = await open({
      terminal: { term: '', windowSize: { columns: 120, rows: 40 }, modes: {} },
    });
    expect(process.spec.terminal).toEqual({ term: 'xterm', columns: 120, rows: 40 });
    await say(stream, { $case: 'windowSize', value: { columns: 5_000, rows: 10 } });
    await say(stream, { $case: 'signal', value: 'INT' });
    await eventually(() => expect(process.signals).toEqual(['SIGINT']));
    expect(process.sizes).toEqual(['1000x10']);
    process.exit(130, 'SIGINT');
    expect((await rest(outputs)).exit).toEqual({ code: 130, signal: 'INT' });
  });

  it.each([
    [{ kind: 'lives' }, undefined],
    [{ kind: 'stopped' }, 'the instance was stopped'],
    [{ kind: 'ended', why: '' }, 'the instance ended'],
    [{ kind: 'ended', why: 'Exited\nwith status 3' }, 'the instance ended: Exited with status 3'],
  ] as const)('says why a process was killed when its container met this fate: %o', async (fate, why) => {
    executor.fate = fate;
    const { outputs, process } = await open();
    process.stdout.write('last words');
    process.exit(137);
    const all = await rest(outputs).catch((error: unknown) => fromStatus(error).message);
    expect(all).toEqual(why ?? { stdout: 'last words', stderr: '', exit: { code: 137, signal: '' } });
  });

  it('leaves the exit of a process alone that ended by itself while its container was stopped', async () => {
    executor.fate = { kind: 'stopped' };
    const { outputs, process } = await open();
    process.exit(3);
    expect((await rest(outputs)).exit).toEqual({ code: 3, signal: '' });
  });

  it('ends the process with the stream', async () => {
    const client = new AbortController();
    const { process } = await open({}, client.signal);
    client.abort();
    await eventually(() => expect(process.killed).toBe(true));
  });

  it('takes no more output than its client does', async () => {
    const { outputs, process } = await open();
    let written = 0;
    const chunk = Buffer.alloc(64 * 1024);
    const writing = (async () => {
      while (written < 64 * MIB) {
        written += chunk.length;
        if (!process.stdout.write(chunk)) await once(process.stdout, 'drain');
      }
      process.exit(0);
    })();
    let before = -1;
    await vi.waitFor(
      () => {
        const stuck = written === before;
        before = written;
        expect(stuck).toBe(true);
      },
      { timeout: 20_000, interval: 200 },
    );
    expect(written).toBeLessThan(32 * MIB);
    let read = 0;
    for await (const output of outputs) if (output.$case === 'stdout') read += output.value.length;
    await writing;
    expect(read).toBe(64 * MIB);
  });

  it('takes no more input than the process does', async () => {
    const { stream, process, outputs } = await open();
    const chunk = Buffer.alloc(MIB);
    let sent = 0;
    const sending = (async () => {
      for (; sent < 64; sent++) await say(stream, { $case: 'stdin', value: chunk });
      await say(stream, { $case: 'stdinClosed', value: true });
    })();
    let before = -1;
    await vi.waitFor(
      () => {
        const stuck = sent === before;
        before = sent;
        expect(stuck).toBe(true);
      },
      { timeout: 20_000, interval: 200 },
    );
    expect(sent).toBeLessThan(64);
    expect((await buffer(process.stdin)).length).toBe(64 * MIB);
    await sending;
    process.exit(0);
    expect((await rest(outputs)).exit).toEqual({ code: 0, signal: '' });
  });

  it('reports the exit although a child holds the output open', async () => {
    const { outputs, process } = await open();
    process.stdout.write('before');
    process.exit(0, undefined, { background: true });
    expect(await rest(outputs)).toEqual({ stdout: 'before', stderr: '', exit: { code: 0, signal: '' } });
  });

  it('is refused with the reason', async () => {
    const outcome = async (input: NonNullable<ExecInput['input']>) => {
      const stream = bidi(() => client.exec());
      await say(stream, input);
      return reasonOf(
        rest(
          (async function* () {
            for await (const { output } of stream.responses) if (output?.output) yield output.output;
          })(),
        ),
      );
    };
    const start = (target: ExecStart['target']) =>
      ({ $case: 'start', value: { ...ExecStart.fromPartial({}), target } }) as const;
    reserve('early');
    reserve('late');
    executor.become('late', 'completed');
    expect(await outcome(start(byGuid('none')))).toBe('CONTAINER_NOT_FOUND');
    expect(await outcome(start(byGuid('early')))).toBe('CONTAINER_NOT_READY');
    expect(await outcome(start(byGuid('late')))).toBe('CONTAINER_NOT_READY');
    expect(await outcome(start(undefined))).toBe('INVALID_REQUEST');
    expect(await outcome({ $case: 'signal', value: 'INT' })).toBe('INVALID_REQUEST');
    const { stream, outputs, process } = await open();
    await say(stream, { $case: 'signal', value: 'NONE' });
    expect(await reasonOf(rest(outputs))).toBe('INVALID_REQUEST');
    expect(process.killed).toBe(true);
  });

  it('goes to the instance that lives, not to the one that ended before it', async () => {
    reserve('new');
    executor.become('a', 'completed');
    executor.become('new', 'running');
    const { started, process } = await open();
    expect(started).toMatchObject({ value: { containerGuid: 'new' } });
    process.exit(0);
  });
});

describe('files', () => {
  it('are read in pieces of at most 64 KiB', async () => {
    executor.content = Buffer.alloc(300_000, 'x');
    const pieces: Buffer[] = [];
    for await (const { data } of serverStream(() => client.readFiles({ target: byInstance, path: '/tmp', user: '' }))) {
      pieces.push(data);
    }
    expect(Buffer.concat(pieces).equals(executor.content)).toBe(true);
    expect(Math.max(...pieces.map((piece) => piece.length))).toBeLessThanOrEqual(64 * 1024);
  });

  it('that are not there are not found', async () => {
    const reading = async () => {
      for await (const _ of serverStream(() => client.readFiles({ target: byInstance, path: '/none', user: '' }))) {
        throw new Error('it had content');
      }
    };
    expect(await reasonOf(reading())).toBe('FILE_NOT_FOUND');
  });

  it('are written from pieces', async () => {
    await new Promise<void>((resolve, reject) => {
      const call = client.writeFiles((error) => (error ? reject(error) : resolve()));
      call.write({ message: { $case: 'start', value: { target: byInstance, path: '/app', user: 'vcap' } } });
      call.write({ message: { $case: 'data', value: Buffer.from('tar ') } });
      call.write({ message: { $case: 'data', value: Buffer.from('stream') } });
      call.end();
    });
    expect(executor.written).toEqual([{ path: '/app', user: 'vcap', bytes: Buffer.from('tar stream') }]);
  });

  it('are given up with the client, also before anybody reads what it sends', async () => {
    const call = client.writeFiles(() => undefined);
    call.on('error', () => undefined);
    const ended = new Promise<unknown>((resolve) => {
      executor.streamIn = async (_guid, _path, _user, tar) => {
        call.cancel();
        await new Promise((closed) => tar.once('close', closed));
        resolve(tar.errored);
      };
    });
    call.write({ message: { $case: 'start', value: { target: byInstance, path: '/app', user: 'vcap' } } });
    expect(await ended).toMatchObject({ reason: 'CANCELLED' });
  });

  it('are refused when the stream does not start', async () => {
    const writing = new Promise<void>((resolve, reject) => {
      const call = client.writeFiles((error) => (error ? reject(error) : resolve()));
      call.write({ message: { $case: 'data', value: Buffer.from('x') } });
      call.end();
    });
    expect(await reasonOf(writing)).toBe('INVALID_REQUEST');
  });
});

describe('what a cell says of itself', () => {
  it('is its state', async () => {
    reserve('b');
    expect(await unary(client, client.getState, {})).toMatchObject({
      broken: 'no more',
      presence: { cellId: 'cell-1' },
      total: { memoryMb: 1_000 },
      available: { memoryMb: 1_000 - 128 },
      startingContainers: 1,
      evacuating: false,
      containers: 2,
    });
  });

  it('is its containers, in pages by guid', async () => {
    for (const guid of ['c', 'b', 'd']) reserve(guid);
    const first = await unary(client, client.listContainers, ListContainersRequest.fromPartial({ pageSize: 3 }));
    expect(first.containers.map(({ containerGuid }) => containerGuid)).toEqual(['a', 'b', 'c']);
    expect(first.containers[0]).toMatchObject({ state: ContainerState.RUNNING, memoryMb: 64, target: byInstance });
    await executor.delete('c');
    const next = { pageSize: 3, pageToken: first.nextPageToken };
    const second = await unary(client, client.listContainers, next);
    expect(second.containers.map(({ containerGuid }) => containerGuid)).toEqual(['d']);
    expect(second.nextPageToken).toBe('');
    expect(await reasonOf(unary(client, client.listContainers, { pageSize: 1_001, pageToken: '' }))).toBe(
      'INVALID_REQUEST',
    );
  });

  it('is what its containers used at the last look', async () => {
    let ageMs = 1_000;
    executor.metrics = async () => {
      ageMs += 1_000;
      const garden = {
        memoryBytes: 5,
        cpuTimeNs: (ageMs / 2) * 1e6,
        diskBytes: 6,
        pids: 2,
        rxBytes: 7,
        txBytes: 8,
        ageMs,
      };
      // Twice what it uses at first, half of it later.
      const cpuEntitlementNs = ageMs <= 2000 ? ageMs * 1e6 : 2e9 * 1.1;
      return { ...garden, cpuEntitlementNs, logBytes: ageMs * 3, logBytesPerSecondLimit: 1000 };
    };
    const seen = async () => {
      await metrics.look();
      return (await unary(client, client.listContainerMetrics, { pageSize: 0, pageToken: '' })).metrics[0];
    };
    expect(await seen()).toMatchObject({ cpuUsageFraction: 0, logBytesPerSecond: 0, cpuTimeSeconds: 1 });
    expect((await seen())?.spikeStart).toBeUndefined();
    const { metrics: rows } = await unary(client, client.listContainerMetrics, { pageSize: 0, pageToken: '' });
    expect(rows).toMatchObject([
      {
        containerGuid: 'a',
        cpuUsageFraction: 0.5,
        memoryUsageBytes: 5,
        memoryQuotaBytes: 64 * MIB,
        pids: 2,
        rxBytes: 7,
        cpuTimeSeconds: 1.5,
        ageSeconds: 3,
        cpuEntitlementFraction: 2.5,
        logBytesPerSecond: 3000,
        logBytesPerSecondLimit: 1000,
      },
    ]);
    await seen();
    const spike = await seen();
    expect(spike?.spikeStart).toBeInstanceOf(Date);
    expect(spike?.spikeEnd).toBeUndefined();
    expect((await seen())?.spikeStart).toEqual(spike?.spikeStart);
  });

  it('is its logs, as long as somebody reads', async () => {
    let read: LogFilter | undefined;
    executor.logs.read = async function* (filter, signal) {
      read = filter;
      yield { entries: [], dropped: 4 };
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
    };
    const filter = LogFilter.fromPartial({ processGuid: 'web', follow: true });
    for await (const { dropped } of serverStream(() => client.readLogs({ filter }))) {
      expect(dropped).toBe(4);
      break;
    }
    expect(read).toMatchObject({ processGuid: 'web', follow: true });
  });

  it('is for servers alone', async () => {
    for (const role of ['client', 'reader', 'cell'] as const) {
      const other = bed.dial(RepServiceClient, port, await bed.identity(role), { expect: 'cell' });
      await expect(unary(other, other.getState, {})).rejects.toThrow(RiveraError);
      expect(await reasonOf(unary(other, other.getState, {}))).toBe('PERMISSION_DENIED');
    }
  });
});
