import { mkdtemp, rm } from 'node:fs/promises';
import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { TaskState } from '@rivera/gen/rivera/bbs/v1/task';
import { silentLogger } from '@rivera/kit/log';
import { Authority } from '@rivera/kit/tls/authority';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Converger } from '../converger.js';
import type { NewTask } from '../core/task.js';
import { cancelTask, completeTask, deleteTask, resolveTask, retryTaskCallback, startTask } from '../core/task.js';
import { EngineBench, turns } from '../engine/testing.js';
import { type CallbackOptions, CallbackWorker } from './callback-worker.js';

let bench: EngineBench;
let converger: Converger;
const closers: (() => void | Promise<void>)[] = [];

beforeEach(async () => {
  bench = await EngineBench.open();
  converger = new Converger(bench.engine, bench.clock, silentLogger);
});
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
  bench.close();
});

/** The worker as a term has it: it hears of everything that becomes durable. */
function work(options: Partial<CallbackOptions> = {}): CallbackWorker {
  const worker = new CallbackWorker(bench.engine, { concurrency: 8, timeoutMs: 10_000, ...options }, silentLogger);
  bench.engine.onDurable((commits) => worker.dispatch(commits.flatMap((commit) => commit.effects)));
  closers.push(() => worker.close());
  return worker;
}

type Answer = (response: ServerResponse, request: IncomingMessage) => void;
const status =
  (code: number): Answer =>
  (response) =>
    response.writeHead(code).end('thank you');
const never: Answer = () => {};

/** A receiver of callbacks; answers the next callback with the next answer, and all further ones with the last. */
async function receiver(answers: Answer[], server: Server = createHttpServer()) {
  const received: { body: string; headers: IncomingMessage['headers']; atMs: number; method: string; url: string }[] =
    [];
  const listeners: (() => void)[] = [];
  let hungUp = 0;
  server.on('connection', (socket: Socket) => {
    socket.once('close', () => {
      hungUp++;
      for (const wake of listeners.splice(0)) wake();
    });
  });
  server.on('request', async (request: IncomingMessage, response: ServerResponse) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    const { headers, method = '', url = '' } = request;
    const answer = answers[Math.min(received.length, answers.length - 1)] as Answer;
    received.push({ body, headers, method, url, atMs: bench.engine.now() });
    for (const wake of listeners.splice(0)) wake();
    answer(response, request);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => {
    server.closeAllConnections();
    return new Promise<void>((resolve) => server.close(() => resolve()));
  });
  const until = async (holds: () => boolean) => {
    while (!holds()) await new Promise<void>((resolve) => listeners.push(resolve));
  };
  const secure = 'setSecureContext' in server;
  return {
    url: `${secure ? 'https' : 'http'}://127.0.0.1:${(server.address() as AddressInfo).port}/done?x=1`,
    received,
    hasReceived: (count: number) => until(() => received.length >= count),
    hasBeenHungUpOn: () => until(() => hungUp > 0),
  };
}

async function running(guid: string, task: Partial<NewTask>): Promise<void> {
  await bench.task(guid, task);
  await bench.engine.execute((draft) => startTask(draft, guid, 'c1', 'e'));
}

async function completed(guid: string, task: Partial<NewTask>, result = 'the result'): Promise<void> {
  await running(guid, task);
  const by = { cellId: 'c1', executionGuid: 'e' };
  await bench.engine.execute((draft) => completeTask(draft, guid, by, { failed: false, failureReason: '', result }));
}

const task = (guid: string) => bench.engine.state.tasks.get(guid);
const gone = (guid: string) => bench.until(() => task(guid) === undefined);
const postponed = (guid: string, attempts: number) =>
  bench.until(() => task(guid)?.state === TaskState.COMPLETED && task(guid)?.callbackAttempts === attempts);

