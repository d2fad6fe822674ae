import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { RiveraError } from '../errors.js';
import { bidi, serverStream, unary } from './dial.js';
import type { CallContext } from './host.js';
import { EchoClient, TestBed } from './test-bed.js';

let bed: TestBed;

beforeEach(async () => {
  bed = await TestBed.create();
});
afterEach(() => bed.close());

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** A promise to be settled by a handler, for the test to wait on. */
function gate<T = void>() {
  let open: (value: T) => void = () => undefined;
  const opened = new Promise<T>((resolve) => {
    open = resolve;
  });
  return { open, opened };
}

describe('the four kinds of call', () => {
  test('unary', async () => {
    const { client } = await bed.echo({ ask: (request) => `${request}!` });
    expect(await unary(client, client.ask, 'hello')).toBe('hello!');
  });

  test('a stream of responses', async () => {
    const { client } = await bed.echo();
    expect(await collect(serverStream(() => client.listen('abc')))).toEqual(['a', 'b', 'c']);
  });

  test('a stream of requests', async () => {
    const { client } = await bed.echo();
    const answer = await new Promise((resolve, reject) => {
      const call = client.tell((error, response) => (error ? reject(error) : resolve(response)));
      for (const part of ['x', 'y', 'z']) call.write(part);
      call.end();
    });
    expect(answer).toBe('xyz');
  });

  test('both ways, in step and at length', async () => {
    const { client } = await bed.echo();
    const stream = bidi(() => client.talk());
    const responses = stream.responses[Symbol.asyncIterator]();
    for (let i = 0; i < 500; i++) {
      await stream.write(`${i}`);
      expect((await responses.next()).value).toBe(`${i}`);
    }
    stream.end();
    expect(await responses.next()).toEqual({ done: true, value: undefined });
  });

  test('a handler may stop reading and go on writing', async () => {
    const { client } = await bed.echo({
      async *talk(requests) {
        for await (const request of requests) {
          yield `first: ${request}`;
          break;
        }
        yield 'still here';
      },
    });
    const stream = bidi(() => client.talk());
    await stream.write('one');
    await stream.write('two');
    expect(await collect(stream.responses)).toEqual(['first: one', 'still here']);
  });
});

describe('what a handler knows', () => {
  test('its caller, from the certificate', async () => {
    let seen: CallContext | undefined;
    const { client } = await bed.echo({
      ask(_, ctx) {
        seen = ctx;
        return 'ok';
      },
    });
    await unary(client, client.ask, 'hi');
    expect(seen?.peer).toEqual({ role: 'client', name: 'ada' });
    expect(seen?.method).toBe('/rivera.test.Echo/Ask');
    expect(seen?.remoteAddress).toMatch(/^127\.0\.0\.1:\d+$/);
  });

  test('two connections are two callers', async () => {
    const { client, port } = await bed.echo(
      { ask: (_, ctx) => `${ctx.peer.role} ${ctx.peer.name}` },
      { access: { default: ['client', 'cell'] } },
    );
    const cell = bed.dial(EchoClient, port, await bed.identity('cell', 'cell-1'));
    expect(await unary(client, client.ask, 'hi')).toBe('client ada');
    expect(await unary(cell, cell.ask, 'hi')).toBe('cell cell-1');
    expect(await unary(client, client.ask, 'hi')).toBe('client ada');
  });

  test('that the client gave up', async () => {
    const started = gate();
    const ended = gate<unknown>();
    const { client } = await bed.echo({
      async ask(_, { signal }) {
        signal.addEventListener('abort', () => ended.open(signal.reason));
        started.open();
        await ended.opened;
        return 'ok';
      },
    });
    const aborter = new AbortController();
    const call = unary(client, client.ask, 'hi', { signal: aborter.signal });
    await started.opened;
    aborter.abort();
    await expect(call).rejects.toMatchObject({ reason: 'CANCELLED' });
    expect(await ended.opened).toMatchObject({ reason: 'CANCELLED' });
  });

  test('that the deadline is over, also when it asks late', async () => {
    const failed = gate();
    const ended = gate<unknown>();
    const { client } = await bed.echo({
      async ask(request, ctx) {
        if (request === 'connect') return 'ok';
        await failed.opened;
        const { signal } = ctx;
        if (!signal.aborted) await once(signal, 'abort');
        ended.open(signal.reason);
        return 'ok';
      },
    });
    await unary(client, client.ask, 'connect');
    await expect(unary(client, client.ask, 'hi', { deadlineMs: 300 })).rejects.toMatchObject({
      reason: 'DEADLINE_EXCEEDED',
    });
    failed.open();
    expect(await ended.opened).toMatchObject({ reason: 'DEADLINE_EXCEEDED' });
  });

  test('that a unary call without a deadline has one all the same', async () => {
    const { client } = await bed.echo({ ask: () => new Promise(() => undefined) }, { defaultDeadlineMs: 30 });
    await expect(unary(client, client.ask, 'hi', { deadlineMs: Infinity })).rejects.toMatchObject({
      reason: 'DEADLINE_EXCEEDED',
      message: 'no answer within 30 ms',
    });
  });

  test('a broken stream of requests throws; only a finished one ends', async () => {
    const ended = gate<unknown>();
    const { client } = await bed.echo({
      async *talk(requests) {
        try {
          for await (const request of requests) yield request;
          ended.open('finished');
        } catch (error) {
          ended.open(error);
        }
      },
    });
    const stream = bidi(() => client.talk());
    await stream.write('one');
    expect((await stream.responses[Symbol.asyncIterator]().next()).value).toBe('one');
    stream.cancel();
    const error = await ended.opened;
    expect(error).toBeInstanceOf(RiveraError);
    expect(error).toMatchObject({ reason: 'CANCELLED' });
  });

  test('nor is a connection that breaks the last word of a client', async () => {
    const ended = gate<unknown>();
    const { port } = await bed.echo({
      async *talk(requests) {
        try {
          for await (const request of requests) yield request;
          ended.open('finished');
        } catch (error) {
          ended.open(error);
        }
      },
    });
    const cable = await Cable.to(port);
    const client = bed.dial(EchoClient, cable.port, await bed.identity('client'));
    const stream = bidi(() => client.talk());
    const responses = stream.responses[Symbol.asyncIterator]();
    await stream.write('one');
    await responses.next();
    cable.cut();
    await expect(responses.next()).rejects.toMatchObject({ code: 14 });
    expect(await ended.opened).toMatchObject({ reason: 'CANCELLED' });
  });

  test('leaving the loop over responses ends the handler', async () => {
    const ended = gate();
    const { client } = await bed.echo({
      async *listen(_, { signal }) {
        try {
          for (;;) {
            yield 'again';
            signal.throwIfAborted();
          }
        } finally {
          ended.open();
        }
      },
    });
    for await (const item of serverStream(() => client.listen('hi'))) {
      expect(item).toBe('again');
      break;
    }
    await ended.opened;
  });
});

