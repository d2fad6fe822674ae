import { once } from 'node:events';
import { RiveraError } from '@rivera/kit/errors';
import { afterEach, describe, expect, it } from 'vitest';
import { withDescription } from './disconnect.js';
import { deafProcess, execute, inside, SshBench } from './testing.js';

let bench: SshBench;
afterEach(() => bench?.close());

describe('the end of a connection', () => {
  const endless = { idleTimeout: '0s', keepaliveInterval: '1s' };

  it('comes for a client that is silent, and leaves nothing open', async () => {
    const process = deafProcess();
    bench = await SshBench.start({ exec: process.exec }, endless);
    const client = await bench.client();
    await once(await execute(client), 'data');
    // As with a program that was stopped: the machine answers, it does not.
    inside(client)._sock.pause();
    await expect.poll(() => bench.told('logout'), { timeout: 15_000 }).toMatchObject([{ why: 'Keepalive timeout' }]);
    await expect.poll(process.living).toBe(0);
  });

  it('is told to people at their shells and to those who only forward, when the proxy stops', async () => {
    const process = deafProcess();
    bench = await SshBench.start({ exec: process.exec });
    const [client, other] = [await bench.client(), await bench.client()];
    const channel = await execute(client);
    await once(channel, 'data');
    let said = '';
    channel.stderr.on('data', (data: Buffer) => {
      said += data;
    });
    const code = once(channel, 'exit');
    const gone = once(other, 'close');
    await bench.proxy.close();
    expect({ said, code: (await code)[0] }).toEqual({
      said: 'rivera: the SSH proxy is stopping: log in again\n',
      code: 255,
    });
    await gone;
    await expect.poll(process.living).toBe(0);
    expect(bench.told('channel-end').length).toBe(1);
    expect(bench.told('logout').map(({ why }) => why)).toEqual(
      Array(2).fill('the SSH proxy is stopping: log in again'),
    );
  });

  it('comes when the container is gone', async () => {
    bench = await SshBench.start({
      // biome-ignore lint/correctness/useYield: it fails first
      async *exec() {
        throw new RiveraError('CONTAINER_NOT_READY', 'the instance was stopped');
      },
    });
    const client = await bench.client();
    const channel = await execute(client);
    const gone = once(client, 'close');
    const said = once(channel.stderr, 'data');
    expect(String((await said)[0])).toBe('rivera: the instance was stopped\n');
    await gone;
    await expect.poll(() => bench.told('logout')).toMatchObject([{ why: 'the instance was stopped' }]);
  });

  it('is recorded on one line, whatever the client says', async () => {
    bench = await SshBench.start({});
    const client = await bench.client();
    const { _protocol: protocol } = inside(client);
    withDescription(protocol, `bye\n${'x'.repeat(400)}`, () => protocol.disconnect?.(2));
    await expect.poll(() => bench.told('logout').length).toBe(1);
    const why = String(bench.told('logout')[0]?.why);
    expect({ lines: why.split('\n').length, short: why.length <= 300, why: why.slice(0, 5) }).toEqual({
      lines: 1,
      short: true,
      why: 'bye?x',
    });
  });
});