describe('a callback', () => {
  it('is a POST of JSON with exactly these keys; an answer of 2xx ends the Task', async () => {
    const { url, received } = await receiver([status(200), status(204)]);
    work();
    await completed('t', { callbackUrl: url, annotation: 'mine' }, 'say "é"');
    await gone('t');
    const [callback] = received;
    expect(callback).toMatchObject({ method: 'POST', url: '/done?x=1' });
    expect(callback?.headers).toMatchObject({ 'content-type': 'application/json' });
    // Nanoseconds are more than a JavaScript number holds exactly: the text counts.
    expect(callback?.body).toBe(
      '{"task_guid":"t","failed":false,"failure_reason":"","result":"say \\"é\\"","annotation":"mine",' +
        '"created_at":1000000000000}',
    );
    await completed('without-annotation', { callbackUrl: url });
    await gone('without-annotation');
    const keys = Object.keys(JSON.parse(received[1]?.body ?? ''));
    expect(keys.sort()).toEqual(['created_at', 'failed', 'failure_reason', 'result', 'task_guid']);
    expect(received).toHaveLength(2);
  });

  it('tells of a Task that was cancelled, once, whatever its cell says afterwards', async () => {
    const { url, received } = await receiver([status(200)]);
    work();
    await running('t', { callbackUrl: url });
    const by = { cellId: 'c1', executionGuid: 'e' };
    await bench.engine.execute((draft) => cancelTask(draft, 't'));
    const late = bench.engine.execute((draft) =>
      completeTask(draft, 't', by, { failed: false, failureReason: '', result: 'too late' }),
    );
    await late.catch(() => undefined);
    await gone('t');
    expect(received.map(({ body }) => JSON.parse(body))).toMatchObject([
      { task_guid: 't', failed: true, failure_reason: 'task was cancelled', result: '' },
    ]);
  });

  it('is not sent for a Task without an address', async () => {
    const { url, received, hasReceived } = await receiver([status(200)]);
    work({ concurrency: 1 });
    await completed('silent', {});
    await completed('next', { callbackUrl: url });
    await hasReceived(1);
    await gone('next');
    expect(received.map(({ body }) => JSON.parse(body).task_guid)).toEqual(['next']);
    expect(task('silent')?.state).toBe(TaskState.COMPLETED);
  });
});

describe('a callback that is not delivered', () => {
  it('is tried again with growing pauses until it is: only 2xx counts', async () => {
    const { url, received, hasReceived } = await receiver([500, 404, 302, 503, 200].map(status));
    work();
    await completed('t', { callbackUrl: url });
    for (const attempt of [1, 2, 3, 4]) {
      await hasReceived(attempt);
      await postponed('t', attempt);
      await bench.clock.advance(1_000 * 2 ** (attempt - 1) - 1);
      await converger.tick();
      await turns();
      expect(received).toHaveLength(attempt);
      await bench.clock.advance(1);
      await converger.tick();
    }
    await gone('t');
    const begunMs = received[0]?.atMs ?? 0;
    expect(received.map(({ atMs }) => atMs - begunMs)).toEqual([0, 1_000, 3_000, 7_000, 15_000]);
  });

  it('is tried again when nobody listens', async () => {
    const closed = createHttpServer();
    await new Promise<void>((resolve) => closed.listen(0, '127.0.0.1', resolve));
    const { port } = closed.address() as AddressInfo;
    await new Promise<void>((resolve) => closed.close(() => resolve()));
    work();
    await completed('t', { callbackUrl: `http://127.0.0.1:${port}/` });
    await postponed('t', 1);
    const server = createHttpServer((_, response) => response.end());
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    closers.push(() => new Promise<void>((resolve) => server.close(() => resolve())));
    await bench.clock.advance(1_000);
    await converger.tick();
    await gone('t');
  });

  it('is tried again when the receiver does not answer in time, or not to the end', async () => {
    const { url, received } = await receiver([
      never,
      (response) => response.writeHead(200, { 'content-length': 1_000 }).write('half of it'),
      (response) => response.destroy(),
      status(200),
    ]);
    work({ timeoutMs: 100 });
    await completed('t', { callbackUrl: url });
    for (const attempt of [1, 2, 3]) {
      await postponed('t', attempt);
      await bench.clock.advance(60_000);
      await converger.tick();
    }
    await gone('t');
    expect(received).toHaveLength(4);
  });

  it('is not tried before its pause is over, whoever asks for it', async () => {
    const { url, received } = await receiver([status(500), status(200)]);
    const worker = work({ concurrency: 1 });
    await completed('t', { callbackUrl: url });
    await postponed('t', 1);
    await turns();
    worker.dispatch([{ kind: 'callback', taskGuid: 't' }]);
    await completed('next', { callbackUrl: url });
    await gone('next');
    expect(received.map(({ body }) => JSON.parse(body).task_guid)).toEqual(['t', 'next']);
  });
});