describe('bounds', () => {
  test('a message that is too large is refused, and the error says so', async () => {
    const { client } = await bed.echo({}, { maxMessageBytes: 1000 });
    await expect(unary(client, client.ask, 'x'.repeat(1001))).rejects.toMatchObject({
      reason: 'MESSAGE_TOO_LARGE',
      code: 8,
    });
    expect(await unary(client, client.ask, 'x'.repeat(1000))).toHaveLength(1000);
  });

  test('a message that is too large ends a stream of requests too', async () => {
    const { client } = await bed.echo({}, { maxMessageBytes: 1000 });
    const stream = bidi(() => client.talk());
    await stream.write('x'.repeat(1001));
    await expect(collect(stream.responses)).rejects.toMatchObject({ reason: 'MESSAGE_TOO_LARGE' });
  });

  test('a client refuses what is too large for it', async () => {
    const { client } = await bed.echo({ ask: () => 'x'.repeat(1001) }, { client: { maxMessageBytes: 1000 } });
    await expect(unary(client, client.ask, 'hi')).rejects.toMatchObject({ reason: 'MESSAGE_TOO_LARGE' });
  });

  test('a client that does not read stops the handler that writes', async () => {
    const message = 'x'.repeat(10_000);
    let produced = 0;
    const { client } = await bed.echo({
      async *listen() {
        for (; produced < 10_000; produced++) yield message;
      },
    });
    const responses = serverStream(() => client.listen('hi'));
    await responses.next();
    const produce = await untilStable(() => produced);
    expect(produce).toBeLessThan(200);
    for (let i = 0; i < 500; i++) await responses.next();
    expect(produced).toBeGreaterThan(produce);
    await responses.return(undefined);
  });

  test('a handler that does not read stops the client that writes', async () => {
    const reading = gate();
    let received = 0;
    const { client } = await bed.echo({
      async *talk(requests) {
        await reading.opened;
        for await (const _ of requests) received++;
        yield `${received}`;
      },
    });
    const stream = bidi(() => client.talk());
    const message = 'x'.repeat(10_000);
    let written = 0;
    const writing = (async () => {
      for (; written < 2000; written++) await stream.write(message);
      stream.end();
    })();
    expect(await untilStable(() => written)).toBeLessThan(200);
    reading.open();
    await writing;
    expect(await collect(stream.responses)).toEqual(['2000']);
  });

  test('a write that waits for room fails when the stream ends', async () => {
    const { client } = await bed.echo({
      async *talk(_, { signal }) {
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
        yield 'ok';
      },
    });
    const stream = bidi(() => client.talk());
    const writing = (async () => {
      for (;;) await stream.write('x'.repeat(100_000));
    })();
    const failed = expect(writing).rejects.toMatchObject({ reason: 'CANCELLED' });
    stream.cancel();
    await failed;
  });
});

/** Waits until a count has stopped growing, as a throttled producer's does. */
async function untilStable(count: () => number): Promise<number> {
  for (let before = -1; before !== count(); ) {
    before = count();
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return count();
}

/** A TCP connection that can be cut. */
class Cable {
  readonly #server: Server;
  readonly #sockets: Socket[] = [];

  private constructor(port: number) {
    this.#server = createServer((near) => {
      const far = connect(port, '127.0.0.1');
      for (const socket of [near, far]) this.#sockets.push(socket.on('error', () => undefined));
      near.pipe(far).pipe(near);
    });
  }

  static async to(port: number): Promise<Cable> {
    const cable = new Cable(port);
    await new Promise<void>((resolve) => cable.#server.listen(0, '127.0.0.1', resolve));
    return cable;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  cut(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}
