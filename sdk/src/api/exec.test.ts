import { buffer, text } from 'node:stream/consumers';
import { setImmediate as turn } from 'node:timers/promises';
import { type ServerDuplexStream, status } from '@grpc/grpc-js';
import {
  type ExecRequest,
  ExecResponse,
  AccessServiceService as methods,
} from '@rivera/gen/rivera/access/v1/access_service';
import type { ExecInput } from '@rivera/gen/rivera/rep/v1/container';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { CancelledError, FailedPreconditionError, UnavailableError } from '../errors.js';
import { statusOf } from '../testing/fake-server.js';
import { Setting } from '../testing/setting.js';

let setting: Setting;
beforeAll(async () => {
  setting = await Setting.make();
});
afterEach(() => setting.endTest());
afterAll(() => setting.end());

const out = {
  started: ExecResponse.fromPartial({
    output: { output: { $case: 'started', value: { containerGuid: 'c', cellId: 'z1' } } },
  }),
  stdout: (data: string | Buffer) =>
    ExecResponse.fromPartial({ output: { output: { $case: 'stdout', value: Buffer.from(data) } } }),
  stderr: (data: string) =>
    ExecResponse.fromPartial({ output: { output: { $case: 'stderr', value: Buffer.from(data) } } }),
  exit: (code: number, signal = '') =>
    ExecResponse.fromPartial({ output: { output: { $case: 'exit', value: { code, signal } } } }),
};
const target = { target: { $case: 'taskGuid', value: 't' } } as const;
type Heard = ExecInput['input'];
/** What the client says; to stop listening does not end the call. */
const requestsOf = (call: ServerDuplexStream<ExecRequest, ExecResponse>): AsyncIterable<ExecRequest> =>
  call.iterator({ destroyOnReturn: false });

