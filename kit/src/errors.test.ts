import { Metadata, status } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ERRORS, type ErrorReason, fromStatus, RiveraError, toStatus } from './errors.js';
import { serverStream, unary } from './grpc/dial.js';
import { TestBed } from './grpc/test-bed.js';
import { createLogger } from './log.js';

const reasons = Object.keys(ERRORS) as ErrorReason[];

/** As grpc-js hands it to the caller. */
function received(error: unknown): Error {
  const { code, details, metadata } = toStatus(error);
  return Object.assign(new Error(`${code}: ${details}`), { code, details, metadata });
}

describe('the registry', () => {
  test.each(reasons)('%s survives the way to the client', (reason) => {
    const { code, retryable } = ERRORS[reason];
    expect(fromStatus(received(new RiveraError(reason, 'text')))).toMatchObject({ reason, code, retryable });
  });

  test('explains every reason and uses codes that gRPC has', () => {
    for (const reason of reasons) {
      expect(reason).toMatch(/^[A-Z][A-Z_]*[A-Z]$/);
      expect(ERRORS[reason].meaning).toMatch(/\.$/);
      expect(status[ERRORS[reason].code]).toBeTypeOf('string');
      expect(ERRORS[reason].code).not.toBe(status.OK);
    }
  });
});

describe('details', () => {
  test('all survive the way to the client', () => {
    const sent = new RiveraError('INVALID_REQUEST', 'two rules are broken', {
      metadata: { hint: 'ü' },
      violations: [
        { field: 'task.guid', description: 'must not be empty' },
        { field: 'task.domain', description: 'must not be empty' },
      ],
      retryDelayMs: 1500,
      resource: { type: 'task', name: 'guid-1' },
    });
    const got = fromStatus(received(sent));
    expect(got).toMatchObject({
      reason: sent.reason,
      message: sent.message,
      metadata: sent.metadata,
      violations: sent.violations,
      retryDelayMs: 1500,
      resource: sent.resource,
    });
  });

  test('fit into the trailers that other languages accept, whatever is put in', () => {
    const long = 'ä'.repeat(100_000);
    const { details, metadata } = toStatus(
      new RiveraError('INVALID_REQUEST', long, {
        metadata: { long },
        violations: Array.from({ length: 5000 }, (_, i) => ({ field: `f${i}`, description: 'is wrong' })),
        resource: { type: long, name: long },
      }),
    );
    const [trailer] = metadata.get('grpc-status-details-bin') as Buffer[];
    expect(encodeURI(details).length + (trailer?.toString('base64').length ?? 0)).toBeLessThan(7000);
    const { violations } = fromStatus(Object.assign(new Error(), { code: 3, details, metadata }));
    expect(violations.at(-1)?.description).toMatch(/^and \d+ more$/);
  });

  test('half a surrogate pair does not break the call', () => {
    expect(() => encodeURI(toStatus(new RiveraError('INTERNAL', 'bad \ud800')).details)).not.toThrow();
  });
});

describe('statuses that Rivera did not make', () => {
  const plain = (code: number, details = '') =>
    Object.assign(new Error(details), { code, details, metadata: new Metadata() });

  test.each([
    [status.UNAVAILABLE, 'UNAVAILABLE'],
    [status.DEADLINE_EXCEEDED, 'DEADLINE_EXCEEDED'],
    [status.UNIMPLEMENTED, 'UNIMPLEMENTED'],
    [status.NOT_FOUND, 'INTERNAL'],
    [status.DATA_LOSS, 'INTERNAL'],
  ])('code %i stays, and its reason is %s', (code, reason) => {
    expect(fromStatus(plain(code))).toMatchObject({ code, reason });
  });

  test('details that are no protobuf are ignored', () => {
    const error = plain(status.NOT_FOUND, 'gone');
    error.metadata.set('grpc-status-details-bin', Buffer.from([0xff, 0xff, 0xff]));
    expect(fromStatus(error).message).toBe('gone');
  });

  test('a reason that a newer server knows is kept beside the nearest that we know', () => {
    const error = new RiveraError('CELL_UNREACHABLE', 'x');
    Object.defineProperty(error, 'reason', { value: 'BRAND_NEW' });
    expect(fromStatus(received(error))).toMatchObject({ reason: 'UNAVAILABLE', metadata: { reason: 'BRAND_NEW' } });
  });
});

describe('through a real server and client', () => {
  let bed: TestBed;
  beforeAll(async () => {
    bed = await TestBed.create();
  });
  afterAll(() => bed.close());

  test('what a handler throws, its caller catches', async () => {
    const { client } = await bed.echo({
      ask: (guid) => {
        throw new RiveraError('TASK_NOT_FOUND', `no task ${guid}`, { resource: { type: 'task', name: guid } });
      },
    });
    await expect(unary(client, client.ask, 'guid-1')).rejects.toMatchObject({
      reason: 'TASK_NOT_FOUND',
      message: 'no task guid-1',
      code: status.NOT_FOUND,
      resource: { type: 'task', name: 'guid-1' },
    });
  });

  test('a stream delivers what came before the error', async () => {
    const { client } = await bed.echo({
      async *listen() {
        for (let i = 0; i < 10; i++) yield `${i}`;
        throw new RiveraError('WATCHER_TOO_SLOW', 'too slow');
      },
    });
    const seen: string[] = [];
    const reading = (async () => {
      for await (const item of serverStream(() => client.listen('hi'))) seen.push(item);
    })();
    await expect(reading).rejects.toMatchObject({ reason: 'WATCHER_TOO_SLOW' });
    expect(seen).toHaveLength(10);
  });

  test('a bug tells the caller nothing and the log everything', async () => {
    let lines = '';
    const destination = { write: (line: string) => (lines += line) } as unknown as NodeJS.WritableStream;
    const { client } = await bed.echo(
      {
        ask: () => {
          throw new TypeError("secret 'abc' is undefined");
        },
        tell: async () => undefined as unknown as string,
        async *listen() {
          yield 'one';
          throw new TypeError("secret 'abc' is undefined");
        },
      },
      { logger: createLogger({ name: 'test', destination }) },
    );
    const failure = await unary(client, client.ask, 'hi').catch((error: unknown) => error);
    expect(failure).toMatchObject({ reason: 'INTERNAL', message: 'internal error' });
    expect(JSON.stringify(failure)).not.toContain('abc');
    const stream = serverStream(() => client.listen('hi'));
    await stream.next();
    await expect(stream.next()).rejects.toMatchObject({ reason: 'INTERNAL', message: 'internal error' });
    expect(lines.match(/secret 'abc'/g)?.length).toBeGreaterThanOrEqual(2);
    expect(lines).toContain('/rivera.test.Echo/Ask');
    await new Promise((resolve) => client.tell(resolve).end());
    expect(lines).toContain('response can not be encoded');
  });
});
