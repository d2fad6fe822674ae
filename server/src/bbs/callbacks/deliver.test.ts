import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import type { TaskRow } from '../core/model.js';
import { deliver } from './deliver.js';

it('a receiver whose answer never ends is given up in time, also when the collector was there meanwhile', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const collecting = setInterval(collect, 20);
  const server = createServer((_request, response) => {
    const dripping = setInterval(() => response.write('.'), 10);
    response.on('close', () => clearInterval(dripping));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const callbackUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    const task = { callbackUrl, annotation: '' } as TaskRow;
    const delivering = deliver(task, { timeoutMs: 300, signal: new AbortController().signal });
    await expect(delivering).rejects.toThrow('aborted');
  } finally {
    clearInterval(collecting);
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});