describe('a session', () => {
  it('starts a process, carries its input, outputs and exit', async () => {
    const server = await setting.server();
    const heard: Heard[] = [];
    server.duplex(methods.exec, async (call) => {
      for await (const { input } of requestsOf(call)) {
        heard.push(input?.input);
        if (input?.input?.$case === 'start') call.write(out.started);
        if (input?.input?.$case === 'stdin') call.write(out.stdout(input.input.value.toString().toUpperCase()));
        if (input?.input?.$case === 'stdinClosed') break;
      }
      call.write(out.stderr('done'));
      call.write(out.exit(7));
    });
    const session = setting.client(server).exec({ target, path: '/bin/tr', args: ['a-z', 'A-Z'] });
    session.stdin.end('hello');
    expect(await session.started).toMatchObject({ containerGuid: 'c', cellId: 'z1' });
    expect(await Promise.all([text(session.stdout), text(session.stderr)])).toEqual(['HELLO', 'done']);
    expect(await session.exit).toMatchObject({ code: 7, signal: '' });
    expect(heard.map((input) => input?.$case)).toEqual(['start', 'stdin', 'stdinClosed']);
    expect(heard[0]).toMatchObject({ value: { path: '/bin/tr', args: ['a-z', 'A-Z'], target } });
  });

  it('passes on resizes and signals', async () => {
    const server = await setting.server();
    const heard: Heard[] = [];
    server.duplex(methods.exec, async (call) => {
      for await (const { input } of requestsOf(call)) {
        if (input?.input?.$case === 'start') call.write(out.started);
        else heard.push(input?.input);
        if (input?.input?.$case === 'signal') break;
      }
      call.write(out.exit(130, 'INT'));
    });
    const session = setting.client(server).exec({ target });
    session.resize(120, 40);
    session.signal('SIGINT');
    expect(await session.exit).toMatchObject({ code: 130, signal: 'INT' });
    expect(heard).toMatchObject([
      { $case: 'windowSize', value: { columns: 120, rows: 40 } },
      { $case: 'signal', value: 'INT' },
    ]);
  });

  it('holds the process back while its output is not read, and loses nothing', async () => {
    const server = await setting.server();
    const chunk = Buffer.alloc(64 * 1024, 'x');
    const total = 400;
    let written = 0;
    server.duplex(methods.exec, async (call) => {
      call.resume();
      call.write(out.started);
      for (; written < total; written++) {
        if (!call.write(out.stdout(chunk))) await new Promise((resolve) => call.once('drain', resolve));
      }
      call.write(out.exit(0));
    });
    const session = setting.client(server).exec({ target });
    await session.started;
    // Nobody reads: the server comes to a standstill, long before it has written everything.
    let before = -1;
    while (before !== written || written === 0) {
      before = written;
      for (let i = 0; i < 200; i++) await turn();
    }
    expect(written).toBeLessThan(total / 2);
    expect((await buffer(session.stdout)).length).toBe(total * chunk.length);
    expect(await session.exit).toMatchObject({ code: 0 });
    expect(written).toBe(total);
  });

  it('holds its writer back while the process does not read', async () => {
    const server = await setting.server();
    let read: () => void = () => {};
    const reading = new Promise<void>((resolve) => {
      read = resolve;
    });
    let received = 0;
    server.duplex(methods.exec, async (call) => {
      for await (const { input } of requestsOf(call)) {
        if (input?.input?.$case === 'start') {
          call.write(out.started);
          await reading;
        }
        if (input?.input?.$case === 'stdin') received += input.input.value.length;
        if (input?.input?.$case === 'stdinClosed') break;
      }
      call.write(out.exit(0));
    });
    const session = setting.client(server).exec({ target });
    await session.started;
    const total = 24 * 1024 * 1024;
    let accepted = 0;
    for (let i = 0; i < 24; i++) session.stdin.write(Buffer.alloc(1024 * 1024), () => accepted++);
    session.stdin.end();
    for (let before = -1; before !== accepted; ) {
      before = accepted;
      for (let i = 0; i < 200; i++) await turn();
    }
    expect(accepted).toBeLessThan(12);
    read();
    await session.exit;
    expect(received).toBe(total);
  });

  it('does not wait for an output that was given up', async () => {
    const server = await setting.server();
    server.duplex(methods.exec, async (call) => {
      call.resume();
      call.write(out.started);
      for (let i = 0; i < 40; i++) call.write(out.stderr('e'.repeat(64 * 1024)));
      call.write(out.stdout('wanted'));
      call.write(out.exit(0));
    });
    const session = setting.client(server).exec({ target });
    session.stderr.destroy();
    expect(await text(session.stdout)).toBe('wanted');
    expect(await session.exit).toMatchObject({ code: 0 });
  });

  it('moves to the leader before the process is started, with all of its input', async () => {
    const [standby, leader] = [await setting.server(), await setting.server()];
    standby.duplex(methods.exec, async (call) => {
      call.resume();
      const metadata = { leader_address: leader.address };
      throw statusOf(status.UNAVAILABLE, 'standby', { reason: 'NOT_LEADER', metadata });
    });
    const heard: string[] = [];
    leader.duplex(methods.exec, async (call) => {
      for await (const { input } of requestsOf(call)) {
        heard.push(input?.input?.$case ?? '');
        if (input?.input?.$case === 'start') call.write(out.started);
        if (input?.input?.$case === 'stdinClosed') break;
      }
      call.write(out.exit(0));
    });
    const session = setting.client(standby).exec({ target });
    session.stdin.end('x');
    expect(await session.exit).toMatchObject({ code: 0 });
    expect(heard).toEqual(['start', 'stdin', 'stdinClosed']);
  });

  it('is never started a second time when it may have been', async () => {
    const server = await setting.server();
    let starts = 0;
    server.duplex(methods.exec, async (call) => {
      call.resume();
      starts++;
      throw statusOf(status.UNAVAILABLE, 'connection lost');
    });
    const session = setting.client(server).exec({ target });
    await expect(session.started).rejects.toBeInstanceOf(UnavailableError);
    await expect(session.exit).rejects.toBeInstanceOf(UnavailableError);
    expect(starts).toBe(1);
  });

  it('is not started a second time when its server is deposed while it runs', async () => {
    const [deposed, leader] = [await setting.server(), await setting.server()];
    deposed.duplex(methods.exec, async (call) => {
      call.resume();
      call.write(out.started);
      await turn();
      const metadata = { leader_address: leader.address };
      throw statusOf(status.UNAVAILABLE, 'deposed', { reason: 'NOT_LEADER', metadata });
    });
    let starts = 0;
    leader.duplex(methods.exec, async () => {
      starts++;
    });
    const session = setting.client(deposed).exec({ target });
    await expect(session.exit).rejects.toMatchObject({ reason: 'NOT_LEADER' });
    expect(starts).toBe(0);
  });

  it('can be killed while nobody reads its output', async () => {
    const server = await setting.server();
    server.duplex(methods.exec, (call) => {
      call.resume();
      call.write(out.started);
      for (let i = 0; i < 10; i++) call.write(out.stdout('o'.repeat(64 * 1024)));
      return new Promise((resolve) => call.on('cancelled', resolve));
    });
    const session = setting.client(server).exec({ target });
    await expect.poll(() => session.stdout.readableLength).toBeGreaterThan(0);
    session.kill();
    await expect(session.exit).rejects.toBeInstanceOf(CancelledError);
  });

  it('tells why it can not start, and ends its streams', async () => {
    const server = await setting.server();
    server.duplex(methods.exec, async (call) => {
      call.resume();
      throw statusOf(status.FAILED_PRECONDITION, 'no such program', { reason: 'EXEC_FAILED' });
    });
    const session = setting.client(server).exec({ target, path: '/nope' });
    await expect(session.started).rejects.toBeInstanceOf(FailedPreconditionError);
    expect(await text(session.stdout)).toBe('');
    expect(session.stdin.destroyed).toBe(true);
  });

  it('does not take the end of the stream for the end of the process', async () => {
    const server = await setting.server();
    server.duplex(methods.exec, async (call) => {
      call.resume();
      call.write(out.started);
      call.write(out.stdout('half'));
    });
    const session = setting.client(server).exec({ target });
    expect(await text(session.stdout)).toBe('half');
    await expect(session.exit).rejects.toThrow('ended before the process');
  });

  it('ends with kill, with its signal and with its client; the server hears of it', async () => {
    const server = await setting.server();
    let cancelled = 0;
    server.duplex(methods.exec, (call) => {
      call.resume();
      call.write(out.started);
      return new Promise((resolve) => {
        call.on('cancelled', () => {
          cancelled++;
          resolve();
        });
      });
    });
    const client = setting.client(server);
    const controller = new AbortController();
    const sessions = [
      client.exec({ target }),
      client.exec({ target }, { signal: controller.signal }),
      client.exec({ target }),
    ];
    await Promise.all(sessions.map((session) => session.started));
    sessions[0]?.kill();
    controller.abort();
    await expect(sessions[0]?.exit).rejects.toBeInstanceOf(CancelledError);
    await expect(sessions[1]?.exit).rejects.toBeInstanceOf(CancelledError);
    client.close();
    await expect(sessions[2]?.exit).rejects.toThrow('the client is closed');
    await expect.poll(() => cancelled).toBe(3);
  });
});