describe('a callback that nobody takes', () => {
  const RETENTION = { callbackRetentionMs: 60_000 };
  beforeEach(async () => {
    bench.close();
    bench = await EngineBench.open({ policy: RETENTION });
    converger = new Converger(bench.engine, bench.clock, silentLogger);
  });

  async function givenUp(guid: string, url: string): Promise<void> {
    await completed(guid, { callbackUrl: url });
    await postponed(guid, 1);
    await bench.clock.advance(60_000);
    await converger.tick();
    await bench.engine.durable();
    expect(task(guid)?.callbackGivenUpAtMs).toBe(bench.engine.now());
  }

  it('is given up after the retention; the Task says why, and is not called back whoever asks', async () => {
    const { url, received } = await receiver([status(500)]);
    const worker = work({ concurrency: 1 });
    await givenUp('t', url);
    expect(task('t')).toMatchObject({ state: TaskState.COMPLETED, callbackError: 'HTTP 500', result: 'the result' });
    worker.dispatch([{ kind: 'callback', taskGuid: 't' }]);
    await turns();
    expect(received).toHaveLength(1);
  });

  it('is delivered at once when somebody has it tried again', async () => {
    const { url, received } = await receiver([status(500), status(200)]);
    work();
    await givenUp('t', url);
    await bench.engine.execute((draft) => retryTaskCallback(draft, 't'));
    await gone('t');
    expect(received).toHaveLength(2);
  });

  it('is a dead letter to the next leader as well, who can have it delivered', async () => {
    const { url, received } = await receiver([status(500), status(200)]);
    work();
    await givenUp('t', url);
    const { database, clock } = bench;
    bench.close();
    bench = await EngineBench.open({ policy: RETENTION, database, clock, epoch: 2 });
    expect(bench.engine.state.deadLetters.size).toBe(1);
    expect(task('t')).toMatchObject({ callbackAttempts: 1, callbackError: 'HTTP 500' });
    work();
    await new Converger(bench.engine, clock, silentLogger).tick();
    await turns();
    expect(received).toHaveLength(1);
    await bench.engine.execute((draft) => retryTaskCallback(draft, 't'));
    await gone('t');
    expect(received).toHaveLength(2);
  });

  it('tells what kept it', async () => {
    const closed = await receiver([never]);
    await closers.pop()?.();
    const hanging = await receiver([never]);
    work({ timeoutMs: 100 });
    const { host } = new URL(closed.url);
    for (const [guid, url, error] of [
      ['closed', closed.url, `connect ECONNREFUSED ${host}`],
      ['hangs', hanging.url, 'no answer within 100 ms'],
    ] as const) {
      await completed(guid, { callbackUrl: url });
      await postponed(guid, 1);
      expect(task(guid)?.callbackError).toContain(error);
    }
  });
});

describe('who takes the result', () => {
  it('is one party: a Task that a client is resolving is not called back', async () => {
    const { url, received } = await receiver([status(200)]);
    const worker = work({ concurrency: 1 });
    await running('t', { callbackUrl: url });
    const by = { cellId: 'c1', executionGuid: 'e' };
    const outcome = { failed: false, failureReason: '', result: '' };
    // In one change, so that the worker only hears of it when the client has it.
    await bench.engine.execute((draft) => {
      completeTask(draft, 't', by, outcome);
      resolveTask(draft, 't');
    });
    await completed('next', { callbackUrl: url });
    await gone('next');
    await bench.engine.execute((draft) => deleteTask(draft, 't'));
    worker.dispatch([{ kind: 'callback', taskGuid: 't' }]);
    await completed('last', { callbackUrl: url });
    await gone('last');
    expect(received.map(({ body }) => JSON.parse(body).task_guid)).toEqual(['next', 'last']);
  });

  it('is the worker, once it delivers: a client that comes meanwhile is refused', async () => {
    let answer = () => {};
    const { url, hasReceived } = await receiver([
      (response) => {
        answer = () => response.end();
      },
    ]);
    work();
    await completed('t', { callbackUrl: url });
    await hasReceived(1);
    for (const take of [resolveTask, cancelTask]) {
      const refused = bench.engine.execute((draft) => take(draft, 't'));
      await expect(refused).rejects.toMatchObject({ reason: 'INVALID_STATE_TRANSITION' });
    }
    answer();
    await gone('t');
  });
});

