import { afterEach, beforeEach, expect, test } from 'vitest';
import { bidi, serverStream, unary } from './dial.js';
import { EchoService, echo, TestBed } from './test-bed.js';

let bed: TestBed;

beforeEach(async () => {
  bed = await TestBed.create();
});
afterEach(() => bed.close());

test('streams end with UNAVAILABLE and SHUTTING_DOWN, so that the client comes back', async () => {
  const { host, client } = await bed.echo();
  const stream = bidi(() => client.talk());
  const responses = stream.responses[Symbol.asyncIterator]();
  await stream.write('one');
  await responses.next();
  const next = responses.next();
  const ended = expect(next).rejects.toMatchObject({ reason: 'SHUTTING_DOWN', code: 14, retryable: true });
  const before = Date.now();
  await host.close(10_000);
  await ended;
  expect(Date.now() - before).toBeLessThan(9_000);
});

test('a stream that has sent nothing yet ends in the same way', async () => {
  let reason: unknown;
  const { host, client } = await bed.echo({
    async *listen(_, { signal }) {
      started();
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      reason = signal.reason;
      yield 'too late';
    },
  });
  let started: () => void = () => undefined;
  const running = new Promise<void>((resolve) => {
    started = resolve;
  });
  const next = serverStream(() => client.listen('hi')).next();
  const ended = expect(next).rejects.toMatchObject({ reason: 'SHUTTING_DOWN' });
  await running;
  await host.close();
  await ended;
  expect(reason).toMatchObject({ reason: 'SHUTTING_DOWN' });
});

test('a unary call that runs may finish', async () => {
  let release: () => void = () => undefined;
  let started: () => void = () => undefined;
  const running = new Promise<void>((resolve) => {
    started = resolve;
  });
  const { host, client } = await bed.echo({
    async ask() {
      started();
      await new Promise<void>((resolve) => {
        release = resolve;
      });
      return 'done';
    },
  });
  const call = unary(client, client.ask, 'hi');
  await running;
  const closed = host.close();
  release();
  expect(await call).toBe('done');
  await closed;
});

test('a unary call that takes longer than the grace is told to come back', async () => {
  let started: () => void = () => undefined;
  const running = new Promise<void>((resolve) => {
    started = resolve;
  });
  const { host, client } = await bed.echo({
    ask(_, { signal }) {
      started();
      return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    },
  });
  const failed = expect(unary(client, client.ask, 'hi')).rejects.toMatchObject({ reason: 'SHUTTING_DOWN' });
  await running;
  await host.close(20);
  await failed;
});

test('a client that reads nothing does not hold up the end for longer than the grace', async () => {
  const { host, client } = await bed.echo({
    async *listen() {
      for (;;) yield 'x'.repeat(100_000);
    },
  });
  const responses = serverStream(() => client.listen('hi'));
  await responses.next();
  const before = Date.now();
  await host.close(100);
  expect(Date.now() - before).toBeLessThan(9_000);
  await responses.return(undefined);
});

test('a handler that ignores its signal does not hold it up either', async () => {
  let started: () => void = () => undefined;
  const running = new Promise<void>((resolve) => {
    started = resolve;
  });
  const { host, client } = await bed.echo({
    ask() {
      started();
      return new Promise(() => undefined);
    },
  });
  const failed = expect(unary(client, client.ask, 'hi')).rejects.toMatchObject({ code: 14 });
  await running;
  await host.close(50);
  await failed;
});

test('closing twice is closing once, also before listening', async () => {
  const { host } = await bed.echo();
  await Promise.all([host.close(), host.close()]);
  const idle = await bed.host();
  await idle.close();
});

test('a client finds the next server on the same port by itself', async () => {
  const first = await bed.echo({ ask: () => 'first' });
  expect(await unary(first.client, first.client.ask, 'hi')).toBe('first');
  await first.host.close();
  await expect(unary(first.client, first.client.ask, 'hi')).rejects.toMatchObject({ reason: 'UNAVAILABLE' });
  const second = await bed.host();
  second.add(EchoService, { ...echo, ask: () => 'second' }, { default: ['client'] });
  await second.listen(`127.0.0.1:${first.port}`);
  await expect.poll(() => unary(first.client, first.client.ask, 'hi').catch(String)).toBe('second');
});
