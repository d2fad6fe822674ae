import { once } from 'node:events';
import type { ExecRequest } from '@rivera/gen/rivera/rep/v1/rep_service';
import { afterEach, describe, expect, it } from 'vitest';
import { settled } from '../access/testing.js';
import { type CellHandlers, deafProcess, execute, exit, inside, SshBench, stderr, stdout } from './testing.js';

let bench: SshBench;
afterEach(() => bench?.close());

const MB = 1024 * 1024;

/** What a process is told, in words. */
function listeningProcess(): { exec: NonNullable<CellHandlers['exec']>; heard: string[] } {
  const heard: string[] = [];
  return {
    heard,
    async *exec(requests: AsyncIterable<ExecRequest>) {
      yield stdout(Buffer.from('ready\n'));
      for await (const { input } of requests) {
        const said = input?.input;
        heard.push(said?.$case === 'signal' ? `signal ${said.value}` : (said?.$case ?? ''));
        if (said?.$case === 'signal') yield exit(3);
      }
    },
  };
}

describe('output', () => {
  it('arrives whole and in order when both streams have waited for the window', async () => {
    const parts = [1, 2, 3, 4].map((value) => Buffer.alloc(3 * MB, value));
    bench = await SshBench.start({
      async *exec() {
        for (const [index, part] of parts.entries()) {
          for (let at = 0; at < part.length; at += 64 * 1024) {
            const piece = part.subarray(at, at + 64 * 1024);
            yield index % 2 === 0 ? stdout(piece) : stderr(piece);
          }
        }
        yield exit(0);
      },
    });
    const channel = await execute(await bench.client());
    const seen = { out: [] as Buffer[], err: [] as Buffer[] };
    // Nothing is read until the window is full, and then bit by bit.
    await expect.poll(() => (channel as unknown as { incoming: { window: number } }).incoming.window).toBe(0);
    channel.on('data', (data: Buffer) => seen.out.push(data));
    channel.stderr.on('data', (data: Buffer) => seen.err.push(data));
    const [[code]] = await Promise.all([once(channel, 'exit'), once(channel, 'close')]);
    expect(code).toBe(0);
    expect(Buffer.concat(seen.out).equals(Buffer.concat([parts[0] as Buffer, parts[2] as Buffer]))).toBe(true);
    expect(Buffer.concat(seen.err).equals(Buffer.concat([parts[1] as Buffer, parts[3] as Buffer]))).toBe(true);
  });

  it('waits for a client that promised to take everything and does not read', async () => {
    let sent = 0;
    bench = await SshBench.start({
      async *exec() {
        for (const piece = Buffer.alloc(64 * 1024); sent < 400 * MB; sent += piece.length) yield stdout(piece);
      },
    });
    const client = await bench.client();
    const { _protocol: protocol, _sock: socket } = inside(client);
    await execute(client);
    protocol.channelWindowAdjust?.(0, 0x7fff_ffff);
    socket.pause();
    await settled(() => sent);
    expect(sent).toBeLessThan(40 * MB);
  });

  it('keeps a connection from being idle', async () => {
    bench = await SshBench.start(
      {
        async *exec() {
          for (let i = 0; i < 8; i++) {
            await new Promise((resolve) => setTimeout(resolve, 500));
            yield stdout(Buffer.from('.'));
          }
          yield exit(0);
        },
      },
      { idleTimeout: '1s' },
    );
    const channel = await execute(await bench.client());
    channel.resume();
    const [code] = await once(channel, 'exit');
    expect(code).toBe(0);
  });
});

describe('a client that closes a channel', () => {
  it('ends its process, also when the process never read what it was sent', async () => {
    const process = deafProcess();
    bench = await SshBench.start({ exec: process.exec });
    const client = await bench.client();
    const channel = await execute(client);
    await once(channel, 'data');
    channel.write(Buffer.alloc(4 * MB));
    await expect.poll(process.living).toBe(1);
    inside(client)._protocol.channelClose?.(0);
    await expect.poll(process.living, { timeout: 10_000 }).toBe(0);
  });

  it('in which nothing ran gets an answer, and the channel is forgotten', async () => {
    bench = await SshBench.start({});
    const client = await bench.client();
    const refused = await new Promise((resolve) => client.subsys('foo', (error) => resolve(error?.message)));
    expect(refused).toContain('subsystem');
    inside(client)._protocol.channelClose?.(0);
    await expect.poll(() => inside(client)._chanMgr._count).toBe(0);
  });
});

describe('a session', () => {
  it('hears signals after the end of its input, and answers whatever wants an answer', async () => {
    const process = listeningProcess();
    bench = await SshBench.start({ exec: process.exec });
    const client = await bench.client();
    const channel = await execute(client);
    await once(channel, 'data');
    const again = await new Promise<boolean>((resolve) => {
      const { _callbacks: answers } = channel as unknown as { _callbacks: ((failed: boolean) => void)[] };
      answers.push(resolve);
      inside(client)._protocol.exec?.(0, 'again', true);
    });
    expect(again).toBe(true);
    channel.end();
    await expect.poll(() => process.heard).toContain('stdinClosed');
    // The client's own method would not send it any more, while others do.
    inside(client)._protocol.signal?.(0, 'TERM');
    const [code] = await once(channel, 'exit');
    expect({ code, heard: process.heard }).toEqual({ code: 3, heard: ['start', 'stdinClosed', 'signal TERM'] });
  });

  it('that wishes for empty packets is refused, and the proxy goes on', async () => {
    bench = await SshBench.start({
      async *exec() {
        yield stdout(Buffer.from('here'));
        yield exit(0);
      },
    });
    const client = await bench.client();
    const refused = new Promise<string>((resolve) => {
      const manager = inside(client)._chanMgr as unknown as { add(wait: (error: Error) => void): number };
      const id = manager.add((error) => resolve(error.message));
      inside(client)._protocol.session?.(id, 2 * MB, 0);
    });
    expect(await refused).toContain('packets of at least 1024 bytes are needed');
    const channel = await execute(client);
    expect(String((await once(channel, 'data'))[0])).toBe('here');
  });

  it('may be one of so many, and the next one hears that there are too many', async () => {
    const process = deafProcess();
    bench = await SshBench.start({ exec: process.exec }, { maxChannels: 2 });
    const client = await bench.client();
    const [first] = [await execute(client), await execute(client)];
    await expect(execute(client)).rejects.toThrow('too many channels');
    await expect
      .poll(() => bench.told('channel-refused'))
      .toMatchObject([{ kind: 'session', why: 'too many channels' }]);
    first?.close();
    await expect
      .poll(() =>
        execute(client).then(
          () => 'in',
          () => 'out',
        ),
      )
      .toBe('in');
  });

  it('goes on without a recording that can not be made, and the record is complete', async () => {
    for (const recordings of ['/proc/self/stat/none', '/proc/self']) {
      bench = await SshBench.start(
        {
          async *exec() {
            yield stdout(Buffer.from('here'));
            yield exit(0);
          },
        },
        { recordings },
      );
      const channel = await execute(await bench.client(), 'x', { pty: true });
      channel.resume();
      await once(channel, 'close');
      await expect.poll(() => bench.told('channel-end')).toMatchObject([{ down: 4, status: 0 }]);
      await bench.close();
    }
  });
});