describe('deliveries', () => {
  it('happen once however often they are asked for', async () => {
    const { url, received, hasReceived } = await receiver([status(200)]);
    const worker = work({ concurrency: 1 });
    const guids = Array.from({ length: 20 }, (_, i) => `t${i}`);
    for (const guid of guids) await completed(guid, { callbackUrl: url });
    for (let i = 0; i < 20; i++) worker.dispatch(guids.map((taskGuid) => ({ kind: 'callback', taskGuid })));
    await hasReceived(guids.length);
    await Promise.all(guids.map(gone));
    await completed('last', { callbackUrl: url });
    await gone('last');
    expect(received.map(({ body }) => JSON.parse(body).task_guid)).toEqual([...guids, 'last']);
  });

  it('to one receiver that hangs do not keep the others waiting', async () => {
    const hanging = await receiver([never]);
    const good = await receiver([status(200)]);
    work({ concurrency: 4 });
    for (let i = 0; i < 10; i++) await completed(`hangs-${i}`, { callbackUrl: hanging.url });
    for (let i = 0; i < 10; i++) await completed(`good-${i}`, { callbackUrl: good.url });
    await Promise.all(Array.from({ length: 10 }, (_, i) => gone(`good-${i}`)));
    expect(hanging.received).toHaveLength(1);
  });

  it('are no more at a time than configured', async () => {
    const receivers = await Promise.all(Array.from({ length: 6 }, () => receiver([never])));
    work({ concurrency: 4 });
    for (const [i, { url }] of receivers.entries()) await completed(`t${i}`, { callbackUrl: url });
    await Promise.all(receivers.slice(0, 4).map(({ hasReceived }) => hasReceived(1)));
    await turns();
    const states = receivers.map((_, i) => task(`t${i}`)?.state);
    expect(states.filter((state) => state === TaskState.RESOLVING)).toHaveLength(4);
  });

  it('end with the worker: what is under way is hung up on, what waits is not begun', async () => {
    const { url, received, hasReceived, hasBeenHungUpOn } = await receiver([never]);
    const worker = work({ concurrency: 1 });
    await completed('under-way', { callbackUrl: url });
    await completed('waits', { callbackUrl: url });
    await hasReceived(1);
    worker.close();
    await hasBeenHungUpOn();
    worker.dispatch([{ kind: 'callback', taskGuid: 'waits' }]);
    // Given back rather than left in the hands of a worker that is no more.
    await postponed('under-way', 1);
    expect(task('under-way')?.callbackError).toBe('the server stopped before an answer came');
    await turns();
    expect(received).toHaveLength(1);
    expect(task('waits')).toMatchObject({ state: TaskState.COMPLETED, callbackAttempts: 0 });
  });
});

describe('over https', () => {
  async function authority(): Promise<Authority> {
    const folder = await mkdtemp(join(tmpdir(), 'rivera-callbacks-'));
    try {
      return await Authority.open(folder);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }

  async function secureReceiver(ca: Authority) {
    const { certPem, keyPem } = await ca.issue({ role: 'server', name: 'receiver', hosts: ['127.0.0.1'] });
    const names: (string | undefined)[] = [];
    const server = createHttpsServer({
      cert: certPem,
      key: keyPem,
      ca: ca.caPem,
      requestCert: true,
      rejectUnauthorized: true,
    });
    const answer: Answer = (response, request) => {
      const name = (request.socket as TLSSocket).getPeerCertificate().subject.CN;
      names.push(Array.isArray(name) ? name[0] : name);
      response.end();
    };
    return { ...(await receiver([answer], server)), names };
  }

  it('the server shows its certificate, and trusts the platform’s authority', async () => {
    const ca = await authority();
    const { url, names } = await secureReceiver(ca);
    const { certPem, keyPem } = await ca.issue({ role: 'server', name: 'the-bbs' });
    work({ tls: { caPem: ca.caPem, certPem, keyPem } });
    await completed('t', { callbackUrl: url });
    await gone('t');
    expect(names).toEqual(['the-bbs']);
  });

  it('nothing is told to a receiver that nobody vouches for', async () => {
    const [ours, theirs] = await Promise.all([authority(), authority()]);
    const { url, received } = await secureReceiver(theirs);
    const { certPem, keyPem } = await ours.issue({ role: 'server', name: 'the-bbs' });
    work({ tls: { caPem: ours.caPem, certPem, keyPem } });
    await completed('t', { callbackUrl: url });
    await postponed('t', 1);
    expect(received).toEqual([]);
  });
});
