import { status } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { RiveraError } from '../errors.js';
import { GrpcMetrics } from '../metrics/grpc.js';
import { MetricsRegistry } from '../metrics.js';
import { unary } from './dial.js';
import type { CallObserver, ObservedCall } from './observer.js';
import { EchoClient, TestBed } from './test-bed.js';

/** What was heard of calls, in order. */
class Notes implements CallObserver {
  readonly heard: string[] = [];
  readonly calls: ObservedCall[] = [];

  began({ method }: ObservedCall): void {
    this.heard.push(`began ${name(method)}`);
  }

  received({ method }: ObservedCall, message: unknown): void {
    this.heard.push(`${name(method)} < ${message}`);
  }

  sent({ method }: ObservedCall, message: unknown): void {
    this.heard.push(`${name(method)} > ${message}`);
  }

  ended(call: ObservedCall, { code }: { code: number }): void {
    this.calls.push(call);
    this.heard.push(`ended ${name(call.method)} ${status[code]}`);
  }
}

const name = (method: string) => method.split('/').at(-1);
/** Resolves once nothing more can be heard of a call. */
const ended = (notes: Notes) => expect.poll(() => notes.heard.at(-1)).toMatch(/^ended/);

let bed: TestBed;
let notes: Notes;
beforeEach(async () => {
  bed = await TestBed.create();
  notes = new Notes();
});
afterEach(() => bed.close());

describe('an observer hears', () => {
  test('a unary call, its message and its answer', async () => {
    const { client } = await bed.echo({}, { observers: [notes] });
    await unary(client, client.ask, 'hello');
    await ended(notes);
    expect(notes.heard).toEqual(['began Ask', 'Ask < hello', 'Ask > hello', 'ended Ask OK']);
    expect(notes.calls[0]).toMatchObject({
      method: '/rivera.test.Echo/Ask',
      peer: { role: 'client', name: 'ada' },
      remoteAddress: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
      streaming: false,
      changing: true,
      admitted: true,
    });
  });

  test('which methods are for readers too', async () => {
    const { client } = await bed.echo({}, { observers: [notes], access: { default: ['client', 'reader'] } });
    await unary(client, client.ask, 'hello');
    await ended(notes);
    expect(notes.calls[0]?.changing).toBe(false);
  });

  test('every message of a stream', async () => {
    const { client } = await bed.echo({}, { observers: [notes] });
    const call = client.talk();
    call.write('a');
    call.end('b');
    for await (const _ of call);
    await ended(notes);
    expect(notes.heard.filter((line) => line.includes('<'))).toEqual(['Talk < a', 'Talk < b']);
    expect(notes.heard.filter((line) => line.includes('>'))).toEqual(['Talk > a', 'Talk > b']);
    expect(notes.heard.at(-1)).toBe('ended Talk OK');
  });

  test('what a handler failed with', async () => {
    const ask = () => {
      throw new RiveraError('TASK_NOT_FOUND', 'no');
    };
    const { client } = await bed.echo({ ask }, { observers: [notes] });
    await expect(unary(client, client.ask, 'hello')).rejects.toThrow('no');
    await ended(notes);
    expect(notes.heard.at(-1)).toBe('ended Ask NOT_FOUND');
  });

  test('a refused call, and that nothing of it was heard', async () => {
    const { client } = await bed.echo({}, { observers: [notes], access: { default: ['cell'] } });
    await expect(unary(client, client.ask, 'hello')).rejects.toThrow('may not call');
    await ended(notes);
    expect(notes.heard).toEqual(['ended Ask PERMISSION_DENIED']);
    expect(notes.calls[0]?.admitted).toBe(false);
  });

  test('that the client went away', async () => {
    const { client } = await bed.echo({ ask: (_, { signal }) => aborted(signal) }, { observers: [notes] });
    const aborter = new AbortController();
    const asking = unary(client, client.ask, 'hello', { signal: aborter.signal });
    await expect.poll(() => notes.heard).toContain('Ask < hello');
    aborter.abort();
    await expect(asking).rejects.toThrow();
    await ended(notes);
    expect(notes.heard.at(-1)).toBe('ended Ask CANCELLED');
  });

  test('that the deadline was over', async () => {
    const { client } = await bed.echo({ ask: (_, { signal }) => aborted(signal) }, { observers: [notes] });
    await expect(unary(client, client.ask, 'hello', { deadlineMs: 150 })).rejects.toThrow();
    await ended(notes);
    expect(notes.heard.at(-1)).toBe('ended Ask DEADLINE_EXCEEDED');
  });

  test('that the host was closed under a stream, once', async () => {
    const { client, host } = await bed.echo({}, { observers: [notes] });
    const call = client.talk();
    call.on('error', () => {});
    call.write('a');
    await expect.poll(() => notes.heard).toContain('Talk > a');
    await host.close(100);
    expect(notes.heard.filter((line) => line.startsWith('ended'))).toEqual(['ended Talk UNAVAILABLE']);
  });
});

test('a call does not fail because its observer does', async () => {
  const broken: CallObserver = {
    received() {
      throw new Error('broken');
    },
  };
  const { client } = await bed.echo({}, { observers: [broken, notes] });
  expect(await unary(client, client.ask, 'hello')).toBe('hello');
  await ended(notes);
});

test('metrics count calls by their status, time unary ones, and know what is open', async () => {
  const registry = new MetricsRegistry();
  const metrics = new GrpcMetrics(registry);
  const { client, port } = await bed.echo({}, { observers: [metrics, notes] });
  await unary(client, client.ask, 'hello');
  await unary(client, client.ask, 'hello');
  const reader = bed.dial(EchoClient, port, await bed.identity('reader'));
  await expect(unary(reader, reader.ask, 'hello')).rejects.toThrow();
  const call = client.talk();
  call.write('a');
  await expect.poll(() => notes.heard).toContain('Talk > a');
  const text = registry.text();
  const echo = 'service="rivera.test.Echo"';
  expect(text).toContain(`rivera_grpc_calls_total{${echo},method="Ask",code="OK"} 2\n`);
  expect(text).toContain(`rivera_grpc_calls_total{${echo},method="Ask",code="PERMISSION_DENIED"} 1\n`);
  expect(text).toMatch(/^RequestCount 3$/m);
  expect(text).toContain(`rivera_grpc_latency_seconds_count{${echo},method="Ask"} 2\n`);
  expect(text).toContain(`rivera_grpc_calls_in_flight{${echo},method="Ask"} 0\n`);
  expect(text).toContain(`rivera_grpc_calls_in_flight{${echo},method="Talk"} 1\n`);
  expect(Number(/^RequestLatency (\d.*)$/m.exec(text)?.[1])).toBeGreaterThan(1_000);
  call.end();
  for await (const _ of call);
  await expect.poll(() => metrics.open('/rivera.test.Echo/Talk')).toBe(0);
});

function aborted(signal: AbortSignal): Promise<string> {
  return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }));
}
