import { Duplex } from 'node:stream';
import type { ConnectRequest } from '@rivera/gen/rivera/rep/v1/rep_service';
import type { CallContext } from '@rivera/kit/grpc/host';
import { expect, it } from 'vitest';
import type { Executor } from '../executor/executor.js';
import { ContainerTcp } from './tcp.js';

it('waits for a slow reader as often as it takes, and leaves no listener behind', async () => {
  let taken = 0;
  const connection = new Duplex({
    highWaterMark: 1,
    read: () => undefined,
    write: (chunk: Buffer, _encoding, done) => {
      taken += chunk.length;
      setImmediate(done);
    },
  });
  const executor = { get: () => ({ guid: 'g', state: 'running' }), connect: async () => connection };
  const listeners: number[] = [];
  async function* requests(): AsyncGenerator<ConnectRequest> {
    const target = { target: { $case: 'containerGuid', value: 'g' } } as const;
    const endpoint = { $case: 'address', value: { host: '127.0.0.1', port: 80 } } as const;
    yield { message: { $case: 'start', value: { target, endpoint } } };
    for (let n = 0; n < 100; n++) {
      listeners.push(connection.listenerCount('close'));
      yield { message: { $case: 'data', value: Buffer.alloc(10) } };
    }
    connection.push(null);
  }
  const context = { signal: new AbortController().signal } as CallContext;
  const tcp = new ContainerTcp(executor as unknown as Executor, 'c');
  const answers: unknown[] = [];
  for await (const { message } of tcp.connect(requests(), context)) answers.push(message?.$case);
  expect([answers, taken]).toEqual([['connected', 'closed'], 1000]);
  expect(Math.max(...listeners) - Math.min(...listeners)).toBeLessThan(3);
});
