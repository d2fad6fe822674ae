import { once } from 'node:events';
import type { ConnectRequest, ConnectResponse } from '@rivera/gen/rivera/rep/v1/rep_service';
import { RiveraError } from '@rivera/kit/errors';
import type { CallContext } from '@rivera/kit/grpc/host';
import type ssh2 from 'ssh2';
import { afterEach, describe, expect, it } from 'vitest';
import { aborted } from '../access/testing.js';
import { SshBench } from './testing.js';

let bench: SshBench;
afterEach(() => bench?.close());

const connected: ConnectResponse = { message: { $case: 'connected', value: { cellId: 'c' } } };
const open = (client: ssh2.Client, port = 80) =>
  new Promise<ssh2.ClientChannel>((resolve, reject) => {
    client.forwardOut('127.0.0.1', 1, 'there', port, (error, channel) => (error ? reject(error) : resolve(channel)));
  });

describe('a forwarded connection', () => {
  it('that does not come about is refused with the reason', async () => {
    bench = await SshBench.start({
      // biome-ignore lint/correctness/useYield: it fails first
      async *connect() {
        throw new RiveraError('CONNECT_FAILED', 'connect ECONNREFUSED 10.0.0.1:80');
      },
    });
    const error = await open(await bench.client()).catch((failure) => failure);
    expect(error).toMatchObject({ reason: 2, message: expect.stringContaining('connect ECONNREFUSED 10.0.0.1:80') });
  });

  it('is one of so many channels', async () => {
    bench = await SshBench.start(
      {
        async *connect(_requests: AsyncIterable<ConnectRequest>, { signal }: CallContext) {
          yield connected;
          await aborted(signal);
        },
      },
      { maxChannels: 2 },
    );
    const client = await bench.client();
    const [first] = [await open(client), await open(client)];
    const error = await open(client).catch((failure) => failure);
    expect(error).toMatchObject({ reason: 4, message: expect.stringContaining('too many channels') });
    first?.close();
    const again = () =>
      open(client).then(
        () => 'in',
        () => 'out',
      );
    await expect.poll(again).toBe('in');
  });

  it('ends with its client also when the other side takes nothing', async () => {
    let living = 0;
    bench = await SshBench.start({
      async *connect(_requests: AsyncIterable<ConnectRequest>, { signal }: CallContext) {
        living++;
        yield connected;
        await aborted(signal);
        living--;
      },
    });
    const channel = await open(await bench.client());
    channel.write(Buffer.alloc(4 * 1024 * 1024));
    await expect.poll(() => living).toBe(1);
    channel.close();
    await expect.poll(() => living, { timeout: 10_000 }).toBe(0);
  });
});

describe('ports in the container', () => {
  it('are bounded, however fast they are asked for', async () => {
    let listening = 0;
    let most = 0;
    bench = await SshBench.start({
      async *listen(_request: unknown, { signal }: CallContext) {
        most = Math.max(most, ++listening);
        yield { message: { $case: 'port', value: 1_000 + listening } } as const;
        await aborted(signal);
        listening--;
      },
    });
    const client = await bench.client();
    const ask = () => new Promise<boolean>((resolve) => client.forwardIn('127.0.0.1', 0, (error) => resolve(!error)));
    const answers = await Promise.all(Array.from({ length: 100 }, ask));
    expect({ open: answers.filter(Boolean).length, most }).toEqual({ open: 32, most: 32 });
  });

  it('that close by themselves end the connection, which would wait for nothing', async () => {
    bench = await SshBench.start({
      async *listen() {
        yield { message: { $case: 'port', value: 1_000 } } as const;
      },
    });
    const client = await bench.client();
    const gone = once(client, 'close');
    client.forwardIn('127.0.0.1', 0, () => undefined);
    await gone;
    await expect
      .poll(() => bench.told('logout'))
      .toMatchObject([{ why: 'port 1000 in the container was closed: log in again' }]);
  });

  it('turn whoever connects away at once where there are channels enough', async () => {
    const taken: string[] = [];
    const connections: string[] = [];
    bench = await SshBench.start(
      {
        async *listen(_request: unknown, { signal }: CallContext) {
          yield { message: { $case: 'port', value: 1_000 } } as const;
          for (const acceptedId of ['a', 'b']) {
            yield { message: { $case: 'accepted', value: { acceptedId, origin: { host: '::1', port: 7 } } } } as const;
          }
          await aborted(signal);
        },
        async *connect(requests: AsyncIterable<ConnectRequest>, { signal }: CallContext) {
          for await (const { message } of requests) {
            const endpoint = message?.$case === 'start' ? message.value.endpoint : undefined;
            if (endpoint?.$case !== 'acceptedId') continue;
            taken.push(endpoint.value);
            yield connected;
            await aborted(signal);
            connections.push(`${endpoint.value} closed`);
            return;
          }
        },
      },
      { maxChannels: 1 },
    );
    const client = await bench.client();
    client.on('tcp connection', (_info, accept) => void accept());
    client.forwardIn('127.0.0.1', 0, () => undefined);
    await expect.poll(() => taken.sort()).toEqual(['a', 'b']);
    await expect.poll(() => connections).toEqual(['b closed']);
    expect(bench.told('channel-refused')).toMatchObject([{ kind: 'forwarded-tcpip', why: 'too many channels' }]);
    const gone = once(client, 'close');
    client.end();
    await gone;
    await expect.poll(() => connections).toEqual(['b closed', 'a closed']);
  });
});
